package identity

import (
	"bytes"
	"crypto/rand"
	"errors"
	"math"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"
)

var someDay = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// seeded is a deterministic source of randomness.
func seeded(seed byte) *mathrand.ChaCha8 { return mathrand.NewChaCha8([32]byte{seed}) }

func newKeyring(t testing.TB, seed byte) *Keyring {
	t.Helper()
	k, err := NewIdentity(seeded(seed), "me", someDay)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNewIdentityFollowsItsRandomness(t *testing.T) {
	a, again, b := newKeyring(t, 1), newKeyring(t, 1), newKeyring(t, 2)
	if a.ID() != again.ID() || a.Device() != again.Device() || a.Incarnation() != again.Incarnation() ||
		a.VolumeID("notes", 0) != again.VolumeID("notes", 0) || a.InoKey() != again.InoKey() {
		t.Error("the same randomness makes another identity")
	}
	if a.ID() == b.ID() || a.Device() == b.Device() || a.Incarnation() == b.Incarnation() || a.InoKey() == b.InoKey() {
		t.Error("other randomness makes the same identity")
	}
	if _, err := NewIdentity(bytes.NewReader(make([]byte, 100)), "me", someDay); err == nil {
		t.Error("made from too little randomness")
	}
	if _, err := NewIdentity(rand.Reader, "a/b", someDay); !errors.Is(err, ErrBadName) {
		t.Errorf("bad name: %v", err)
	}
}

func TestPhrase(t *testing.T) {
	k := newKeyring(t, 1)
	phrase, err := k.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(phrase)); n != PhraseWords {
		t.Errorf("%d words", n)
	}
	other, err := newKeyring(t, 2).Phrase()
	if err != nil {
		t.Fatal(err)
	}
	mistyped := strings.Replace(phrase, strings.Fields(phrase)[0], strings.Fields(other)[0], 1)
	check := func() {
		t.Helper()
		for words, want := range map[string]bool{
			phrase: true, strings.ToUpper(phrase): true, "\n " + strings.ReplaceAll(phrase, " ", "\t "): true,
			other: false, mistyped: false, "": false, phrase + " zoo": false, phrase[strings.Index(phrase, " "):]: false,
		} {
			if PhraseMatches(k, words) != want {
				t.Errorf("match is %v for %q", !want, words)
			}
		}
	}
	check()
	k.Forget()
	k.Forget()
	if _, err := k.Phrase(); !errors.Is(err, ErrForgotten) {
		t.Errorf("after Forget: %v", err)
	}
	check()
}

// The words are BIP39's for the entropy: a vector of its authors (trezor/python-mnemonic, vectors.json).
func TestPhraseIsBIP39(t *testing.T) {
	var entropy Secret
	for i := range entropy {
		entropy[i] = 0x7f
	}
	const want = "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful " +
		"legal winner thank year wave sausage worth title"
	got, err := entropy.phrase()
	if err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	back, err := parsePhrase(want)
	if err != nil || *back != entropy {
		t.Errorf("parsed: %v", err)
	}
}

func TestPhraseErrorsTellNoWord(t *testing.T) {
	for _, words := range []string{"legal winner", strings.Repeat("legal ", 23) + "hunter2", strings.Repeat("legal ", 24)} {
		_, err := parsePhrase(words)
		if !errors.Is(err, ErrBadPhrase) {
			t.Fatalf("%q: %v", words, err)
		}
		for _, w := range []string{"legal", "winner", "hunter2"} {
			if strings.Contains(err.Error(), w) {
				t.Errorf("%v: holds %q", err, w)
			}
		}
	}
}

func TestSign(t *testing.T) {
	a, b := newKeyring(t, 1), newKeyring(t, 2)
	msg := []byte("rhizome/1 test\x00message")
	sig := a.Sign(msg)
	if !Verify(a.Device(), msg, sig) {
		t.Error("own signature refused")
	}
	if Verify(b.Device(), msg, sig) || Verify(a.Device(), msg[1:], sig) || Verify(DeviceID(a.ID()), msg, sig) {
		t.Error("signature taken for something else")
	}
	sig[0] ^= 1
	if Verify(a.Device(), msg, sig) {
		t.Error("damaged signature taken")
	}
}

func TestDIDKey(t *testing.T) {
	// The first example of the did:key specification's Ed25519 vectors.
	pub := [32]byte{
		0x3b, 0x6a, 0x27, 0xbc, 0xce, 0xb6, 0xa4, 0x2d, 0x62, 0xa3, 0xa8, 0xd0, 0x2a, 0x6f, 0x0d, 0x73,
		0x65, 0x32, 0x15, 0x77, 0x1d, 0xe2, 0x43, 0xa6, 0x3a, 0xc0, 0x48, 0xa1, 0x8b, 0x59, 0xda, 0x29,
	}
	if got := DIDKey(pub); got != "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp" {
		t.Error(got)
	}
}

func TestVolumeID(t *testing.T) {
	k, other := newKeyring(t, 1), newKeyring(t, 2)
	seen := map[VolumeID]string{}
	for what, v := range map[string]VolumeID{
		"home": k.VolumeID("", 0), "notes": k.VolumeID("notes", 0), "notes again": k.VolumeID("notes", 1),
		"late": k.VolumeID("notes", math.MaxUint64), "note": k.VolumeID("note", 0), "other's": other.VolumeID("notes", 0),
	} {
		if seen[v] != "" {
			t.Errorf("%s and %s are one volume", what, seen[v])
		}
		seen[v] = what
	}
	// An epoch more changes no volume's id.
	more := &Secrets{id: k.id, epochs: append(k.epochs, hide(derive([]byte("x"), "y", nil)))}
	if more.VolumeID("notes", 0) != k.VolumeID("notes", 0) {
		t.Error("a new epoch makes another volume")
	}
}

func TestValidName(t *testing.T) {
	for _, good := range []string{"me", "a", "Work & home", "日本", "café", "-x", "a.b", "a.", "👩‍👩‍👧", strings.Repeat("x", 255)} {
		if err := ValidName(good); err != nil {
			t.Error(err)
		}
	}
	for bad, why := range map[string]string{
		"": "empty", ".": "dot", "..": "dot", ".at": "dot", "a/b": "slash", "/": "slash", "a\x00": "U+0000", "a\nb": "U+000A",
		"\x7f": "U+007F", "\u0085": "U+0085", "a\u2028": "U+2028", "\xff": "UTF-8", strings.Repeat("x", 256): "256 bytes",
	} {
		err := ValidName(bad)
		if !errors.Is(err, ErrBadName) || !strings.Contains(err.Error(), why) || len(err.Error()) > 200 {
			t.Errorf("%q: %v", bad, err)
		}
		if newKeyring(t, 1).SetName(bad) == nil {
			t.Errorf("renamed to %q", bad)
		}
	}
}
