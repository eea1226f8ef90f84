package ipld

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The plain framing: what is encrypted begins with a byte that says how the rest holds the plain bytes.
//
//	0x00  the plain bytes
//	0x01  uvarint: their length; one zstd frame
const (
	frameStored = 0x00
	frameZstd   = 0x01
)

// minCompress is the length below which compressing is not tried: a frame's header eats the gain.
const minCompress = 96

// compressor is what every device compresses with: klauspost/compress v1.20.3, level fastest, no checksum
// (the seal is one). EncodeAll compresses in the calling goroutine and its output depends on its input
// alone. Another version may compress otherwise, which costs deduplication between devices and equal
// snapshot roots: then frameZstd needs a successor, and a test with golden blocks says so. It is made at
// first use and never changed.
var compressor = sync.OnceValue(newCompressor)

func newCompressor() *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true),
		zstd.WithWindowSize(MaxPlain))
	if err != nil {
		panic(fmt.Sprintf("ipld: zstd encoder: %v", err)) // the options are constants
	}
	return e
}

// decompressor is made at first use and never changed.
var decompressor = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderMaxMemory(MaxPlain),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(fmt.Sprintf("ipld: zstd decoder: %v", err))
	}
	return d
})

// appendFrame appends the framing of plain to dst. Compression must save a sixteenth, else reading
// would pay for nothing.
func appendFrame(dst, plain []byte) []byte {
	start := len(dst)
	if len(plain) >= minCompress {
		dst = append(dst, frameZstd)
		dst = binary.AppendUvarint(dst, uint64(len(plain)))
		dst = compressor().EncodeAll(plain, dst)
		if len(dst)-start <= len(plain)-len(plain)/16 {
			return dst
		}
		dst = dst[:start]
	}
	dst = append(dst, frameStored)
	return append(dst, plain...)
}

// parseFrame returns the plain bytes, which may lie within b.
func parseFrame(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("read plain framing: it is empty: %w", ErrDamaged)
	}
	kind, rest := b[0], b[1:]
	switch kind {
	case frameStored:
		if len(rest) > MaxPlain {
			return nil, fmt.Errorf("read plain framing: %d bytes are too many: %w", len(rest), ErrDamaged)
		}
		return rest, nil
	case frameZstd:
		n, used := uvarint(rest)
		if used == 0 || n > MaxPlain {
			return nil, fmt.Errorf("read plain framing: bad length: %w", ErrDamaged)
		}
		plain, err := decompressor().DecodeAll(rest[used:], make([]byte, 0, n))
		if err != nil {
			return nil, fmt.Errorf("read plain framing: %w: %w", ErrDamaged, err)
		}
		if uint64(len(plain)) != n {
			return nil, fmt.Errorf("read plain framing: %d bytes instead of %d: %w", len(plain), n, ErrDamaged)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("read plain framing: unknown kind %d: %w", kind, ErrDamaged)
}

// uvarint is binary.Uvarint that takes the shortest form only; it returns 0 bytes used for anything else.
func uvarint(b []byte) (v uint64, used int) {
	v, used = binary.Uvarint(b)
	if used <= 0 || used > 1 && b[used-1] == 0 {
		return 0, 0
	}
	return v, used
}
