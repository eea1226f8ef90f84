package identity

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The words and the membership log bring an identity to a new device, again and again, with the same keys for what was sealed.
func TestRecover(t *testing.T) {
	old, err := NewIdentity(rand.Reader, "ada", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	words, err := old.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	if id, err := PhraseIdentity(words); err != nil || id != old.ID() {
		t.Fatalf("%v %v", id, err)
	}
	entries := [][]byte{old.Genesis()}
	devices := map[DeviceID]bool{old.Device(): true}
	for range 3 {
		k, admitted, err := Recover(rand.Reader, words, "again", entries, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, admitted)
		m, err := FoldMembership(entries)
		if err != nil {
			t.Fatal(err)
		}
		if devices[k.Device()] || !m.Allows(k.Device()) {
			t.Fatalf("device %v is not a new member", k.Device())
		}
		devices[k.Device()] = true
		if k.InoKey() == old.InoKey() || k.Incarnation() == old.Incarnation() {
			t.Error("the new device has the old one's local secret or incarnation")
		}
		v := old.VolumeID("notes", 1)
		a, _ := old.VolumeKeys(v).FrameKey(1)
		if b, ok := k.VolumeKeys(k.VolumeID("notes", 1)).FrameKey(1); !ok || a != b {
			t.Error("the keys of a volume are others")
		}
		if _, err := k.Phrase(); !errors.Is(err, ErrForgotten) {
			t.Errorf("the new device holds the phrase: %v", err)
		}
		if !PhraseMatches(k, words) {
			t.Error("the phrase is no longer the identity's")
		}
		fs := vfs.NewMem()
		if err := k.Save(fs, "ids"); err != nil {
			t.Fatal(err)
		}
		if again, err := LoadKeyrings(fs, "ids"); err != nil || len(again) != 1 || again[0].Device() != k.Device() {
			t.Fatalf("%d keyrings: %v", len(again), err)
		}
	}
}

func TestRecoverRefuses(t *testing.T) {
	ada, err := NewIdentity(rand.Reader, "ada", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	bob, err := NewIdentity(rand.Reader, "bob", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	adas, _ := ada.Phrase()
	bobs, _ := bob.Phrase()
	log := [][]byte{ada.Genesis()}
	for name, c := range map[string]struct {
		words, name string
		log         [][]byte
		want        error
	}{
		"another identity's words": {bobs, "ada", log, ErrBadPhrase},
		"no words":                 {"hello", "ada", log, ErrBadPhrase},
		"a bad name":               {adas, "a/b", log, ErrBadName},
		"no log":                   {adas, "ada", nil, ErrDamaged},
		"two beginnings":           {adas, "ada", [][]byte{ada.Genesis(), bob.Genesis()}, ErrBrokenChain},
	} {
		if _, _, err := Recover(rand.Reader, c.words, c.name, c.log, time.Now()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
