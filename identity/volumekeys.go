package identity

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// NonceSize is the size of a frame's nonce; Overhead is what sealing adds to a frame's plain bytes.
const (
	NonceSize = chacha20poly1305.NonceSizeX
	Overhead  = chacha20poly1305.Overhead
)

var (
	// ErrNoKey says that a device has no key of the epoch that something was sealed with.
	ErrNoKey = errors.New("no key of that epoch")
	// ErrSealed says that sealed bytes don't open: they or their header are damaged, or the key is another one.
	ErrSealed = errors.New("sealed bytes do not open")
)

// Secrets are an identity's secrets, one for each key epoch from 1 on. They don't change: a new epoch makes new Secrets.
type Secrets struct {
	concealed
	id     IdentityID
	epochs []vault[*Secret] // INVARIANT: at least one; epochs[i] is of epoch i+1
}

// ID returns whose secrets they are.
func (s *Secrets) ID() IdentityID { return s.id }

// Epoch returns the newest key epoch.
func (s *Secrets) Epoch() uint32 { return uint32(len(s.epochs)) }

// VolumeID returns the id of the identity's own volume of that name: the same on every device and for ever. The
// generation tells apart volumes that had one name at different times. The empty name is the home volume.
func (s *Secrets) VolumeID(name string, generation uint64) VolumeID {
	mac := hmac.New(sha256.New, derive(s.epochs[0]()[:], "volume id", nil)[:])
	mac.Write(binary.BigEndian.AppendUint64(nil, generation))
	mac.Write([]byte(name))
	return VolumeID(mac.Sum(nil)[:len(VolumeID{})])
}

// VolumeKeys returns the keys of volume v for every epoch in s.
func (s *Secrets) VolumeKeys(v VolumeID) *VolumeKeys {
	k := &VolumeKeys{chunk: hide(derive(s.epochs[0]()[:], "chunk boundaries", nil))}
	for _, e := range s.epochs {
		frame := derive(e()[:], "frame", v[:])
		aead, err := chacha20poly1305.NewX(frame[:])
		if err != nil {
			panic("identity: xchacha20poly1305: " + err.Error()) // the key has the right length
		}
		k.epochs = append(k.epochs, volumeEpoch{hide(frame), hide(derive(e()[:], "convergence", nil)), hide(aead)})
	}
	return k
}

// VolumeKeys are what opens and seals one volume. They don't change, and may be used by many goroutines.
//
// Frames are sealed with XChaCha20-Poly1305. All devices of an identity seal under one key for as long as an epoch
// lasts, which can be years, and share no counter: nonces must be random. AES-GCM's 96 bits allow 2^32 frames
// under a key before a collision becomes likelier than 2^-32, and several busy devices (ten frames a second each) are there
// in a few years; a collision would give away the authentication key. 192 bits have no such bound, and a copied store,
// whose counters would repeat, is harmless too. Frames are sealed in the background, so AES-GCM's speed is not missed.
type VolumeKeys struct {
	concealed
	epochs []volumeEpoch // INVARIANT: at least one; epochs[i] is of epoch i+1
	chunk  vault[*Secret]
}

type volumeEpoch struct {
	frame       vault[*Secret]
	convergence vault[*Secret]
	aead        vault[cipher.AEAD]
}

func (k *VolumeKeys) epoch(n uint32) (volumeEpoch, bool) {
	if n == 0 || int64(n) > int64(len(k.epochs)) {
		return volumeEpoch{}, false
	}
	return k.epochs[n-1], true
}

// Epoch returns the newest key epoch: what new frames and blocks are sealed with.
func (k *VolumeKeys) Epoch() uint32 { return uint32(len(k.epochs)) }

// FrameKey returns the key of an epoch's frames, or false if it is not here.
func (k *VolumeKeys) FrameKey(epoch uint32) (Secret, bool) {
	e, ok := k.epoch(epoch)
	if !ok {
		return Secret{}, false
	}
	return *e.frame(), true
}

// ConvergenceSecret returns the secret from which the keys of an epoch's blocks are made. It is the same for all of the
// identity's own volumes, so that a copy from one to another stores nothing twice. It panics if the epoch is not one of k.
func (k *VolumeKeys) ConvergenceSecret(epoch uint32) Secret {
	e, ok := k.epoch(epoch)
	if !ok {
		panic(fmt.Sprintf("identity: no key epoch %d", epoch))
	}
	return *e.convergence()
}

// ChunkKey returns the key that decides where content is cut. It is the same in all epochs and in all of the identity's
// own volumes: else the first edit of a file after an epoch would cut it anew.
func (k *VolumeKeys) ChunkKey() Secret { return *k.chunk() }

// SealFrame encrypts plain with the key of an epoch and a nonce drawn from rand, and authenticates header with it. Errors:
// ErrNoKey, and rand's.
func (k *VolumeKeys) SealFrame(rand io.Reader, epoch uint32, header, plain []byte) (nonce [NonceSize]byte, ciphertext []byte, err error) {
	e, ok := k.epoch(epoch)
	if !ok {
		return nonce, nil, fmt.Errorf("seal frame: %w (%d)", ErrNoKey, epoch)
	}
	if _, err := io.ReadFull(rand, nonce[:]); err != nil {
		return nonce, nil, fmt.Errorf("seal frame: draw a nonce: %w", err)
	}
	return nonce, e.aead().Seal(nil, nonce[:], plain, header), nil
}

// OpenFrame is the inverse of SealFrame. Errors: ErrNoKey, ErrSealed.
func (k *VolumeKeys) OpenFrame(epoch uint32, nonce [NonceSize]byte, header, ciphertext []byte) ([]byte, error) {
	e, ok := k.epoch(epoch)
	if !ok {
		return nil, fmt.Errorf("open frame: %w (%d)", ErrNoKey, epoch)
	}
	plain, err := e.aead().Open(nil, nonce[:], ciphertext, header)
	if err != nil {
		return nil, fmt.Errorf("open frame: %w", ErrSealed)
	}
	return plain, nil
}
