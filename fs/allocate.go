package fs

import (
	"errors"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// An Allocation is what fallocate(2) asks for. Where nothing is written there is nothing but a hole here, so what counts
// of it are the bytes that it zeroes and the size.
type Allocation struct {
	Zero     bool // make the range a hole
	KeepSize bool // the range may reach beyond the end, and the file does not grow
}

// Allocate changes the range [off, off+n) of a file that is open for writing. It fails if the disk has no room for what may
// be written there, but sets no room aside: a later write can still find the disk full.
func (f *FS) Allocate(id NodeID, off, n int64, a Allocation) error {
	node, err := f.nodeOf(id)
	if err != nil {
		return err
	}
	end := off + n
	if off < 0 || n <= 0 {
		return ErrInvalid
	}
	if end < off {
		return ErrTooBig
	}
	if !a.Zero {
		if err := f.space.has(n); err != nil {
			return err
		}
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	ino, err := node.inodeLocked()
	if err != nil {
		return err
	}
	size := node.sizeLocked(ino)
	if a.KeepSize {
		end = min(end, size)
	}
	if !(a.Zero && off < size) && end <= size {
		// No byte changes: that is no edit, only a new time.
		return node.setLocked(tree.SetAttr{ID: node.file, Set: tree.FieldMtime, Mtime: f.now().UnixNano()}, nil, false)
	}
	return f.damaged(node, node.changeLocked(ino, func(b *buffer) error {
		if a.Zero {
			if err := b.zero(off, n); err != nil {
				return err
			}
		}
		return b.truncate(max(end, b.size))
	}))
}

// sizeLocked is the size as stat shows it. The caller holds n.mu.
func (n *Node) sizeLocked(ino tree.Inode) int64 {
	if n.buf != nil {
		return n.buf.size
	}
	return ino.Size()
}

// changeLocked runs fn on the edit that goes on, or on one that begins with it. The caller holds n.mu.
func (n *Node) changeLocked(ino tree.Inode, fn func(b *buffer) error) error {
	if n.buf == nil {
		if err := n.beginEditLocked(ino); err != nil {
			return err
		}
	}
	if err := fn(n.buf); err != nil {
		if n.buf.idle() && !n.buf.journaled {
			err = errors.Join(err, n.dropEditLocked())
		}
		return err
	}
	n.wroteLocked()
	return nil
}
