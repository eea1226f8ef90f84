package fs

import (
	"maps"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// Tmpfile makes a file without a name in the volume of a directory, and opens it for writing (O_TMPFILE). Nothing of it is in the
// log, or on disk after a crash, until Link gives it a name, which is not allowed if excl.
func (f *FS) Tmpfile(parent NodeID, mode uint32, excl bool, c Cred) (Entry, error) {
	dir, err := f.dirOf(parent)
	if err != nil {
		return Entry{}, err
	}
	if err := f.space.check(0); err != nil {
		return Entry{}, err
	}
	dir.mu.Lock()
	in, err := dir.inodeLocked()
	local := dir.local
	dir.mu.Unlock()
	if err != nil {
		return Entry{}, err
	}
	op := tree.Create{Kind: tree.File, Mode: mode & 0o7777, UID: f.storedUID(c.UID), GID: f.storedGID(c.GID)}
	if err := dir.vol.view(local, func(r eventlog.Reader) error {
		inherit(&op, &in, aclOf(r, &in, aclDefault), c.Umask)
		return nil
	}); err != nil {
		return Entry{}, err
	}
	now := f.now().UnixNano()
	o := &orphan{
		ino: tree.Inode{
			ID: f.newFileID(), Kind: op.Kind, Mode: op.Mode, UID: op.UID, GID: op.GID, Mtime: now, Btime: now,
		},
		xattrs:   map[string][]byte{},
		linkable: !excl,
	}
	for _, x := range op.Xattrs {
		o.xattrs[string(x.Name)] = x.Val
	}
	n := f.table.unnamed(dir.vol, o, local, localMeta{ctime: now, atime: now})
	if err := f.Open(n.id, true, false); err != nil {
		f.Forget(n.id, 1)
		return Entry{}, err
	}
	a, err := n.attr()
	return Entry{Node: n.id, Attr: a}, err
}

// unnamed makes the node of a file that has no name, with one reference of the kernel.
func (t *table) unnamed(v *Volume, o *orphan, local bool, meta localMeta) *Node {
	ino := deriveIno(v.inoKey, v.id, o.ino.ID)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &Node{
		id: t.newIDLocked(v, o.ino.ID), vol: v, lookups: 1, file: o.ino.ID, local: local, ino: ino, orphan: o, unnamed: true,
	}
	n.setMetaLocked(meta)
	t.addLocked(n)
	return n
}

// linkFirst gives a file that was made without a name its first one: only now it is made in the log, with all that it has become. Its
// bytes come in the same change, as durable as an fsync may have promised. n and dir are locked.
func (n *Node) linkFirst(dir *Node, name []byte) (Entry, error) {
	o := n.orphan
	op := tree.Create{
		ID: n.file, Name: name, Kind: tree.File, Mode: o.ino.Mode, UID: o.ino.UID, GID: o.ino.GID,
		Mtime: o.ino.Mtime, Btime: o.ino.Btime, By: n.vol.fs.device,
	}
	if n.buf != nil {
		op.Mtime = n.buf.mtime
	}
	names := slices.Sorted(maps.Keys(o.xattrs))
	for _, x := range names[:min(len(names), tree.MaxXattrs)] {
		op.Xattrs = append(op.Xattrs, tree.Xattr{Name: []byte(x), Val: o.xattrs[x]})
	}
	create := func(t *txn) error {
		if _, err := dir.parentFor(t); err != nil {
			return err
		}
		if _, ok := tree.Lookup(t.state(n.local), dir.file, name); ok {
			return ErrExist
		}
		op.Parent, op.Path, op.Time = dir.file, t.pathTo(dir, n.local), t.now
		ops := []tree.Op{op}
		for _, x := range names[len(op.Xattrs):] {
			ops = append(ops, tree.SetXattr{ID: n.file, Name: []byte(x), Val: o.xattrs[x]})
		}
		t.apply(n.local, ops...)
		t.touch(n)
		t.touch(dir)
		t.then(func() {
			n.orphan = nil
			t.v.fs.table.rebind(n, n.file)
		})
		return nil
	}
	var err error
	if n.buf == nil {
		err = n.vol.update(create)
	} else {
		err = n.endEditAfter(true, create)
	}
	if err != nil {
		return Entry{}, err
	}
	ino, err := n.inodeLocked()
	if err != nil {
		return Entry{}, err
	}
	n.vol.fs.table.ref(n.vol, n.file, n.local, 1, n.metaLocked)
	return Entry{Node: n.id, Attr: n.attrLocked(ino)}, nil
}
