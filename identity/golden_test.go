package identity

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/cryptotest"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden returns the bytes of a golden file, after writing made() to it if asked to.
func golden(t *testing.T, name string, made func() []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, made(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What age draws for itself is different in every run, so the files are not made again and compared, but read, and held
// against what they were made from.
func TestGoldenKeyring(t *testing.T) {
	if *rewrite {
		cryptotest.SetGlobalRandom(t, 1)
	}
	for name, forgotten := range map[string]bool{"keyring.golden": false, "keyring-forgotten.golden": true} {
		data := golden(t, name, func() []byte { return newOrForgotten(t, forgotten).encode() })
		got, err := parseKeyring(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(got.encode(), data) {
			t.Errorf("%s: encoded otherwise", name)
		}
		want := newOrForgotten(t, forgotten)
		want.genesis = got.genesis
		if !bytes.Equal(want.encode(), data) {
			t.Errorf("%s: another keyring", name)
		}
	}
}

func newOrForgotten(t *testing.T, forgotten bool) *Keyring {
	k := newKeyring(t, 1)
	if forgotten {
		k.Forget()
	}
	return k
}

func TestGoldenMembership(t *testing.T) {
	if *rewrite {
		cryptotest.SetGlobalRandom(t, 2)
	}
	c, ks := fourDevices(t)
	data := golden(t, "membership.golden", func() []byte { return dagcbor.Encode(c.entries) })
	var entries [][]byte
	if err := dagcbor.Decode(data, &entries); err != nil {
		t.Fatal(err)
	}
	m, err := FoldMembership(entries)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range ks {
		if got, is := m.Member(k.Device()); !is || got.Agree != k.agreePublic() {
			t.Errorf("device %d is no member", i)
		}
	}
	for i, raw := range entries {
		e, err := parseEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		signer := [][]byte{newRoot(ks[0].entropy()).sign(), ks[0].sign(), ks[1].sign(), newRoot(ks[0].entropy()).sign()}[i]
		if !bytes.Equal(signEntry(e.entryBody, signer), raw) {
			t.Errorf("entry %d: encoded otherwise", i+1)
		}
	}
	phrase, err := ks[0].Phrase()
	if err != nil {
		t.Fatal(err)
	}
	s, err := RecoverSecrets(phrase, entries)
	if err != nil || *s.epochs[0]() != *ks[0].epochs[0]() {
		t.Errorf("not recovered: %v", err)
	}
}

// A key that came out otherwise would open nothing that was sealed before.
func TestGoldenKeys(t *testing.T) {
	made := keyVectors(t)
	if got := golden(t, "keys.golden", func() []byte { return made }); !bytes.Equal(got, made) {
		t.Errorf("keys have changed: now\n%s", made)
	}
}

func keyVectors(t *testing.T) []byte {
	s := twoEpochs(t)
	k := newKeyring(t, 1)
	phrase, err := k.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	line := func(name string, value []byte) { fmt.Fprintf(&out, "%s: %x\n", name, value) }
	fmt.Fprintf(&out, "phrase: %s\nidentity: %v\ndevice: %v\nincarnation: %d\n", phrase, k.ID(), k.Device(), k.Incarnation())
	r := newRoot(k.entropy())
	line("root x25519 public key", r.agree().PublicKey().Bytes())
	line("secret of epoch 1", s.epochs[0]()[:])
	line("secret of epoch 2", s.epochs[1]()[:])
	check := checkOf(s.epochs[0]())
	line("check of epoch 1", check[:])
	ino := k.InoKey()
	line("local secret", k.local()[:])
	line("inode numbers", ino[:])
	home, notes := s.VolumeID("", 0), s.VolumeID("notes", 3)
	line("volume id of the home volume", home[:])
	line("volume id of notes, generation 3", notes[:])
	v := s.VolumeKeys(notes)
	chunk := v.ChunkKey()
	line("chunk boundaries", chunk[:])
	for epoch := uint32(1); epoch <= 2; epoch++ {
		frame, _ := v.FrameKey(epoch)
		convergence := v.ConvergenceSecret(epoch)
		line(fmt.Sprintf("frame of notes, epoch %d", epoch), frame[:])
		line(fmt.Sprintf("convergence, epoch %d", epoch), convergence[:])
		nonce := bytes.Repeat([]byte{byte(epoch)}, NonceSize)
		_, sealed, err := v.SealFrame(bytes.NewReader(nonce), epoch, []byte("header"), []byte("plain"))
		if err != nil {
			t.Fatal(err)
		}
		line(fmt.Sprintf("plain sealed with header and a nonce of bytes %d", epoch), sealed)
	}
	return out.Bytes()
}
