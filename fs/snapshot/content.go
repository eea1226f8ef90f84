package snapshot

import (
	"bytes"
	"fmt"
	"io"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Xattrs returns a file's extended attributes in the order of their names.
func (s *Snapshot) Xattrs(i Inode) ([]tree.Xattr, error) {
	if i.attrsAt.Size == 0 {
		return i.attrs, nil
	}
	xs, err := s.longAttrs(i.attrsAt)
	if err != nil {
		return nil, fmt.Errorf("read attributes: %w", err)
	}
	return xs, nil
}

func (s *Snapshot) longAttrs(c ipld.Content) ([]tree.Xattr, error) {
	if c.Size > maxAttrs {
		return nil, fmt.Errorf("%d bytes are too many: %w", c.Size, ipld.ErrDamaged)
	}
	b := make([]byte, c.Size)
	if _, err := io.ReadFull(io.NewSectionReader(ipld.NewReader(s.st, c, s.cache), 0, c.Size), b); err != nil {
		return nil, err
	}
	var list []attrRecord
	if err := dagcbor.Decode(b, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", ipld.ErrDamaged, err)
	}
	xs := make([]tree.Xattr, 0, len(list))
	for _, a := range list {
		xs = append(xs, tree.Xattr{Name: a.Name, Val: a.Val})
	}
	return xs, nil
}

// Heads returns a file's heads, the one that is shown first. A file that nobody has written to has none.
func (s *Snapshot) Heads(i Inode) ([]Head, error) {
	heads := i.heads
	for next := i.headsAt; !next.IsZero(); {
		var n headsNode
		children, err := open(s.st, next, &n)
		if err != nil {
			return nil, fmt.Errorf("read heads: %w", err)
		}
		r := &refs{children: children}
		heads = append(heads[:len(heads):len(heads)], r.heads(n.Heads)...)
		block := next
		next = ipld.Link{}
		if n.More != nil {
			next = r.next(*n.More, ipld.DagCBOR)
		}
		if err := r.end(); err != nil {
			return nil, fmt.Errorf("read heads: open block %v: %w", block.CID, err)
		}
	}
	return heads, nil
}

// A Content is the bytes of a head.
type Content interface {
	io.ReaderAt
	Size() int64
	// Extent tells what is at off, which lies before the end: data, or a hole; and where that run ends. What follows may be of the
	// same kind.
	Extent(off int64) (end int64, data bool, err error)
}

// Content reads a head's bytes. Nothing is read yet.
func (s *Snapshot) Content(h Head) Content {
	if h.Content.Size == 0 && int64(len(h.Inline)) == h.Size {
		return inline{bytes.NewReader(h.Inline)}
	}
	if h.Content.Size != h.Size {
		return missing(h.Size)
	}
	return ipld.NewReader(s.st, h.Content, s.cache)
}

type inline struct{ *bytes.Reader }

func (i inline) Extent(int64) (int64, bool, error) { return i.Size(), true, nil }

// missing is the content of a version that the state knew nothing of but its length.
type missing int64

func (m missing) Size() int64                     { return int64(m) }
func (missing) ReadAt([]byte, int64) (int, error) { return 0, errMissing }
func (missing) Extent(int64) (int64, bool, error) { return 0, false, errMissing }

var errMissing = fmt.Errorf("the version has no bytes: %w", ipld.ErrNotFound)
