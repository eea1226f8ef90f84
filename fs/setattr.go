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
	// KillSetID drops the set-id bits, as a chown does, and a write or truncate by somebody without privilege.
	KillSetID bool
	// Member says whether who asks is in a group, or may do without. Set-gid on a file that its group can't execute stays if they
	// are in the file's. nil: they are.
	Member func(gid uint32) bool
	// Chown is a chown(2) that changes neither owner nor group, by this user, or what the kernel asks for ahead of this user's write:
	// its requests are the same. If there are set-id bits and they are not theirs to drop, nothing changes: an error if nobody has
	// the file open for writing.
	Chown *uint32
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
	if (c.KillSetID || c.Chown != nil) && ino.Kind != tree.Dir {
		c.Mode = killSetID(ino.Mode, c.Mode, c.Member == nil || c.Member(f.gidOf(ino.GID)))
	}
	if c.Chown != nil && c.Mode != nil && *c.Chown != 0 && *c.Chown != f.uidOf(ino.UID) {
		if h := n.handles.Load(); h == nil || h.writers == 0 {
			return Attr{}, ErrPermission
		}
		return n.attrLocked(ino), nil
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
	if err := n.setLocked(op, c.Atime, c.Chown != nil); err != nil {
		return Attr{}, err
	}
	if ino, err = n.inodeLocked(); err != nil {
		return Attr{}, err
	}
	return n.attrLocked(ino), nil
}

// killSetID is the mode that is left when set-id bits go, nil if it is as before. Set-gid stays on a file that no group may execute, if
// who asks is a member of it.
func killSetID(mode uint32, want *uint32, member bool) *uint32 {
	if want != nil {
		mode = *want
	}
	m := mode &^ 0o4000
	if m&0o010 != 0 || !member {
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
	if h := n.handles.Load(); open || h != nil && h.writers > 0 || n.orphan != nil {
		return nil
	}
	return n.endEditLocked(true)
}

// setLocked changes fields of the inode, an orphan's in memory only; touch makes its ctime now even if there are none. The caller
// holds n.mu.
func (n *Node) setLocked(op tree.SetAttr, atime *int64, touch bool) error {
	if op.Set == 0 && atime == nil && !touch {
		return nil
	}
	if n.orphan != nil {
		n.orphan.set(op)
		n.ctime = n.vol.fs.now().UnixNano()
		if atime != nil {
			n.atime = *atime
		}
		if op.Set&tree.FieldMtime != 0 && n.buf != nil {
			n.buf.mtime = op.Mtime
		}
		return nil
	}
	return n.vol.update(func(t *txn) error {
		ino, ok := tree.GetInode(t.state(n.local), n.file)
		if !ok {
			return ErrNotExist
		}
		if op.Set != 0 {
			t.setAttr(n.local, &ino, op)
		}
		m := n.metaLocked()
		m.ctime = t.now
		if atime != nil {
			m.atime = *atime
		}
		t.setMeta(n, m)
		t.then(func() {
			n.setMetaLocked(m)
			if op.Set&tree.FieldMtime != 0 && n.buf != nil {
				n.buf.mtime = op.Mtime // an edit that goes on ends with this time
			}
		})
		return nil
	})
}

// setAttr sets attributes, and keeps the access ACL in step with the mode.
func (t *txn) setAttr(local bool, ino *tree.Inode, op tree.SetAttr) {
	ops := []tree.Op{op}
	if op.Set&tree.FieldMode != 0 && op.Mode&0o777 != ino.Mode&0o777 {
		if a := aclOf(t.state(local), ino, aclAccess); a != nil {
			ops = append(ops, tree.SetXattr{ID: ino.ID, Name: []byte(aclAccess), Val: a.chmod(op.Mode).encode()})
		}
	}
	t.apply(local, ops...)
}

func (o *orphan) set(op tree.SetAttr) {
	if op.Set&tree.FieldMode != 0 {
		o.ino.Mode = op.Mode
		if a, err := parseACL(o.xattrs[aclAccess]); a != nil && err == nil {
			o.xattrs[aclAccess] = a.chmod(op.Mode).encode()
		}
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

// KillSetID drops the set-id bits of a file that somebody without privilege wrote to. member is as in Changes.
func (f *FS) KillSetID(id NodeID, member func(gid uint32) bool) error {
	_, err := f.SetAttr(id, Changes{KillSetID: true, Member: member}, true)
	return err
}
