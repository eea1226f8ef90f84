package identity

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// ErrForgotten says that this device no longer holds the recovery phrase.
var ErrForgotten = errors.New("the recovery phrase is no longer on this device")

// A Keyring is what a device holds of one identity. It may be used by many goroutines. Changes to it are in memory until Save.
type Keyring struct {
	concealed
	*Secrets
	sign    vault[ed25519.PrivateKey] // the device's
	agree   vault[*ecdh.PrivateKey]   // the device's
	local   vault[*Secret]            // of this device alone
	genesis []byte                    // the first membership entry

	mu          sync.Mutex
	name        string
	incarnation uint64
	entropy     vault[*Secret] // the root's; nil once it is forgotten
}

// NewIdentity makes an identity and its first device. All that is random comes from rand, but for the keys under which the
// membership entry wraps its secrets. Nothing is written: see Save, and Genesis for the entry. The error is that of
// rand or ValidName.
func NewIdentity(rand io.Reader, name string, now time.Time) (*Keyring, error) {
	if err := ValidName(name); err != nil {
		return nil, fmt.Errorf("new identity: %w", err)
	}
	var drawn [5]*Secret
	for i := range drawn {
		s, err := draw(rand)
		if err != nil {
			return nil, fmt.Errorf("new identity: %w", err)
		}
		drawn[i] = s
	}
	incarnation, err := NewIncarnation(rand)
	if err != nil {
		return nil, fmt.Errorf("new identity: %w", err)
	}
	entropy, seed, agree, local, secret := drawn[0], drawn[1], drawn[2], drawn[3], drawn[4]
	r := newRoot(entropy)
	k := &Keyring{
		Secrets:     &Secrets{id: r.id(), epochs: []vault[*Secret]{hide(secret)}},
		incarnation: incarnation,
		sign:        hide(ed25519.NewKeyFromSeed(seed[:])),
		agree:       hide(agreeKey(agree)),
		local:       hide(local),
		name:        name,
		entropy:     r.entropy,
	}
	first := Member{Device: k.Device(), Agree: k.agreePublic(), Role: RoleWriter}
	if k.genesis, err = found(r, first, secret, now.UnixNano()); err != nil {
		return nil, fmt.Errorf("new identity: %w", err)
	}
	return k, nil
}

// NewIncarnation draws an incarnation. Two stores that have the same one never arise by chance, only by copying.
func NewIncarnation(rand io.Reader) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return 0, fmt.Errorf("draw an incarnation: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

// Device returns the device's id.
func (k *Keyring) Device() DeviceID { return DeviceID(k.sign().Public().(ed25519.PublicKey)) }

// Incarnation returns the incarnation of the device's feeds.
func (k *Keyring) Incarnation() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.incarnation
}

// SetIncarnation begins a new incarnation (see NewIncarnation): a feed of the old one has two branches. No feed may use it
// before Save has returned, or a restart would go back to the old one.
func (k *Keyring) SetIncarnation(n uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.incarnation = n
}

// Genesis returns the first entry of the identity's membership log. The keyring keeps it, so that a crash between saving
// the keyring and storing the log loses nothing.
func (k *Keyring) Genesis() []byte { return slices.Clone(k.genesis) }

// Name returns the name of the identity's directory on this device.
func (k *Keyring) Name() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.name
}

// SetName changes the name of the identity's directory. Errors: ErrBadName.
func (k *Keyring) SetName(name string) error {
	if err := ValidName(name); err != nil {
		return fmt.Errorf("rename identity: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.name = name
	return nil
}

// Phrase returns the recovery phrase, or ErrForgotten. Its callers show it to the owner on a terminal, and do nothing else
// with it.
func (k *Keyring) Phrase() (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entropy == nil {
		return "", fmt.Errorf("recovery phrase of %q: %w", k.name, ErrForgotten)
	}
	return k.entropy().phrase()
}

// Forget removes the root's entropy from memory; the Save that must follow removes it from the disk.
func (k *Keyring) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entropy != nil {
		k.entropy().wipe()
		k.entropy = nil
	}
}

// Sign returns the device's Ed25519 signature of msg. Every kind of message begins with a prefix of its own, so that no
// signature passes for one of something else.
func (k *Keyring) Sign(msg []byte) [64]byte { return [64]byte(ed25519.Sign(k.sign(), msg)) }

// InoKey returns the key from which this device makes its inode numbers. It never leaves the device.
func (k *Keyring) InoKey() Secret { return *derive(k.local()[:], "inode numbers", nil) }

func (k *Keyring) agreePublic() [32]byte { return [32]byte(k.agree().PublicKey().Bytes()) }
