package ipld

import (
	"encoding/hex"
	"errors"
)

// A CID is a binary CIDv1 with a SHA-256 multihash, 36 bytes: 0x01, codec, 0x12, 0x20, digest.
// Its codec is raw (0x55) for a sealed leaf, or dag-cbor (0x71) for a sealed inner node whose
// children's CIDs stand in the clear. The zero CID is no CID.
type CID [36]byte

// A Key opens one sealed block.
type Key [32]byte

// A Link is what opens exactly one subtree: where a block is, and the key that opens it.
type Link struct {
	_   struct{} `cbor:",toarray"`
	CID CID
	Key Key
}

// ErrNotFound says that a block is not in a store.
var ErrNotFound = errors.New("block not found")

// ErrDamaged says that bytes are not what their CID or their key says.
var ErrDamaged = errors.New("block is damaged")

// IsZero reports whether c is no CID.
func (c CID) IsZero() bool { return c == CID{} }

// String is for people and logs; package ipld's Format gives the multibase form.
func (c CID) String() string { return hex.EncodeToString(c[4:12]) }
