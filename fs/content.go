package fs

import (
	"bytes"
	"errors"
	"io"

	"github.com/rhizome-fs/rhizome/ipld"
)

// content is the bytes of one version: they do not change.
type content interface {
	io.ReaderAt
	Size() int64
	// extent tells what is at off, which lies before the end: data, or a hole, which reads as zeros; and where that run
	// ends. What follows may be of the same kind.
	extent(off int64) (end int64, data bool, err error)
}

// inline is content that stands in its event.
type inline struct{ *bytes.Reader }

func newInline(b []byte) inline { return inline{bytes.NewReader(b)} }

func (i inline) extent(int64) (int64, bool, error) { return i.Size(), true, nil }

// sealed is content in the block store.
type sealed struct {
	*ipld.Reader
	of ipld.Content
}

func (s sealed) Size() int64 { return s.of.Size }

func (s sealed) extent(off int64) (int64, bool, error) { return s.Reader.Extent(off) }

// readBelow fills b with base's first limit bytes and zeros behind them.
func readBelow(base content, limit int64, b []byte, off int64) error {
	n := int64(0)
	if base != nil && off < limit {
		n = min(int64(len(b)), limit-off)
		if err := readFull(base, b[:n], off); err != nil {
			return err
		}
	}
	clear(b[n:])
	return nil
}

// readFull reads all of b, or fails: content that ends early is damaged.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return ErrDamaged
	}
	return err
}

// damagedContent is content that cannot be opened: every read fails.
type damagedContent struct {
	size int64
	err  error
}

func (d damagedContent) Size() int64                       { return d.size }
func (d damagedContent) ReadAt([]byte, int64) (int, error) { return 0, d.err }
func (d damagedContent) extent(int64) (int64, bool, error) { return 0, false, d.err }
