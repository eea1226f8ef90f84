package identity

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/tyler-smith/go-bip39"
)

// PhraseWords is the number of words of a recovery phrase.
const PhraseWords = 24

// ErrBadPhrase says that words are not a recovery phrase at all: a word is not in the list, or one is mistyped.
var ErrBadPhrase = errors.New("not a recovery phrase")

// A root is what the recovery phrase stands for: the entropy, and the keys that come from it.
type root struct {
	concealed
	entropy vault[*Secret]
	sign    vault[ed25519.PrivateKey]
	agree   vault[*ecdh.PrivateKey]
}

// newRoot derives the root's two keys. The entropy has 256 bits, so that the key stretching of BIP39 would add
// nothing: HKDF takes it as it is.
func newRoot(entropy *Secret) root {
	return root{
		entropy: hide(entropy),
		sign:    hide(ed25519.NewKeyFromSeed(derive(entropy[:], "root ed25519", nil)[:])),
		agree:   hide(agreeKey(derive(entropy[:], "root x25519", nil))),
	}
}

func (r root) id() IdentityID { return IdentityID(r.sign().Public().(ed25519.PublicKey)) }

// phrase returns the entropy as words.
func (s *Secret) phrase() (string, error) {
	words, err := bip39.NewMnemonic(s[:])
	if err != nil {
		return "", errors.New("make a recovery phrase: bad entropy") // the cause might show it
	}
	return words, nil
}

// parsePhrase turns words back into entropy. It forgives case and white space, nothing else; its errors tell which
// word, never what word.
func parsePhrase(phrase string) (*Secret, error) {
	words := strings.Fields(strings.ToLower(phrase))
	if len(words) != PhraseWords {
		return nil, fmt.Errorf("%w: it has %d words, and %d are needed", ErrBadPhrase, len(words), PhraseWords)
	}
	for i, w := range words {
		if _, ok := bip39.GetWordIndex(w); !ok {
			return nil, fmt.Errorf("%w: word %d is not in the list", ErrBadPhrase, i+1)
		}
	}
	b, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if err != nil || len(b) != len(Secret{}) {
		return nil, fmt.Errorf("%w: its checksum is wrong, so a word is mistyped or out of place", ErrBadPhrase)
	}
	s := Secret(b)
	return &s, nil
}

// PhraseMatches reports whether words are the recovery phrase of k's identity. It works after Forget too.
func PhraseMatches(k *Keyring, words string) bool {
	entropy, err := parsePhrase(words)
	if err != nil {
		return false
	}
	defer entropy.wipe()
	return newRoot(entropy).id() == k.ID()
}
