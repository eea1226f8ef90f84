package eventlog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

const frameVersion = 1

// signPrefix keeps a frame's signature from being taken for any other.
const signPrefix = "rhizome frame 1\x00"

var (
	// ErrBadFrame says that bytes are no frame, or one that no honest device makes.
	ErrBadFrame = errors.New("bad frame")
	// ErrRefused says that a frame is well formed and not signed by a member.
	ErrRefused = errors.New("frame refused")
	// ErrVersion says that a frame is of a version that this program does not know.
	ErrVersion = errors.New("unknown version")
)

// A Header is the part of a frame that is in the clear, and signed.
type Header struct {
	_           struct{} `cbor:",toarray"`
	Version     uint64
	Volume      identity.VolumeID
	Device      identity.DeviceID
	Incarnation uint64
	First       Seq         // of its first event
	Count       uint64      // of its events
	Depth       uint64      // 1 + the greatest depth of the frames it names; 1 if it names none
	Epoch       uint32      // of the key that seals it
	Prev        FrameHash   // the feed's previous frame; zero: none
	BuildsOn    []FrameHash // frames of other feeds that its author had applied, as far as none names another; ascending
	Needs       []ipld.CID  // blocks that its events name; ascending
	Nonce       [identity.NonceSize]byte
	Cipher      [32]byte // SHA-256 of the ciphertext
}

// Feed returns whose frame it is.
func (h *Header) Feed() Feed {
	return Feed{Volume: h.Volume, Device: h.Device, Incarnation: h.Incarnation}
}

// Last returns the place of the last event.
func (h *Header) Last() Seq { return h.First + Seq(h.Count) - 1 }

// sealedHeader returns what the ciphertext authenticates: the header before there was a ciphertext.
func (h Header) sealedHeader() []byte {
	h.Nonce, h.Cipher = [identity.NonceSize]byte{}, [32]byte{}
	return dagcbor.Encode(&h)
}

// A Frame is consecutive events of a feed, compressed, sealed, signed. It doesn't change.
type Frame struct {
	Header
	Raw  []byte
	Hash FrameHash

	header     []byte // as encoded
	sig        [64]byte
	ciphertext []byte
}

// frameRecord is a frame's encoding.
type frameRecord struct {
	_          struct{} `cbor:",toarray"`
	Header     []byte
	Sig        [64]byte
	Ciphertext []byte
}

// ParseFrame reads a frame, and checks everything that needs neither keys nor other frames, but the signature. The
// frame keeps raw. Errors: ErrBadFrame, ErrTooBig, ErrVersion.
func ParseFrame(raw []byte) (*Frame, error) {
	if len(raw) > MaxFrame {
		return nil, fmt.Errorf("parse frame of %d bytes: %w", len(raw), ErrTooBig)
	}
	var rec frameRecord
	if err := dagcbor.Decode(raw, &rec); err != nil {
		return nil, fmt.Errorf("parse frame: %w: %w", ErrBadFrame, err)
	}
	f := &Frame{Raw: raw, Hash: sha256.Sum256(raw), header: rec.Header, sig: rec.Sig, ciphertext: rec.Ciphertext}
	if err := parseHeader(rec.Header, &f.Header); err != nil {
		return nil, fmt.Errorf("parse frame: %w", err)
	}
	if sha256.Sum256(f.ciphertext) != f.Cipher {
		return nil, fmt.Errorf("parse frame: %w: ciphertext is not the one that was signed", ErrBadFrame)
	}
	return f, nil
}

func parseHeader(raw []byte, h *Header) error {
	if len(raw) < 2 || raw[1] != frameVersion { // the version is the array's first item
		return ErrVersion
	}
	if err := dagcbor.Decode(raw, h); err != nil {
		return fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	return h.check()
}

func (h *Header) check() error {
	switch {
	case h.Version != frameVersion:
		return ErrVersion
	case h.Count == 0 || h.Count > MaxEvents || h.First == 0 || h.Last() < h.First:
		return fmt.Errorf("%w: events %d+%d", ErrBadFrame, h.First, h.Count)
	case h.Depth == 0:
		return fmt.Errorf("%w: depth 0", ErrBadFrame)
	case (h.Prev == FrameHash{}) != (h.First == 1):
		return fmt.Errorf("%w: event %d with previous frame %x", ErrBadFrame, h.First, h.Prev[:4])
	case len(h.BuildsOn) > MaxBuildsOn || len(h.Needs) > MaxNeeds:
		return fmt.Errorf("%w: names %d frames and %d blocks", ErrTooBig, len(h.BuildsOn), len(h.Needs))
	case !ascending(h.BuildsOn, func(a, b FrameHash) int { return bytes.Compare(a[:], b[:]) }),
		!ascending(h.Needs, func(a, b ipld.CID) int { return bytes.Compare(a[:], b[:]) }):
		return fmt.Errorf("%w: what it names is not in order", ErrBadFrame)
	case slices.Contains(h.BuildsOn, FrameHash{}) || slices.Contains(h.BuildsOn, h.Prev):
		return fmt.Errorf("%w: builds on its previous frame or on none", ErrBadFrame)
	}
	return nil
}

func ascending[T any](s []T, compare func(a, b T) int) bool {
	for i := 1; i < len(s); i++ {
		if compare(s[i-1], s[i]) >= 0 {
			return false
		}
	}
	return true
}

// Verify reports whether f is signed by the device that it names. It needs no keys.
func (f *Frame) Verify() bool {
	return identity.Verify(f.Device, append([]byte(signPrefix), f.header...), f.sig)
}

// sealFrame makes a frame of es. h lacks only Count, Nonce and Cipher.
func (l *Log) sealFrame(h Header, es []Event) (*Frame, error) {
	h.Count = uint64(len(es))
	plain, err := l.packer.pack(es)
	if err != nil {
		return nil, err
	}
	nonce, ciphertext, err := l.keys.SealFrame(l.rand, h.Epoch, h.sealedHeader(), plain)
	if err != nil {
		return nil, err
	}
	h.Nonce, h.Cipher = nonce, sha256.Sum256(ciphertext)
	f := &Frame{Header: h, header: dagcbor.Encode(&h), ciphertext: ciphertext}
	f.sig = l.sign(append([]byte(signPrefix), f.header...))
	f.Raw = dagcbor.Encode(&frameRecord{Header: f.header, Sig: f.sig, Ciphertext: ciphertext})
	f.Hash = sha256.Sum256(f.Raw)
	return f, nil
}

// openFrame returns f's events. Errors: identity.ErrNoKey, and others that every device with the keys meets alike.
func (l *Log) openFrame(f *Frame) ([]Event, error) {
	plain, err := l.keys.OpenFrame(f.Epoch, f.Nonce, f.sealedHeader(), f.ciphertext)
	if err != nil {
		return nil, fmt.Errorf("open frame %x: %w", f.Hash[:4], err)
	}
	es, err := l.packer.unpack(plain)
	if err == nil && uint64(len(es)) != f.Count {
		err = fmt.Errorf("%w: %d events where its header says %d", ErrBadFrame, len(es), f.Count)
	}
	if err != nil {
		return nil, fmt.Errorf("open frame %x: %w", f.Hash[:4], err)
	}
	return es, nil
}
