package fs

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// pastOpen is what programs have of a file of the past that is open.
type pastOpen struct {
	count int
	bytes content // nil: none
	ahead ahead
}

// openFile counts a handle of a file. It fails with ErrStale if what the file shows has been dropped since it was looked up.
func (t *pastTable) openFile(id NodeID, write bool) error {
	n, err := t.get(id)
	if err != nil {
		return err
	}
	if write {
		return ErrReadOnly
	}
	if n.attr.Mode&ModeType == ModeDir {
		return ErrIsDir
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opened == nil {
		c, err := n.content()
		if err != nil {
			if err == ErrStale {
				t.outdate(n)
			}
			return err
		}
		n.opened = &pastOpen{bytes: c}
	}
	n.opened.count++
	return nil
}

// release drops a handle.
func (t *pastTable) release(id NodeID) {
	n, err := t.get(id)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opened == nil {
		return
	}
	if n.opened.count--; n.opened.count == 0 {
		n.opened = nil
	}
}

// content opens the bytes of a file; nil: it has none.
func (n *pastNode) content() (c content, err error) {
	if n.what.head == (tree.VersionID{}) {
		return nil, nil
	}
	vol := n.key.vol
	kept, err := vol.keeps(n.what.head)
	switch {
	case err != nil:
		return nil, err
	case !kept && !n.what.lost:
		return nil, ErrStale
	case !kept:
		return nil, fmt.Errorf("version %v: %w", n.what.head, errExpired)
	}
	c, err = vol.content(false, n.what.head)
	return c, n.damaged(err)
}

func (n *pastNode) damaged(err error) error {
	if err == nil || !isDamage(err) {
		return err
	}
	return n.key.vol.damaged(n.key.file, n.attr.Ino, err)
}

// fileBytes is what programs that have a file open read.
func (t *pastTable) fileBytes(id NodeID) (*pastNode, *pastOpen, error) {
	n, err := t.get(id)
	if err != nil {
		return nil, nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opened == nil {
		return nil, nil, fmt.Errorf("read inode %d, which is not open: %w", id, ErrInvalid)
	}
	return n, n.opened, nil
}

func (t *pastTable) read(id NodeID, p []byte, off int64, ready bool) (k int, ok bool, err error) {
	n, o, err := t.fileBytes(id)
	if err != nil {
		return 0, true, err
	}
	k, ok, err = t.fs.readContent(o.bytes, &o.ahead, p, off, ready)
	return k, ok, n.damaged(err)
}

func (t *pastTable) seek(id NodeID, off int64, data bool) (int64, error) {
	n, o, err := t.fileBytes(id)
	if err != nil {
		return 0, err
	}
	at, err := seekContent(o.bytes, off, data)
	return at, n.damaged(err)
}

// source is [off, off+count) of a file, to be copied.
func (t *pastTable) source(id NodeID, off, count int64) (source, error) {
	n, o, err := t.fileBytes(id)
	if err != nil || o.bytes == nil {
		return source{}, err
	}
	s := source{content: o.bytes, vol: n.key.vol, off: off, ver: n.what.head, holes: n.attr.Size - n.attr.Data}
	s.n = max(0, min(count, s.Size()-off))
	return s, nil
}

// openContents lists the bytes of the files that are open.
func (t *pastTable) openContents() (list []content) {
	t.mu.Lock()
	nodes := make([]*pastNode, 0, len(t.nodes))
	for _, n := range t.nodes {
		if n.what.head != (tree.VersionID{}) {
			nodes = append(nodes, n)
		}
	}
	t.mu.Unlock()
	for _, n := range nodes {
		n.mu.Lock()
		if n.opened != nil && n.opened.bytes != nil {
			list = append(list, n.opened.bytes)
		}
		n.mu.Unlock()
	}
	return list
}
