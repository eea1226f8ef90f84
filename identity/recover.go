package identity

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"slices"
	"time"
)

// PhraseIdentity returns whose recovery phrase words are. Errors: ErrBadPhrase.
func PhraseIdentity(words string) (IdentityID, error) {
	entropy, err := parsePhrase(words)
	if err != nil {
		return IdentityID{}, err
	}
	defer entropy.wipe()
	return newRoot(entropy).id(), nil
}

// Recover makes a new device of an identity whose devices are lost, from its recovery phrase and its membership log alone. It
// returns the device's keyring and the entry that admits it, signed by the root, which follows the last of entries. Nothing is
// written. The keyring does not hold the root's entropy: whoever recovers has the words. All that is random comes from rand, but for
// the keys under which the entry wraps the secrets. Errors: those of RecoverSecrets and ValidName, and rand's.
func Recover(rand io.Reader, phrase, name string, entries [][]byte, now time.Time) (*Keyring, []byte, error) {
	if err := ValidName(name); err != nil {
		return nil, nil, fmt.Errorf("recover identity: %w", err)
	}
	secrets, err := RecoverSecrets(phrase, entries)
	if err != nil {
		return nil, nil, err
	}
	entropy, err := parsePhrase(phrase)
	if err != nil {
		return nil, nil, fmt.Errorf("recover identity: %w", err)
	}
	defer entropy.wipe()
	var drawn [3]*Secret
	for i := range drawn {
		if drawn[i], err = draw(rand); err != nil {
			return nil, nil, fmt.Errorf("recover identity: %w", err)
		}
	}
	k := &Keyring{
		Secrets: secrets, name: name, genesis: slices.Clone(entries[0]),
		sign:  hide(ed25519.NewKeyFromSeed(drawn[0][:])),
		agree: hide(agreeKey(drawn[1])),
		local: hide(drawn[2]),
	}
	if k.incarnation, err = NewIncarnation(rand); err != nil {
		return nil, nil, fmt.Errorf("recover identity: %w", err)
	}
	admitted, err := k.admitSelf(newRoot(entropy), entries, now)
	if err != nil {
		return nil, nil, fmt.Errorf("recover identity: %w", err)
	}
	return k, admitted, nil
}

// admitSelf makes the entry by which the root admits k's device as a writer.
func (k *Keyring) admitSelf(r root, entries [][]byte, now time.Time) ([]byte, error) {
	m, err := FoldMembership(entries)
	if err != nil {
		return nil, err
	}
	w := wrapped{Identity: k.id, First: 1}
	defer func() { clear(w.Secrets) }()
	for _, s := range k.epochs {
		w.Secrets = append(w.Secrets, *s())
	}
	self := Member{Device: k.Device(), Agree: k.agreePublic(), Role: RoleWriter}
	sealed, err := wrap(w, self.Agree)
	if err != nil {
		return nil, err
	}
	return signEntry(entryBody{
		Identity: k.id, Seq: uint64(m.Len()) + 1, Prev: m.Head(), Time: now.UnixNano(), Kind: kindAdmit,
		Payload: encodePayload(admitPayload{New: self, Wrapped: sealed}),
	}, r.sign()), nil
}
