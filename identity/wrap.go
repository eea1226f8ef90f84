package identity

import (
	"bytes"
	"crypto/ecdh"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// maxWrapped bounds what is read out of a wrapped set of secrets.
const maxWrapped = 64 << 10

// wrapped is the plain text of an age file in a membership entry. It names the identity, so that a wrapped set
// copied into another identity's log does not pass as that one's.
type wrapped struct {
	_        struct{} `cbor:",toarray"`
	Identity IdentityID
	First    uint32 // the epoch of the first secret; the others follow without a gap
	Secrets  [][32]byte
}

// wrap encrypts secrets to X25519 public keys, as one age file.
func wrap(w wrapped, to ...[32]byte) ([]byte, error) {
	var recipients []age.Recipient
	for _, pub := range to {
		r, err := age.ParseX25519Recipient(bech32("age", pub[:]))
		if err != nil {
			return nil, fmt.Errorf("wrap secrets: %w", err)
		}
		recipients = append(recipients, r)
	}
	var out bytes.Buffer
	in, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return nil, fmt.Errorf("wrap secrets: %w", err)
	}
	plain := dagcbor.Encode(w)
	defer clear(plain)
	if _, err := in.Write(plain); err != nil {
		return nil, fmt.Errorf("wrap secrets: %w", err)
	}
	if err := in.Close(); err != nil {
		return nil, fmt.Errorf("wrap secrets: %w", err)
	}
	return out.Bytes(), nil
}

// unwrap is the inverse of wrap, for the holder of one of the keys.
func unwrap(file []byte, id IdentityID, key *ecdh.PrivateKey) (*wrapped, error) {
	self, err := age.ParseX25519Identity(strings.ToUpper(bech32("age-secret-key-", key.Bytes())))
	if err != nil {
		return nil, fmt.Errorf("unwrap secrets: %w", ErrSealed) // the cause might show the key
	}
	r, err := age.Decrypt(bytes.NewReader(file), self)
	if err != nil {
		return nil, fmt.Errorf("unwrap secrets: %w: %w", ErrSealed, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxWrapped+1))
	defer clear(plain)
	if err != nil {
		return nil, fmt.Errorf("unwrap secrets: %w: %w", ErrSealed, err)
	}
	var w wrapped
	if err := dagcbor.Decode(plain, &w); err != nil {
		return nil, fmt.Errorf("unwrap secrets: %w: their record is malformed", ErrDamaged)
	}
	if len(plain) > maxWrapped || w.Identity != id || w.First == 0 || len(w.Secrets) == 0 {
		return nil, fmt.Errorf("unwrap secrets: %w: their record is not of this identity", ErrDamaged)
	}
	return &w, nil
}

// agreeKey returns a secret as an X25519 key.
func agreeKey(s *Secret) *ecdh.PrivateKey {
	k, err := ecdh.X25519().NewPrivateKey(s[:])
	if err != nil {
		panic("identity: x25519: " + err.Error()) // any 32 bytes are a key
	}
	return k
}

// bech32 encodes data as BIP 173 does, in lower case: age reads keys in no other form.
func bech32(hrp string, data []byte) string {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	var groups []byte
	acc, bits := 0, 0
	for _, b := range data {
		acc, bits = (acc<<8|int(b))&0xfff, bits+8
		for bits >= 5 {
			bits -= 5
			groups = append(groups, byte(acc>>bits)&31)
		}
	}
	if bits > 0 {
		groups = append(groups, byte(acc<<(5-bits))&31)
	}
	var sum []byte
	for _, c := range []byte(hrp) {
		sum = append(sum, c>>5)
	}
	sum = append(sum, 0)
	for _, c := range []byte(hrp) {
		sum = append(sum, c&31)
	}
	check := bech32Polymod(append(append(sum, groups...), 0, 0, 0, 0, 0, 0)) ^ 1
	for i := range 6 {
		groups = append(groups, byte(check>>(5*(5-i)))&31)
	}
	for i, g := range groups {
		groups[i] = alphabet[g]
	}
	return hrp + "1" + string(groups)
}

func bech32Polymod(values []byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	sum := uint32(1)
	for _, v := range values {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range generator {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	return sum
}
