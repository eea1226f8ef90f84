package identity

import (
	"encoding/hex"

	"github.com/multiformats/go-multibase"
)

// A DeviceID is a device's Ed25519 public key within one identity.
type DeviceID [32]byte

// An IdentityID is an identity's Ed25519 root public key.
type IdentityID [32]byte

// A VolumeID names a volume. For volumes that an identity makes itself it comes from the identity's
// secret, the volume's name and a generation, so that two devices that make the same volume make one.
type VolumeID [16]byte

// String returns d as a did:key.
func (d DeviceID) String() string { return DIDKey(d) }

// String returns i as a did:key.
func (i IdentityID) String() string { return DIDKey(i) }

// String returns v in hex.
func (v VolumeID) String() string { return hex.EncodeToString(v[:]) }

// DIDKey returns an Ed25519 public key as a did:key (https://w3c-ccg.github.io/did-key-spec/): "did:key:z" and the
// base58btc of the multicodec ed25519-pub (0xed, as a varint) and the key.
func DIDKey(pub [32]byte) string {
	s, err := multibase.Encode(multibase.Base58BTC, append([]byte{0xed, 0x01}, pub[:]...))
	if err != nil {
		panic("identity: base58btc: " + err.Error()) // the base is a constant
	}
	return "did:key:" + s
}
