package eventlog

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// The first byte of a frame's plain bytes says how the list of events behind it is written.
const (
	packedPlain = 0
	packedZstd  = 1
)

// A packer compresses and decompresses lists of events, within bounds. Any number of goroutines may use it.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newPacker() packer {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic("eventlog: zstd: " + err.Error()) // the options are right
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxPlain))
	if err != nil {
		panic("eventlog: zstd: " + err.Error())
	}
	return packer{enc, dec}
}

// pack returns the plain bytes of a frame.
func (p packer) pack(es []Event) ([]byte, error) {
	list := encodeEvents(es)
	if len(list) > MaxPlain {
		return nil, fmt.Errorf("frame of %d bytes: %w", len(list), ErrTooBig)
	}
	packed := p.enc.EncodeAll(list, append(make([]byte, 0, 64+len(list)/2), packedZstd))
	if len(packed) > len(list) {
		return append([]byte{packedPlain}, list...), nil
	}
	return packed, nil
}

// encodeEvents returns the canonical list of a frame's events, as dagcbor.Encode does, without its copies.
func encodeEvents(es []Event) []byte {
	size := 16
	for _, e := range es {
		size += len(e.Body) + 32
	}
	list := appendHead(make([]byte, 0, size), majorArray, uint64(len(es)))
	for _, e := range es {
		list = appendHead(list, majorArray, 2)
		list = appendInt(list, e.Time)
		list = appendBytes(list, e.Body)
	}
	return list
}

// unpack reads what pack made, whoever ran it. It takes no more than MaxPlain bytes of memory for the list.
func (p packer) unpack(plain []byte) ([]Event, error) {
	if len(plain) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrBadFrame)
	}
	list := plain[1:]
	switch plain[0] {
	case packedPlain:
		if len(list) > MaxPlain {
			return nil, fmt.Errorf("events: %w", ErrTooBig)
		}
	case packedZstd:
		var err error
		if list, err = p.dec.DecodeAll(list, nil); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadFrame, err)
		}
	default:
		return nil, fmt.Errorf("%w: packed as %d", ErrBadFrame, plain[0])
	}
	return decodeEvents(list)
}

// decodeEvents reads the canonical list of a frame's events.
func decodeEvents(list []byte) ([]Event, error) {
	var es []Event
	if err := dagcbor.Decode(list, &es); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	if len(es) > MaxEvents {
		return nil, fmt.Errorf("%d events: %w", len(es), ErrTooBig)
	}
	for _, e := range es {
		if len(e.Body) > MaxBody {
			return nil, fmt.Errorf("event of %d bytes: %w", len(e.Body), ErrTooBig)
		}
	}
	return es, nil
}
