package identity

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"
)

// twoEpochs returns secrets as a device has them after a second key epoch began.
func twoEpochs(t testing.TB) *Secrets {
	k := newKeyring(t, 1)
	return &Secrets{id: k.id, epochs: []vault[*Secret]{k.epochs[0], hide(derive([]byte("second"), "epoch", nil))}}
}

func TestFrames(t *testing.T) {
	s := twoEpochs(t)
	keys := s.VolumeKeys(s.VolumeID("notes", 0))
	if keys.Epoch() != 2 {
		t.Errorf("epoch %d", keys.Epoch())
	}
	header, plain := []byte("header"), []byte("plain bytes")
	for epoch := uint32(1); epoch <= 2; epoch++ {
		nonce, sealed, err := keys.SealFrame(rand.Reader, epoch, header, plain)
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != len(plain)+Overhead || bytes.Contains(sealed, plain) {
			t.Error("not sealed")
		}
		got, err := keys.OpenFrame(epoch, nonce, header, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%q, %v", got, err)
		}
		again, _, err := keys.SealFrame(rand.Reader, epoch, header, plain)
		if err != nil || again == nonce {
			t.Errorf("the nonce came twice (%v)", err)
		}

		wrong := nonce
		wrong[23] ^= 1
		refuse := func(what string, k *VolumeKeys, epoch uint32, nonce [NonceSize]byte, header, sealed []byte) {
			if _, err := k.OpenFrame(epoch, nonce, header, sealed); !errors.Is(err, ErrSealed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		refuse("other nonce", keys, epoch, wrong, header, sealed)
		refuse("other header", keys, epoch, nonce, header[1:], sealed)
		refuse("other epoch", keys, 3-epoch, nonce, header, sealed)
		refuse("other volume", s.VolumeKeys(s.VolumeID("notes", 1)), epoch, nonce, header, sealed)
		refuse("other identity", newKeyring(t, 2).VolumeKeys(s.VolumeID("notes", 0)), 1, nonce, header, sealed)
		for i := range sealed {
			sealed[i] ^= 0x10
			refuse("flipped bit", keys, epoch, nonce, header, sealed)
			refuse("cut", keys, epoch, nonce, header, sealed[:i])
			sealed[i] ^= 0x10
		}
	}
}

func TestMissingEpoch(t *testing.T) {
	k := newKeyring(t, 1)
	keys := k.VolumeKeys(k.VolumeID("notes", 0))
	for _, epoch := range []uint32{0, 2, 1<<32 - 1} {
		if _, ok := keys.FrameKey(epoch); ok {
			t.Errorf("there is a key of epoch %d", epoch)
		}
		if _, _, err := keys.SealFrame(rand.Reader, epoch, nil, nil); !errors.Is(err, ErrNoKey) {
			t.Errorf("seal: %v", err)
		}
		if _, err := keys.OpenFrame(epoch, [NonceSize]byte{}, nil, nil); !errors.Is(err, ErrNoKey) {
			t.Errorf("open: %v", err)
		}
	}
	if _, _, err := keys.SealFrame(bytes.NewReader(nil), 1, nil, nil); !errors.Is(err, io.EOF) {
		t.Errorf("no randomness: %v", err)
	}
}

// Every use of a secret has a key of its own; what must be the same is the same.
func TestKeysAreApart(t *testing.T) {
	s := twoEpochs(t)
	v, w := s.VolumeKeys(s.VolumeID("v", 0)), s.VolumeKeys(s.VolumeID("w", 0))
	k := newKeyring(t, 1)
	seen := map[Secret]string{*s.epochs[0](): "secret 1", *s.epochs[1](): "secret 2", *k.local(): "local"}
	add := func(what string, s Secret) {
		if seen[s] != "" {
			t.Errorf("%s and %s are one key", what, seen[s])
		}
		seen[s] = what
	}
	frameKey := func(k *VolumeKeys, epoch uint32) Secret {
		key, ok := k.FrameKey(epoch)
		if !ok {
			t.Fatalf("no key of epoch %d", epoch)
		}
		return key
	}
	add("v's frames 1", frameKey(v, 1))
	add("v's frames 2", frameKey(v, 2))
	add("w's frames 1", frameKey(w, 1))
	add("w's frames 2", frameKey(w, 2))
	add("convergence 1", v.ConvergenceSecret(1))
	add("convergence 2", v.ConvergenceSecret(2))
	add("chunks", v.ChunkKey())
	add("inodes", k.InoKey())
	add("check 1", checkOf(s.epochs[0]()))
	add("root ed25519", Secret(newRoot(k.entropy()).sign().Seed()))
	add("root x25519", Secret(newRoot(k.entropy()).agree().Bytes()))
	if v.ConvergenceSecret(1) != w.ConvergenceSecret(1) || v.ChunkKey() != w.ChunkKey() {
		t.Error("a copy to another volume would be stored twice")
	}
	if one := k.VolumeKeys(k.VolumeID("v", 0)); one.ChunkKey() != v.ChunkKey() || frameKey(one, 1) != frameKey(v, 1) {
		t.Error("a new epoch changes old keys")
	}
	// What they are for takes plain arrays.
	var _ [32]byte = v.ChunkKey()
}

func BenchmarkSealFrame(b *testing.B) {
	k := newKeyring(b, 1)
	keys := k.VolumeKeys(k.VolumeID("notes", 0))
	plain := make([]byte, 64<<10)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, _, err := keys.SealFrame(rand.Reader, 1, nil, plain); err != nil {
			b.Fatal(err)
		}
	}
}
