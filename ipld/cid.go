package ipld

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
)

// A CID is a binary CIDv1 with a SHA-256 multihash, 36 bytes: 0x01, codec, 0x12, 0x20, digest.
// Its codec is raw (0x55) for a sealed leaf, or dag-cbor (0x71) for a sealed inner node whose
// children's CIDs stand in the clear. The zero CID is no CID.
type CID [36]byte

// A Codec says how a block is read.
type Codec byte

// The codecs of our blocks.
const (
	Raw     Codec = 0x55 // a leaf
	DagCBOR Codec = 0x71 // a node
)

// A Link is what opens exactly one subtree: where a block is, and the key that opens it.
// The zero Link stands for a hole.
type Link struct {
	_   struct{} `cbor:",toarray"`
	CID CID
	Key Key
}

// IsZero reports whether l opens nothing.
func (l Link) IsZero() bool { return l == Link{} }

// ErrNotFound says that a block is not in a store.
var ErrNotFound = errors.New("block not found")

// ErrDamaged says that bytes are not what their CID or their key says.
var ErrDamaged = errors.New("block is damaged")

// ErrNotCID says that something is not a CID of one of our blocks.
var ErrNotCID = errors.New("not the CID of a block")

const cidPrefixLen = 4

// CIDOf names data as a block of the given codec.
func CIDOf(codec Codec, data []byte) CID {
	digest := sha256.Sum256(data)
	c := CID{0x01, byte(codec), 0x12, 0x20}
	copy(c[cidPrefixLen:], digest[:])
	return c
}

// IsZero reports whether c is no CID.
func (c CID) IsZero() bool { return c == CID{} }

// Codec returns how the block is read.
func (c CID) Codec() Codec { return Codec(c[1]) }

// String is for people and logs; package ipld's Format gives the multibase form.
func (c CID) String() string { return hex.EncodeToString(c[4:12]) }

// valid reports whether c has the form of a CID of ours; the zero CID has not.
func (c CID) valid() bool {
	return c[0] == 0x01 && (c.Codec() == Raw || c.Codec() == DagCBOR) && c[2] == 0x12 && c[3] == 0x20
}

var multibase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Format writes c as IPFS's tools do: multibase, base32, beginning with "b".
func Format(c CID) string { return "b" + multibase32.EncodeToString(c[:]) }

// ParseCID reads what Format writes.
func ParseCID(s string) (CID, error) {
	if len(s) != 1+58 || s[0] != 'b' {
		return CID{}, fmt.Errorf("parse CID %.80q: %w", s, ErrNotCID)
	}
	b, err := multibase32.DecodeString(s[1:])
	if err != nil {
		return CID{}, fmt.Errorf("parse CID %.80q: %w", s, ErrNotCID)
	}
	c, err := CIDFromBytes(b)
	if err != nil || Format(c) != s { // the last character has spare bits
		return CID{}, fmt.Errorf("parse CID %.80q: %w", s, ErrNotCID)
	}
	return c, nil
}

// CIDFromBytes checks that b is the binary CID of a block of ours.
func CIDFromBytes(b []byte) (CID, error) {
	if len(b) != len(CID{}) || !CID(b).valid() {
		return CID{}, fmt.Errorf("read CID of %d bytes: %w", len(b), ErrNotCID)
	}
	return CID(b), nil
}

// cidTag is how DAG-CBOR begins a link: tag 42, a byte string of 37 bytes, the identity multibase.
const (
	cidTag      = "\xd8\x2a\x58\x25\x00"
	cidCBORSize = len(cidTag) + len(CID{})
	cborNull    = 0xf6
)

// MarshalCBOR encodes c as a DAG-CBOR link, the zero CID as null.
func (c CID) MarshalCBOR() ([]byte, error) {
	if c.IsZero() {
		return []byte{cborNull}, nil
	}
	b := make([]byte, 0, cidCBORSize)
	return appendCIDLink(b, c), nil
}

func appendCIDLink(dst []byte, c CID) []byte {
	dst = append(dst, cidTag...)
	return append(dst, c[:]...)
}

// UnmarshalCBOR reads what MarshalCBOR writes, and nothing else.
func (c *CID) UnmarshalCBOR(b []byte) error {
	if len(b) == 1 && b[0] == cborNull {
		*c = CID{}
		return nil
	}
	if len(b) != cidCBORSize || string(b[:len(cidTag)]) != cidTag {
		return fmt.Errorf("read link of %d bytes: %w", len(b), ErrNotCID)
	}
	got, err := CIDFromBytes(b[len(cidTag):])
	if err != nil {
		return err
	}
	*c = got
	return nil
}
