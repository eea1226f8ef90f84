package ipld

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A CARWriter writes blocks as a CARv1 file, as segments are: see docs/FORMATS.md.
type CARWriter struct {
	w    io.Writer
	buf  []byte
	size int64
}

// NewCARWriter writes the header. It names root, or if that is zero the empty identity CID, as a segment does.
func NewCARWriter(w io.Writer, root CID) (*CARWriter, error) {
	c := &CARWriter{w: w, buf: []byte(carHeader)}
	if !root.IsZero() {
		c.buf = carHeaderOf(root)
	}
	return c, c.flush()
}

// CARHeaderSize is how many bytes stand before the first block of a file that names no root.
const CARHeaderSize = int64(len(carHeader))

// carHeaderOf is the header of a file with one root.
func carHeaderOf(root CID) []byte {
	b := appendCIDLink([]byte("\xa2\x65roots\x81"), root)
	b = append(b, "\x67version\x01"...)
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

// Put appends a block, which the caller knows to be what its CID says.
func (c *CARWriter) Put(b Block) error {
	c.buf = appendCARSection(c.buf[:0], b)
	return c.flush()
}

// Size returns how many bytes the file has so far.
func (c *CARWriter) Size() int64 { return c.size }

func (c *CARWriter) flush() error {
	n, err := c.w.Write(c.buf)
	c.size += int64(n)
	if err != nil {
		return fmt.Errorf("write CAR: %w", err)
	}
	return nil
}

// CARSectionSize is how many bytes a block of size bytes takes in a CAR file.
func CARSectionSize(size int) int64 { return int64(carSectionHead(size) + size) }

// ReadCARAt reads the block at off of a CAR file of size bytes, checks it, and returns where the next one begins. The error is ErrDamaged
// if what is there is no block; next is then 0, or what follows if only the block's bytes are not what its CID says.
func ReadCARAt(r io.ReaderAt, off, size int64) (b Block, next int64, err error) {
	head := make([]byte, min(maxCARSectionHead, max(size-off, 0)))
	if _, err := r.ReadAt(head, off); err != nil {
		return Block{}, 0, fmt.Errorf("read CAR at %d: %w: %w", off, ErrDamaged, err)
	}
	c, length, at, err := parseCARSection(head)
	if err != nil {
		return Block{}, 0, fmt.Errorf("read CAR at %d: %w", off, err)
	}
	next = off + int64(at+length)
	if next > size {
		return Block{}, 0, fmt.Errorf("read CAR at %d: %w: it is cut short", off, ErrDamaged)
	}
	data := make([]byte, length)
	if _, err := r.ReadAt(data, off+int64(at)); err != nil && length > 0 {
		return Block{}, 0, fmt.Errorf("read CAR at %d: %w: %w", off, ErrDamaged, err)
	}
	b = Block{c, data}
	return b, next, b.Verify()
}

// CIDOfDigest makes a CID of its digest and codec, and reports whether a block of ours can have it.
func CIDOfDigest(digest [32]byte, codec Codec) (CID, bool) {
	c := CID{0x01, byte(codec), 0x12, 0x20}
	copy(c[cidPrefixLen:], digest[:])
	return c, c.valid()
}

// Digest returns the SHA-256 of the block's bytes.
func (c CID) Digest() [32]byte { return [32]byte(c[cidPrefixLen:]) }
