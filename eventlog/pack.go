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

// packEvents returns the plain bytes of a frame.
func packEvents(es []Event) ([]byte, error) {
	list := dagcbor.Encode(es)
	if len(list) > MaxPlain {
		return nil, fmt.Errorf("frame of %d bytes: %w", len(list), ErrTooBig)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	packed := enc.EncodeAll(list, append(make([]byte, 0, 64+len(list)/2), packedZstd))
	if err := enc.Close(); err != nil {
		return nil, err
	}
	if len(packed) > len(list) {
		return append([]byte{packedPlain}, list...), nil
	}
	return packed, nil
}

// unpackEvents reads what packEvents made, whoever ran it. It takes no more than MaxPlain bytes of memory for the list.
func unpackEvents(plain []byte) ([]Event, error) {
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
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(MaxPlain))
		if err != nil {
			return nil, err
		}
		defer dec.Close()
		if list, err = dec.DecodeAll(list, nil); err != nil {
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
