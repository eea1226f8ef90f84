package leakcheck

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MinSecret is the shortest secret in bytes that Find searches for: shorter ones are anywhere by chance.
const MinSecret = 8

// prefix is how much of a pattern the first sieve looks at. No form of MinSecret bytes is shorter.
const prefix = 8

// Find looks for secrets in haystack, and returns an error that names the first it finds: which one, in which form, and
// where, but not the secret. A secret counts as found in any of these forms:
//
//   - raw, and as %q prints it
//   - hex, lower and upper case, and as %#v and % x print it
//   - decimal, as %v and encoding/json print numbers
//   - base32, standard and hex alphabets, both cases, wherever its groups of bytes begin
//   - base64, standard and URL alphabets, wherever its groups of bytes begin
//   - base58 of Bitcoin's alphabet, of the secret alone (it has no groups)
//
// It is an error too if a secret is shorter than MinSecret. One pass over haystack does for all secrets:
// 100 MB take a quarter of a second for a few, and a second for a thousand.
func Find(haystack []byte, secrets ...[]byte) error {
	var all []pattern
	for i, s := range secrets {
		if len(s) < MinSecret {
			return fmt.Errorf("leakcheck: secret %d has %d bytes, and %d are the least", i, len(s), MinSecret)
		}
		all = append(all, patterns(i, s)...)
	}
	if at, p := newSieve(all).find(haystack); p != nil {
		return fmt.Errorf("leakcheck: secret %d is at offset %d of %d, as %s", p.secret, at, len(haystack), p.form)
	}
	return nil
}

// A pattern is one form of one secret.
type pattern struct {
	text   []byte // INVARIANT: at least prefix long
	secret int
	form   string
}

// A sieve finds any of many patterns in one pass: a bitmap of hashed prefixes rejects nearly every place, and a map
// the rest.
type sieve struct {
	bitmap   []uint64
	shift    int
	patterns map[uint64][]pattern
}

func newSieve(all []pattern) *sieve {
	size := max(16, bits.Len(uint(len(all)))+6) // log2 of the bitmap's bits: one place in 64 at most passes by chance
	s := &sieve{
		bitmap:   make([]uint64, 1<<(size-6)),
		shift:    64 - size,
		patterns: make(map[uint64][]pattern),
	}
	for _, p := range all {
		key := binary.LittleEndian.Uint64(p.text)
		s.patterns[key] = append(s.patterns[key], p)
		h := s.hash(key)
		s.bitmap[h>>6] |= 1 << (h & 63)
	}
	return s
}

func (s *sieve) hash(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> s.shift }

func (s *sieve) find(haystack []byte) (at int, found *pattern) {
	for i := 0; i+prefix <= len(haystack); i++ {
		key := binary.LittleEndian.Uint64(haystack[i:])
		if h := s.hash(key); s.bitmap[h>>6]>>(h&63)&1 == 0 {
			continue
		}
		for _, p := range s.patterns[key] {
			if bytes.HasPrefix(haystack[i:], p.text) {
				return i, &p
			}
		}
	}
	return 0, nil
}
