package fs

import (
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// Changes are what chmod, chown, truncate and utimens ask for; nil leaves a field as it is.
type Changes struct {
	Mode     *uint32
	UID, GID *uint32
	Size     *int64
	Atime    *int64
	Mtime    *int64
	// KillSetID drops the set-id bits, as a write or truncate by somebody without privilege does.
	KillSetID bool
}

// SetAttr applies changes. A new size belongs to the edit that goes on in the file, or is an edit by itself if
// nobody has the file open for writing (open).
func (f *FS) SetAttr(id NodeID, c Changes, open bool) (Attr, error) {
	n, err := f.nodeOf(id)
	if err != nil {
		return Attr{}, err
	}
	if n.vol == nil {
		return Attr{}, ErrPermission
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ino, err := n.inodeLocked()
	if err != nil {
		return Attr{}, err
	}
	if c.Size != nil {
		if err := n.resizeLocked(ino, *c.Size, open); err != nil {
			return Attr{}, err
		}
	}
	op := tree.SetAttr{ID: n.file}
	if c.KillSetID && ino.Kind == tree.File {
		c.Mode = killSetID(ino.Mode, c.Mode)
	}
	if c.Mode != nil {
		op.Set |= tree.FieldMode
		op.Mode = *c.Mode & 0o7777
	}
	if c.UID != nil {
		op.Set |= tree.FieldUID
		op.UID = f.storedUID(*c.UID)
	}
	if c.GID != nil {
		op.Set |= tree.FieldGID
		op.GID = f.storedGID(*c.GID)
	}
	if c.Mtime != nil {
		op.Set |= tree.FieldMtime
		op.Mtime = *c.Mtime
	}
	if err := n.setLocked(op, c.Atime); err != nil {
		return Attr{}, err
	}
	if ino, err = n.inodeLocked(); err != nil {
		return Attr{}, err
	}
	return n.attrLocked(ino), nil
}

// killSetID is the mode that is left when set-id bits go: set-gid stays on a file that no group may execute.
func killSetID(mode uint32, want *uint32) *uint32 {
	if want != nil {
		mode = *want
	}
	m := mode &^ 0o4000
	if m&0o010 != 0 {
		m &^= 0o2000
	}
	if want == nil && m == mode {
		return nil
	}
	return &m
}

// resizeLocked truncates. The caller holds n.mu.
func (n *Node) resizeLocked(ino tree.Inode, size int64, open bool) error {
	if ino.Kind == tree.Dir {
		return ErrIsDir
	}
	if err := n.vol.fs.space.check(0); err != nil && size > ino.Size() {
		return err
	}
	if err := n.truncateLocked(ino, size); err != nil {
		return n.vol.fs.damaged(n, err)
	}
	if open || n.writers > 0 || n.orphan != nil {
		return nil
	}
	return n.endEditLocked(true)
}

// setLocked changes fields of the inode, an orphan's in memory only. The caller holds n.mu.
func (n *Node) setLocked(op tree.SetAttr, atime *int64) error {
	if op.Set == 0 && atime == nil {
		return nil
	}
	if n.orphan != nil {
		n.orphan.set(op)
		n.meta.ctime = n.vol.fs.now().UnixNano()
		if atime != nil {
			n.meta.atime = *atime
		}
		if op.Set&tree.FieldMtime != 0 {
			n.mtime = op.Mtime
		}
		return nil
	}
	return n.vol.update(func(t *txn) error {
		if _, ok := tree.GetInode(t.state(n.local), n.file); !ok {
			return ErrNotExist
		}
		if op.Set != 0 {
			t.apply(n.local, op)
		}
		m := n.meta
		m.ctime = t.now
		if atime != nil {
			m.atime = *atime
		}
		t.setMeta(n.file, m)
		t.then(func() {
			n.meta = m
			if op.Set&tree.FieldMtime != 0 {
				n.mtime = op.Mtime // an edit that goes on ends with this time
			}
		})
		return nil
	})
}

func (o *orphan) set(op tree.SetAttr) {
	if op.Set&tree.FieldMode != 0 {
		o.ino.Mode = op.Mode
	}
	if op.Set&tree.FieldUID != 0 {
		o.ino.UID = op.UID
	}
	if op.Set&tree.FieldGID != 0 {
		o.ino.GID = op.GID
	}
	if op.Set&tree.FieldMtime != 0 {
		o.ino.Mtime = op.Mtime
	}
}

// KillSetID drops the set-id bits of a file that somebody without privilege wrote to.
func (f *FS) KillSetID(id NodeID) error {
	_, err := f.SetAttr(id, Changes{KillSetID: true}, true)
	return err
}
