package identity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/leakcheck"
)

func TestKeyringFlippedBitsAndCuts(t *testing.T) {
	good := newKeyring(t, 1).encode()
	if _, err := parseKeyring(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if _, err := parseKeyring(good[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
		for bit := range 8 {
			spoiled := bytes.Clone(good)
			spoiled[i] ^= 1 << bit
			want := ErrDamaged
			if i == 1 && spoiled[i] > 1 && spoiled[i] < 24 { // the version, now a higher one
				want = ErrNewer
			}
			if _, err := parseKeyring(spoiled); !errors.Is(err, want) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}
}

// reseal gives a spoiled body a checksum that is right.
func reseal(body []byte) []byte {
	return dagcbor.Encode(keyringFile{Version: keyringVersion, Body: body, Sum: sha256.Sum256(body)})
}

// Even where the checksum lets it pass, no error shows what is in the file.
func TestKeyringErrorsDoNotLeak(t *testing.T) {
	k := newKeyring(t, 1)
	var f keyringFile
	if err := dagcbor.Decode(k.encode(), &f); err != nil {
		t.Fatal(err)
	}
	var errs []byte
	for i := range f.Body {
		body := bytes.Clone(f.Body)
		body[i] ^= 0x21
		for _, data := range [][]byte{reseal(body), reseal(body[:i]), reseal(body[i:])} {
			if _, err := parseKeyring(data); err != nil { // or it is another secret of this device alone
				errs = fmt.Appendln(errs, err)
			}
		}
	}
	if err := leakcheck.Find(errs, k.entropy()[:], k.sign().Seed(), k.agree().Bytes(), k.epochs[0]()[:]); err != nil {
		t.Error(err)
	}
}

func FuzzParseKeyring(f *testing.F) {
	k := newKeyring(f, 1)
	f.Add(k.encode(), false)
	k.Forget()
	f.Add(k.encode(), false)
	var file keyringFile
	if err := dagcbor.Decode(k.encode(), &file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Body, true)
	f.Fuzz(func(t *testing.T, data []byte, isBody bool) {
		if isBody {
			data = reseal(data)
		}
		k, err := parseKeyring(data)
		if err == nil && !bytes.Equal(k.encode(), data) {
			t.Error("taken, and encoded otherwise")
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrBadSignature) &&
			!errors.Is(err, ErrUnknownSigner) && !errors.Is(err, ErrBrokenChain) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

// FuzzFoldMembership takes the log as one string of entries, each after its length, because a fuzzer can't take a list.
func FuzzFoldMembership(f *testing.F) {
	c, _ := fourDevices(f)
	f.Add(dagcbor.Encode(c.entries), false)
	f.Add(dagcbor.Encode(c.entries[:1]), false)
	signer := newKeyring(f, 1)
	var s signedEntry
	if err := dagcbor.Decode(c.entries[1], &s); err != nil {
		f.Fatal(err)
	}
	f.Add(s.Body, true)
	f.Fuzz(func(t *testing.T, data []byte, isBody bool) {
		var entries [][]byte
		if isBody { // get past the signature: the second entry's body is what the fuzzer makes of it
			var s signedEntry
			s.Version, s.Body, s.Signer = entryVersion, data, signer.Device()
			s.Signature = signer.Sign(append([]byte(entryDomain), data...))
			entries = [][]byte{c.entries[0], dagcbor.Encode(s)}
		} else if dagcbor.Decode(data, &entries) != nil {
			return
		}
		m, err := FoldMembership(entries)
		if err != nil {
			return
		}
		if m.Len() != len(entries) || len(m.Members()) == 0 || m.Allows(DeviceID(m.Identity())) {
			t.Error("taken, and wrong")
		}
		for i, raw := range entries {
			if e, err := parseEntry(raw); err != nil || e.Seq != uint64(i)+1 || e.Identity != m.Identity() {
				t.Errorf("entry %d: %v", i+1, err)
			}
		}
		if _, err := FoldMembership(append(entries, entries[len(entries)-1])); !errors.Is(err, ErrReplay) {
			t.Errorf("the last entry again: %v", err)
		}
	})
}

func FuzzParsePhrase(f *testing.F) {
	k := newKeyring(f, 1)
	phrase, err := k.Phrase()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(phrase)
	f.Add("")
	f.Fuzz(func(t *testing.T, words string) {
		entropy, err := parsePhrase(words)
		if err != nil {
			return
		}
		again, err := entropy.phrase()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parsePhrase(again); err != nil || *back != *entropy {
			t.Error("the words do not lead back")
		}
	})
}
