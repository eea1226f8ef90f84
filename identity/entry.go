package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// MaxEntry is the longest membership entry in bytes.
const MaxEntry = 64 << 10

var (
	// ErrNewer says that a record is of a version or a kind that this program does not know, and a newer one may.
	ErrNewer = errors.New("made by a newer version of rhizome")
	// ErrDamaged says that bytes are no record of this package, or not the one they were.
	ErrDamaged = errors.New("damaged")
)

// A Role says what a device does for its identity.
type Role uint8

const (
	// RoleWriter has the identity's secrets, and writes.
	RoleWriter Role = 1
	// RoleKeeper has no secrets: it stores, checks and forwards what it can't read, and writes nothing.
	RoleKeeper Role = 2
)

// A Member is a device as the membership log names it.
type Member struct {
	_      struct{} `cbor:",toarray"`
	Device DeviceID
	Agree  [32]byte // X25519 public key, to which secrets are wrapped
	Role   Role
}

// Kinds of entries.
const (
	kindFound = 1 // the root names the first device and begins key epoch 1
	kindAdmit = 2 // the root or a writer names one more device
)

const entryVersion = 1

// signedEntry is a membership entry as it is stored and sent. Its SHA-256 is what the next entry names.
type signedEntry struct {
	_         struct{} `cbor:",toarray"`
	Version   uint64
	Body      []byte // a canonical entryBody
	Signer    [32]byte
	Signature [64]byte // by Signer, over entryDomain and Body
}

const entryDomain = "rhizome/1 membership entry\x00"

type entryBody struct {
	_        struct{} `cbor:",toarray"`
	Identity IdentityID
	Seq      uint64   // the first is 1
	Prev     [32]byte // SHA-256 of the entry before; zero in the first
	Time     int64    // ns since 1970 UTC by the signer's clock; decides nothing
	Kind     uint64
	Payload  dagcbor.Raw
}

type foundPayload struct {
	_       struct{} `cbor:",toarray"`
	First   Member
	Check   [32]byte // of the secret of key epoch 1
	Wrapped []byte   // that secret, to the first device and to the root
}

type admitPayload struct {
	_       struct{} `cbor:",toarray"`
	New     Member
	Wrapped []byte // the secrets of all epochs, to the new device; empty for a keeper
}

// An entry is a signedEntry taken apart. Its signature is good; that its signer may sign is for the fold.
type entry struct {
	entryBody
	signer  [32]byte
	hash    [32]byte
	payload any
}

// signEntry encodes and signs a body.
func signEntry(b entryBody, key ed25519.PrivateKey) []byte {
	body := dagcbor.Encode(b)
	return dagcbor.Encode(signedEntry{
		Version:   entryVersion,
		Body:      body,
		Signer:    [32]byte(key.Public().(ed25519.PublicKey)),
		Signature: [64]byte(ed25519.Sign(key, append([]byte(entryDomain), body...))),
	})
}

// parseEntry decodes raw and checks its form and signature. Errors wrap ErrDamaged, ErrNewer or ErrBadSignature.
func parseEntry(raw []byte) (*entry, error) {
	if len(raw) > MaxEntry {
		return nil, fmt.Errorf("%w: %d bytes, and %d are the most", ErrDamaged, len(raw), MaxEntry)
	}
	var s signedEntry
	if err := decodeVersioned(raw, &s, &s.Version, entryVersion); err != nil {
		return nil, err
	}
	if !ed25519.Verify(s.Signer[:], append([]byte(entryDomain), s.Body...), s.Signature[:]) {
		return nil, ErrBadSignature
	}
	e := &entry{signer: s.Signer, hash: sha256.Sum256(raw)}
	if err := dagcbor.Decode(s.Body, &e.entryBody); err != nil {
		return nil, fmt.Errorf("%w: body: %w", ErrDamaged, err)
	}
	var err error
	switch e.Kind {
	case kindFound:
		var p foundPayload
		err, e.payload = dagcbor.Decode(e.Payload, &p), &p
	case kindAdmit:
		var p admitPayload
		err, e.payload = dagcbor.Decode(e.Payload, &p), &p
	default:
		return nil, fmt.Errorf("kind %d: %w", e.Kind, ErrNewer)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrDamaged, err)
	}
	return e, nil
}

// checkMember refuses what could not be a device of identity id.
func checkMember(m Member, id IdentityID, wrapped []byte) error {
	switch {
	case m.Role != RoleWriter && m.Role != RoleKeeper:
		return fmt.Errorf("role %d: %w", m.Role, ErrNewer)
	case IdentityID(m.Device) == id:
		return fmt.Errorf("%w: the root can't be a device", ErrDamaged)
	case (m.Role == RoleWriter) != (len(wrapped) > 0):
		return fmt.Errorf("%w: secrets are wrapped to a writer, and only to a writer", ErrDamaged)
	}
	return nil
}
