package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

const (
	keyringVersion = 1
	maxKeyring     = 1 << 20
)

// keyringFile is a keyring as it is stored.
type keyringFile struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	Body    []byte   // a canonical keyringBody
	Sum     [32]byte // SHA-256 of Body: a flipped bit must not become another key
}

type keyringBody struct {
	_           struct{} `cbor:",toarray"`
	Identity    IdentityID
	Name        []byte
	Root        []byte // the root's entropy; empty once forgotten
	DeviceSeed  [32]byte
	Agree       [32]byte // X25519 private key
	Local       [32]byte
	Incarnation uint64
	Secrets     [][32]byte // of key epochs 1, 2, ...
	Genesis     []byte
}

func (k *Keyring) encode() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := keyringBody{
		Identity:    k.id,
		Name:        []byte(k.name),
		DeviceSeed:  [32]byte(k.sign().Seed()),
		Agree:       [32]byte(k.agree().Bytes()),
		Local:       *k.local(),
		Incarnation: k.incarnation,
		Genesis:     k.genesis,
	}
	if k.entropy != nil {
		b.Root = k.entropy()[:]
	}
	for _, s := range k.epochs {
		b.Secrets = append(b.Secrets, *s())
	}
	body := dagcbor.Encode(b)
	return dagcbor.Encode(keyringFile{Version: keyringVersion, Body: body, Sum: sha256.Sum256(body)})
}

// parseKeyring decodes a keyring file and checks all that can be checked in it. Its errors wrap ErrDamaged or ErrNewer, and hold
// nothing of what is in the file.
func parseKeyring(raw []byte) (*Keyring, error) {
	var f keyringFile
	if err := decodeVersioned(raw, &f, &f.Version, keyringVersion); err != nil {
		return nil, err
	}
	if sha256.Sum256(f.Body) != f.Sum {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	var b keyringBody
	if err := dagcbor.Decode(f.Body, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	seed, agree, local := Secret(b.DeviceSeed), Secret(b.Agree), Secret(b.Local)
	k := &Keyring{
		Secrets:     &Secrets{id: b.Identity},
		incarnation: b.Incarnation,
		sign:        hide(ed25519.NewKeyFromSeed(seed[:])),
		agree:       hide(agreeKey(&agree)),
		local:       hide(&local),
		genesis:     b.Genesis,
		name:        string(b.Name),
	}
	for _, s := range b.Secrets {
		secret := Secret(s)
		k.epochs = append(k.epochs, hide(&secret))
	}
	if len(b.Root) == len(Secret{}) {
		entropy := Secret(b.Root)
		k.entropy = hide(&entropy)
	} else if len(b.Root) != 0 {
		return nil, fmt.Errorf("%w: the root's entropy is cut", ErrDamaged)
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	return k, nil
}

// check holds a keyring against its own membership entry.
func (k *Keyring) check() error {
	if err := ValidName(k.name); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	m, err := FoldMembership([][]byte{k.genesis})
	if err != nil {
		return err
	}
	switch {
	case m.id != k.id:
		return fmt.Errorf("%w: its membership is another identity's", ErrDamaged)
	case k.entropy != nil && newRoot(k.entropy()).id() != k.id:
		return fmt.Errorf("%w: its root key is another identity's", ErrDamaged)
	case len(k.epochs) == 0 || !checks(k.epochs[0](), m.epochs[0].check):
		return fmt.Errorf("%w: it lacks the secret of key epoch 1", ErrDamaged)
	}
	return nil
}
