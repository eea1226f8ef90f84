package ipld

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Bounds of a chunk. On random bytes the mean is 65 KiB.
const (
	MinChunk    = 16 << 10
	normalChunk = 56 << 10 // from here on, cuts are likelier
	MaxChunk    = 256 << 10
)

// A position is a candidate when the rolling sum has candidateBits zeros at its top, and a cut when a
// keyed function of the sum is below the threshold: 2^-18 of all positions before normalChunk, 2^-14
// behind it (normalised chunking with level 2, as in FastCDC, Xia et al., USENIX ATC 2016).
const (
	candidateBits = 11
	candidateMask = (1<<candidateBits - 1) << (64 - candidateBits)
	cutBelowEarly = 1 << (64 - 18 + candidateBits)
	cutBelowLate  = 1 << (64 - 14 + candidateBits)
	rollingWindow = 64 // bytes that the top bit of the sum depends on
)

// A chunker cuts content where its bytes say, by a secret rule: chunk lengths tell nobody without the
// key which known file they belong to. The rolling sum is Gear's with a keyed table. That alone can be
// solved for from known files and their lengths (Truong et al., "Breaking and Fixing Content-Defined
// Chunking", 2025), so a cut is decided by AES of the sum.
//
// A cut depends on the bytes of its own chunk alone: where a chunk begins and what it holds fix where
// it ends. Update relies on that.
type chunker struct {
	gear [256]uint64
	prf  cipher.Block
}

func newChunker(key [32]byte) *chunker {
	stream, err := hkdf.Key(sha256.New, key[:], nil, "rhizome/1 chunker", aes.BlockSize+256*8)
	if err != nil {
		panic(fmt.Sprintf("ipld: hkdf: %v", err))
	}
	prf, err := aes.NewCipher(stream[:aes.BlockSize])
	if err != nil {
		panic(fmt.Sprintf("ipld: aes: %v", err))
	}
	c := &chunker{prf: prf}
	for i := range c.gear {
		c.gear[i] = binary.LittleEndian.Uint64(stream[aes.BlockSize+8*i:])
	}
	return c
}

// cut returns the length of the chunk that b begins with. b reaches to the end of what is cut, or holds
// at least MaxChunk bytes.
func (c *chunker) cut(b []byte) int {
	if len(b) > MaxChunk {
		b = b[:MaxChunk]
	}
	if len(b) <= MinChunk {
		return len(b)
	}
	sum := uint64(0)
	for _, x := range b[MinChunk-rollingWindow : MinChunk] {
		sum = sum<<1 + c.gear[x]
	}
	early := b[:min(len(b), normalChunk)]
	n, sum := c.scan(early, MinChunk, sum, cutBelowEarly)
	if n == len(early) && n < len(b) {
		n, _ = c.scan(b, n, sum, cutBelowLate)
	}
	return n
}

// scan rolls over b from position i, and returns the position behind the first cut, or the length of b.
func (c *chunker) scan(b []byte, i int, sum, below uint64) (int, uint64) {
	gear := &c.gear
	for ; i+4 <= len(b); i += 4 {
		q := b[i : i+4 : i+4]
		s1 := sum<<1 + gear[q[0]]
		s2 := s1<<1 + gear[q[1]]
		s3 := s2<<1 + gear[q[2]]
		sum = s3<<1 + gear[q[3]]
		if s1&candidateMask != 0 && s2&candidateMask != 0 && s3&candidateMask != 0 && sum&candidateMask != 0 {
			continue
		}
		for k, s := range [4]uint64{s1, s2, s3, sum} {
			if s&candidateMask == 0 && c.decides(s, below) {
				return i + k + 1, s
			}
		}
	}
	for ; i < len(b); i++ {
		sum = sum<<1 + gear[b[i]]
		if sum&candidateMask == 0 && c.decides(sum, below) {
			return i + 1, sum
		}
	}
	return i, sum
}

func (c *chunker) decides(sum, below uint64) bool {
	var block [aes.BlockSize]byte
	binary.LittleEndian.PutUint64(block[:], sum)
	c.prf.Encrypt(block[:], block[:])
	return binary.LittleEndian.Uint64(block[:]) < below
}

// isZero reports whether b holds nothing but zeros.
func isZero(b []byte) bool {
	for len(b) >= 32 {
		if binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[8:])|
			binary.LittleEndian.Uint64(b[16:])|binary.LittleEndian.Uint64(b[24:]) != 0 {
			return false
		}
		b = b[32:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
