package identity

import (
	"crypto/ed25519"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
)

// Why a membership log is refused, beside ErrDamaged and ErrNewer.
var (
	ErrBadSignature  = errors.New("bad signature")
	ErrUnknownSigner = errors.New("the signer may not sign it")
	ErrBrokenChain   = errors.New("it does not follow the entry before it")
	ErrReplay        = errors.New("it is there already")
	ErrFork          = errors.New("another entry has its place")
)

// A Membership is what a membership log says: which devices act for an identity. It doesn't change.
type Membership struct {
	id      IdentityID
	members []Member   // in the order of their entries
	hashes  [][32]byte // of the entries
	epochs  []epochStart
}

// An epochStart is what the log holds of a key epoch's secret.
type epochStart struct {
	check   [32]byte
	wrapped []byte // to the root among others
}

// FoldMembership checks a whole membership log, from its first entry on, and returns what it says. It needs no secret.
// It insists that the first entry is signed by the identity's root key, that each names the one before it, and that each
// is signed by the root or by a writer of that moment. The errors name the entry and wrap one of this package's.
func FoldMembership(entries [][]byte) (*Membership, error) {
	if len(entries) == 0 {
		return nil, fmt.Errorf("membership: %w: no entries", ErrDamaged)
	}
	m := &Membership{}
	for i, raw := range entries {
		e, err := parseEntry(raw)
		if err == nil {
			err = m.apply(e)
		}
		if err != nil {
			return nil, fmt.Errorf("membership entry %d: %w", i+1, err)
		}
	}
	return m, nil
}

func (m *Membership) apply(e *entry) error {
	if err := m.checkPlace(e); err != nil {
		return err
	}
	switch p := e.payload.(type) {
	case *foundPayload:
		if e.Seq != 1 {
			return fmt.Errorf("%w: only the first entry founds an identity", ErrDamaged)
		}
		if err := checkMember(p.First, e.Identity, p.Wrapped); err != nil {
			return err
		}
		if p.First.Role != RoleWriter {
			return fmt.Errorf("%w: the first device is no writer", ErrDamaged)
		}
		m.id = e.Identity
		m.members = append(m.members, p.First)
		m.epochs = append(m.epochs, epochStart{p.Check, p.Wrapped})
	case *admitPayload:
		if e.Seq == 1 {
			return fmt.Errorf("%w: the first entry does not found an identity", ErrDamaged)
		}
		if err := checkMember(p.New, e.Identity, p.Wrapped); err != nil {
			return err
		}
		if _, is := m.Member(p.New.Device); is {
			return fmt.Errorf("%w: device %v is a member", ErrReplay, p.New.Device)
		}
		m.members = append(m.members, p.New)
	}
	m.hashes = append(m.hashes, e.hash)
	return nil
}

// checkPlace checks that e continues the chain, and that its signer may.
func (m *Membership) checkPlace(e *entry) error {
	n := uint64(len(m.hashes))
	if n > 0 && e.Identity != m.id {
		return fmt.Errorf("%w: it is of identity %v", ErrBrokenChain, e.Identity)
	}
	if slices.Contains(m.hashes, e.hash) {
		return ErrReplay
	}
	if e.Seq == 0 || e.Seq > n+1 {
		return fmt.Errorf("%w: it has number %d", ErrBrokenChain, e.Seq)
	}
	var prev [32]byte
	if e.Seq > 1 {
		prev = m.hashes[e.Seq-2]
	}
	if e.Prev != prev {
		return ErrBrokenChain
	}
	if member, is := m.Member(DeviceID(e.signer)); e.signer != e.Identity && !(is && member.Role == RoleWriter) {
		return fmt.Errorf("%w: %s", ErrUnknownSigner, DIDKey(e.signer))
	}
	if e.Seq <= n {
		return fmt.Errorf("%w: number %d", ErrFork, e.Seq)
	}
	return nil
}

// Identity returns whose membership it is.
func (m *Membership) Identity() IdentityID { return m.id }

// Len returns the number of entries; Head the SHA-256 of the last one, which the next one names.
func (m *Membership) Len() int       { return len(m.hashes) }
func (m *Membership) Head() [32]byte { return m.hashes[len(m.hashes)-1] }

// Epoch returns the newest key epoch.
func (m *Membership) Epoch() uint32 { return uint32(len(m.epochs)) }

// Members returns the devices in the order in which they became members.
func (m *Membership) Members() []Member { return slices.Clone(m.members) }

// Member returns what the log says of device d, and false if it is none of the identity's.
func (m *Membership) Member(d DeviceID) (Member, bool) {
	i := slices.IndexFunc(m.members, func(x Member) bool { return x.Device == d })
	if i < 0 {
		return Member{}, false
	}
	return m.members[i], true
}

// Allows reports whether frames of device d are taken.
func (m *Membership) Allows(d DeviceID) bool {
	member, is := m.Member(d)
	return is && member.Role == RoleWriter
}

// RecoverSecrets returns the identity's secrets from its recovery phrase and its membership log alone. Errors: ErrBadPhrase,
// also for the phrase of another identity, and those of FoldMembership.
func RecoverSecrets(phrase string, entries [][]byte) (*Secrets, error) {
	m, err := FoldMembership(entries)
	if err != nil {
		return nil, fmt.Errorf("recover secrets: %w", err)
	}
	entropy, err := parsePhrase(phrase)
	if err != nil {
		return nil, fmt.Errorf("recover secrets: %w", err)
	}
	defer entropy.wipe()
	r := newRoot(entropy)
	if r.id() != m.id {
		return nil, fmt.Errorf("recover secrets: %w: it is that of identity %v, not of %v", ErrBadPhrase, r.id(), m.id)
	}
	s := &Secrets{id: m.id}
	for i, start := range m.epochs {
		w, err := unwrap(start.wrapped, m.id, r.agree())
		if err != nil {
			return nil, fmt.Errorf("recover secrets of epoch %d: %w", i+1, err)
		}
		secret := Secret(w.Secrets[0])
		if int(w.First) != i+1 || !checks(&secret, start.check) {
			return nil, fmt.Errorf("recover secrets of epoch %d: %w: it is another one", i+1, ErrDamaged)
		}
		s.epochs = append(s.epochs, hide(&secret))
	}
	return s, nil
}

// checkOf returns what the log tells everybody of an epoch's secret: enough to see that all devices were given the same one,
// and nothing else.
func checkOf(s *Secret) [32]byte { return *derive(s[:], "check", nil) }

func checks(s *Secret, check [32]byte) bool {
	c := checkOf(s)
	return subtle.ConstantTimeCompare(c[:], check[:]) == 1
}

// found makes the first entry of an identity's membership log.
func found(r root, first Member, secret *Secret, now int64) ([]byte, error) {
	w, err := wrap(wrapped{Identity: r.id(), First: 1, Secrets: [][32]byte{*secret}}, first.Agree, [32]byte(r.agree().PublicKey().Bytes()))
	if err != nil {
		return nil, err
	}
	return signEntry(entryBody{
		Identity: r.id(), Seq: 1, Time: now, Kind: kindFound,
		Payload: encodePayload(foundPayload{First: first, Check: checkOf(secret), Wrapped: w}),
	}, r.sign()), nil
}

// Verify reports whether sig is d's signature of msg.
func Verify(d DeviceID, msg []byte, sig [64]byte) bool {
	return ed25519.Verify(d[:], msg, sig[:])
}
