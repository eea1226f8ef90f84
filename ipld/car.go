package ipld

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// A segment is a CARv1 file (https://ipld.io/specs/transport/car/carv1/): a header, then sections. CARv1
// wants a root, and a segment has none: it names the empty identity CID (bafkqaaa), which is complete
// in itself.
const carHeader = "\x19" + // 25 bytes
	"\xa2\x65roots\x81\xd8\x2a\x45\x00\x01\x55\x00\x00" + // {"roots": [bafkqaaa],
	"\x67version\x01" //                                       "version": 1}

const cidLen = len(CID{})

// appendCARSection appends a block: uvarint of what follows, the CID, the bytes.
func appendCARSection(dst []byte, b Block) []byte {
	dst = binary.AppendUvarint(dst, uint64(cidLen+len(b.Data)))
	dst = append(dst, b.CID[:]...)
	return append(dst, b.Data...)
}

// carSectionHead is how many bytes stand before the block's bytes.
func carSectionHead(size int) int {
	return (bits.Len64(uint64(cidLen+size))+6)/7 + cidLen
}

// maxCARSectionHead bounds carSectionHead.
const maxCARSectionHead = 4 + 36

// parseCARSection reads what stands before the block's bytes: the block's CID, how many bytes it has,
// and where they begin in b. b may hold less than the whole section.
func parseCARSection(b []byte) (c CID, size, head int, err error) {
	n, used := uvarint(b[:min(len(b), 10)])
	switch {
	case used == 0 || n < uint64(cidLen) || n > uint64(cidLen+MaxBlock):
		return CID{}, 0, 0, fmt.Errorf("read CAR section: bad length: %w", ErrDamaged)
	case len(b) < used+cidLen:
		return CID{}, 0, 0, fmt.Errorf("read CAR section: it is cut short: %w", ErrDamaged)
	}
	if c, err = CIDFromBytes(b[used : used+cidLen]); err != nil {
		return CID{}, 0, 0, fmt.Errorf("read CAR section: %w: %w", ErrDamaged, err)
	}
	return c, int(n) - cidLen, used + cidLen, nil
}
