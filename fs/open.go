package fs

import (
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// Open counts a handle of a file. write says that it may write, trunc that it begins by emptying
// the file. Emptying is no event: an editor's truncate and write are one edit.
func (f *FS) Open(id NodeID, write, trunc bool) error {
	if id.IsPast() {
		return f.past.openFile(id, write || trunc)
	}
	n, err := f.nodeOf(id)
	if err != nil {
		return err
	}
	if n.vol == nil {
		return ErrIsDir
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ino, err := n.inodeLocked()
	if err != nil {
		return err
	}
	if ino.Kind == tree.Dir {
		return ErrIsDir
	}
	if trunc {
		if err := n.truncateLocked(ino, 0); err != nil {
			return err
		}
	}
	h := n.handles.Load()
	if h == nil {
		h = &handles{}
		n.handles.Store(h)
	}
	h.opens++
	if write {
		h.writers++
		if n.buf == nil {
			h.replaces, h.lastQuiet = ino.HeadIDs(), false
		}
	}
	return nil
}

// handles are what programs have of a file that is open. The node's lock guards them.
type handles struct {
	opens   int // INVARIANT: more than 0
	writers int // those that may write

	flushed bool // closed, and none that may write was released since
	copied  bool // there are copies of one: it was written to after a close

	replaces   []tree.VersionID // the heads that the next edit replaces: what the last open showed
	lastEdit   time.Time        // when an edit of these handles last ended
	quietEdits int              // how many times a quiet second has ended one since the file was opened
	lastQuiet  bool             // the version that the edit replaces was made by a quiet second of these handles

	shown    content // of the version shown; nil: not opened yet
	shownVer tree.VersionID

	ahead ahead // of a large file that is being read
}

// Create makes a file and opens it for writing, or opens what has come to be there meanwhile unless excl.
func (f *FS) Create(parent NodeID, name string, mode uint32, excl bool, c Cred) (Entry, error) {
	e, err := f.Mknod(parent, name, ModeRegular|mode&0o7777, 0, c)
	if err == ErrExist && !excl {
		if e, err = f.Lookup(parent, name); err != nil {
			return e, err
		}
		if e.Attr.Mode&ModeType != ModeRegular {
			f.Forget(e.Node, 1)
			return Entry{}, ErrExist
		}
	}
	if err != nil {
		return e, err
	}
	if err := f.Open(e.Node, true, false); err != nil {
		f.Forget(e.Node, 1)
		return Entry{}, err
	}
	if _, ok := databaseOf(name); ok {
		if n, ok := f.table.get(e.Node); ok {
			n.mu.Lock()
			n.journal = true
			n.mu.Unlock()
		}
	}
	return e, nil
}

// contentLocked returns the bytes that n shows when no edit goes on; nil: none. The caller holds n.mu.
func (n *Node) contentLocked(ino tree.Inode) (content, error) {
	if n.orphan != nil {
		o, err := n.keptLocked()
		return o.bytes, err
	}
	return n.headLocked(ino, nil)
}

// headLocked returns the bytes of the first of the heads that ino has; nil: none. The caller holds n.mu, and gives the
// state if it is inside a change.
func (n *Node) headLocked(ino tree.Inode, r eventlog.Reader) (content, error) {
	if len(ino.Heads) == 0 {
		return nil, nil
	}
	ver := ino.Heads[0].ID
	h := n.handles.Load()
	if h != nil && h.shownVer == ver && h.shown != nil {
		return h.shown, nil
	}
	var c content
	var err error
	if r != nil {
		c, err = n.vol.contentIn(r, ver)
	} else {
		c, err = n.vol.content(n.local, ver)
	}
	if err != nil {
		return nil, err
	}
	if h != nil {
		h.shown, h.shownVer = c, ver
	}
	return c, nil
}

// content opens a version's bytes; nil: none.
func (v *Volume) content(local bool, id tree.VersionID) (c content, err error) {
	err = v.view(local, func(r eventlog.Reader) (err error) {
		c, err = v.contentIn(r, id)
		return err
	})
	return c, err
}

// contentIn is content, read from r. Under the log's lock no pending version becomes a sealed one meanwhile.
func (v *Volume) contentIn(r eventlog.Reader, id tree.VersionID) (content, error) {
	v.mu.Lock()
	p, ok := v.pending[id]
	v.mu.Unlock()
	if ok {
		return p, nil
	}
	ver, ok := tree.GetVersion(r, id)
	switch {
	case !ok:
		return nil, fmt.Errorf("version %v: %w", id, ErrDamaged)
	case ver.Size == 0:
		return nil, nil
	case ver.IsInline():
		b, ok := tree.Body(r, ver)
		if !ok || int64(len(b)) != ver.Size {
			return nil, fmt.Errorf("version %v: bytes: %w", id, ErrDamaged)
		}
		return newInline(b), nil
	case ver.Pending:
		return nil, fmt.Errorf("version %v was never sealed: %w", id, ErrDamaged)
	}
	return sealed{v.fs.openSealed(ver.Content), ver.Content}, nil
}

// Write writes p at off.
func (f *FS) Write(id NodeID, p []byte, off int64) (int, error) {
	n, err := f.nodeOf(id)
	if err != nil {
		return 0, err
	}
	if err := f.space.check(int64(len(p))); err != nil {
		return 0, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.buf == nil {
		ino, err := n.inodeLocked()
		if err != nil {
			return 0, err
		}
		if err := n.beginEditLocked(ino); err != nil {
			return 0, f.damaged(n, err)
		}
	}
	w, err := n.buf.WriteAt(p, off)
	if err != nil && n.buf.idle() && !n.buf.journaled {
		return 0, errors.Join(f.damaged(n, err), n.dropEditLocked())
	}
	n.wroteLocked()
	return w, f.damaged(n, err)
}

// dropEditLocked takes back the beginning of an edit whose first change failed. The caller holds n.mu.
func (n *Node) dropEditLocked() error {
	err := n.buf.discard()
	n.buf = nil
	n.vol.fs.table.setDirty(n, false)
	return err
}

func (n *Node) wroteLocked() {
	now := n.vol.fs.now()
	n.buf.mtime = now.UnixNano()
	n.ctime = n.buf.mtime
	n.buf.lastWrite = now
}

// beginEditLocked begins an edit over what n shows now. The caller holds n.mu.
func (n *Node) beginEditLocked(ino tree.Inode) error {
	if ino.Kind != tree.File {
		return ErrInvalid
	}
	base, err := n.contentLocked(ino)
	if err != nil {
		return err
	}
	n.startLocked(ino, base)
	return nil
}

func (n *Node) startLocked(ino tree.Inode, base content) {
	n.buf = newBuffer(n.vol.fs.spills, base)
	if p, ok := base.(*pending); ok {
		p.below.Store(true)
	}
	if len(ino.Heads) > 0 {
		n.buf.baseVer = ino.Heads[0].ID
		m := n.metaLocked()
		n.buf.baseHoles = m.holesIn(n.buf.baseVer)
	}
	n.buf.mtime = ino.Mtime
	h := n.handles.Load()
	if h != nil {
		h.copied = h.copied || h.flushed
	}
	if h != nil && h.writers > 0 {
		n.buf.replaces = h.replaces
	} else {
		n.buf.replaces = ino.HeadIDs()
	}
	n.vol.fs.table.setDirty(n, true)
}

// truncateLocked sets the size within an edit. Emptying never reads what was there, damaged or not.
func (n *Node) truncateLocked(ino tree.Inode, size int64) error {
	if n.buf == nil && size == 0 && ino.Kind == tree.File {
		n.startLocked(ino, nil)
	}
	return n.changeLocked(ino, func(b *buffer) error { return b.truncate(size) })
}
