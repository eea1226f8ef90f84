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
}

// inline is content that stands in its event.
type inline struct{ *bytes.Reader }

func newInline(b []byte) inline { return inline{bytes.NewReader(b)} }

// sealed is content in the block store.
type sealed struct {
	*ipld.Reader
	of ipld.Content
}

func (s sealed) Size() int64 { return s.of.Size }

// layered is the bytes of an edit: in memory, or in a spill file over the version it began with.
// While its edit goes on only the buffer changes it; after that nobody does.
type layered struct {
	size int64
	mem  []byte // all the bytes, if spill is nil

	spill *spill
	have  extents // what the spill file holds

	base  content // below the spill; nil: zeros
	below int64   // how much of base still shows: less than its size after a truncation
}

func (l *layered) Size() int64 { return l.size }

// ReadAt reads the bytes of the edit. Holes are zeros.
func (l *layered) ReadAt(b []byte, off int64) (int, error) {
	if off >= l.size {
		return 0, io.EOF
	}
	var short error
	if int64(len(b)) > l.size-off {
		b = b[:l.size-off]
		short = io.EOF
	}
	if l.spill == nil {
		if int64(len(l.mem)) < l.size {
			return 0, ErrDamaged // a record lost its bytes
		}
		return copy(b, l.mem[off:]), short
	}
	err := l.have.runs(off, int64(len(b)), func(o, n int64, in bool) error {
		part := b[o-off : o-off+n]
		if in {
			return l.spill.readAt(part, o)
		}
		return readBelow(l.base, l.below, part, o)
	})
	if err != nil {
		return 0, err
	}
	return len(b), short
}

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

// isUnsynced reports whether some of the bytes may be gone after a power cut.
func (l *layered) isUnsynced() bool {
	if l.spill == nil {
		return false
	}
	if p, ok := l.base.(*pending); ok && l.below > 0 && p.unsynced() {
		return true
	}
	return l.spill.isUnsynced()
}

// dirty is what differs from base, for an update that cuts only what changed.
func (l *layered) dirty() []ipld.Range {
	d := append(extents(nil), l.have...)
	if l.base != nil && l.below < l.base.Size() {
		d.add(l.below, l.base.Size()-l.below)
	}
	return d
}

// damagedContent is content that cannot be opened: every read fails.
type damagedContent struct {
	size int64
	err  error
}

func (d damagedContent) Size() int64                       { return d.size }
func (d damagedContent) ReadAt([]byte, int64) (int, error) { return 0, d.err }
