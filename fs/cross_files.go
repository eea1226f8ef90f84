package fs

import (
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// gather lists what crosses, directories before what is in them, and makes sure that nobody else is at it.
func (t *txn) gather(c *crossing) error {
	top, ok := tree.GetInode(t.state(c.n.local), c.n.file)
	if !ok {
		return ErrNotExist
	}
	c.list = []traveller{{dir: -1, name: c.oldName, ino: top}}
	for i := 0; i < len(c.list); i++ {
		if x := c.list[i]; x.ino.Kind != tree.Dir || x.stays {
			continue
		}
		if err := t.gatherDir(c, i); err != nil {
			return err
		}
	}
	names := map[tree.FileID]uint32{}
	for _, x := range c.list {
		if !x.stays {
			names[x.ino.ID]++
		}
	}
	for _, x := range c.list {
		if x.stays {
			continue
		}
		if x.ino.Kind == tree.Graft || x.ino.Kind != tree.Dir && names[x.ino.ID] != x.ino.Nlink {
			return ErrCrossVolume // one inode can't have names in both trees
		}
		if n, ok := t.v.fs.table.peek(t.v, x.ino.ID); !ok || !c.locked[n] || n.buf != nil {
			return errChanged
		}
	}
	return nil
}

// gatherDir lists what is in directory list[i].
func (t *txn) gatherDir(c *crossing, i int) error {
	dir := c.list[i]
	whole := true
	add := func(local bool) func(uint64, []byte, tree.Dirent) bool {
		return func(_ uint64, name []byte, d tree.Dirent) bool {
			x := traveller{dir: i, name: slices.Clone(name)}
			x.stays = local && (!c.n.local || isLocal(c.nameOf(dir), name))
			if local && !c.n.local && !mayBeLocal(name) {
				return true // a stepping stone: see pathTo
			}
			var ok bool
			x.ino, ok = tree.GetInode(t.state(local), d.ID)
			// Who bears the name too, hidden, would come to light where this one was.
			whole = ok && (local || len(tree.Claims(t.state(local), dir.ino.ID, name)) == 1)
			c.list = append(c.list, x)
			c.list[i].full = true
			return whole && len(c.list) <= crossLimit
		}
	}
	tree.ReadDir(t.state(c.n.local), dir.ino.ID, 0, add(c.n.local))
	if !c.n.local && whole {
		tree.ReadDir(t.state(true), dir.ino.ID, 0, add(true))
	}
	if !whole || len(c.list) > crossLimit {
		return ErrCrossVolume
	}
	return nil
}

// nameOf is the name that a traveller will have.
func (c *crossing) nameOf(x traveller) []byte {
	if x.dir < 0 {
		return c.newName
	}
	return x.name
}

// arrive makes what list[i] becomes.
func (t *txn) arrive(c *crossing, x traveller) error {
	dir, path := c.to.file, t.pathTo(c.to, c.toLocal)
	if x.dir >= 0 {
		dir, path = c.ids[c.list[x.dir].ino.ID], nil
		if !c.toLocal {
			path = t.v.pathOf(t.state(false), dir)
		}
	}
	if x.stays {
		if !c.toLocal {
			path = steppingStone(dir)
		}
		t.apply(true, tree.Rename{
			ID: x.ino.ID, From: c.list[x.dir].ino.ID, OldName: x.name, To: dir, NewName: x.name, Path: path, Time: t.now,
		})
		return nil
	}
	if as, ok := c.ids[x.ino.ID]; ok {
		t.apply(c.toLocal, tree.Link{ID: as, Parent: dir, Name: c.nameOf(x), Path: path, Time: t.now})
		return nil
	}
	as := t.v.fs.idBeside(x.ino.ID)
	c.ids[x.ino.ID] = as
	op := tree.Create{
		ID: as, Parent: dir, Name: c.nameOf(x), Kind: x.ino.Kind, Mode: x.ino.Mode, UID: x.ino.UID, GID: x.ino.GID,
		Time: t.now, Mtime: x.ino.Mtime, Btime: x.ino.Btime, Rdev: x.ino.Rdev, Target: x.ino.Target, By: t.v.fs.device, Path: path,
	}
	p, err := t.carry(c, x, &op)
	if err != nil {
		return err
	}
	tree.FreshFile(as, t.absent(c.toLocal))
	if op.Kind == tree.Dir && !c.toLocal {
		t.AbsentBelow(tree.NamesPrefix(as))
	}
	t.apply(c.toLocal, op)
	var attrs []tree.SetXattr
	tree.Xattrs(t.state(c.n.local), x.ino.ID, func(name, val []byte) bool {
		attrs = append(attrs, tree.SetXattr{ID: as, Name: slices.Clone(name), Val: slices.Clone(val)})
		return true
	})
	for _, a := range attrs {
		t.apply(c.toLocal, a)
	}
	if p != nil {
		c.held = append(c.held, p)
		t.hold(p, tree.SetContent{
			ID: as, Version: tree.Version{ID: p.id, Size: p.rec.Size, Time: t.now, By: t.v.fs.device, Pending: true},
			Mtime: x.ino.Mtime, Time: t.now, Path: t.v.pathOf(t.state(c.toLocal), as),
		})
	}
	t.moveNode(c, x, as)
	return nil
}

// moveNode has the new file keep what the device alone knows of the old one, its inode number first of all.
func (t *txn) moveNode(c *crossing, x traveller, as tree.FileID) {
	var head []tree.VersionID
	if ino, ok := tree.GetInode(t.state(c.toLocal), as); ok {
		head = ino.HeadIDs()
	}
	n, _ := t.v.fs.table.peek(t.v, x.ino.ID) // gather has seen to it
	m := n.metaLocked()
	m.ino = n.ino
	if x.dir < 0 {
		m.ctime = t.now
	}
	if len(head) > 0 && len(x.ino.Heads) > 0 && m.holesOf == x.ino.Heads[0].ID {
		m.holesOf = head[0]
	}
	t.dropMeta(x.ino.ID)
	t.setMetaOf(as, c.toLocal, m)
	c.moved = append(c.moved, movedNode{n, as, m, head})
	t.v.fs.table.expect(n, as)
}

// leave removes a name from the tree that it is in. What is below it has left.
func (t *txn) leave(c *crossing, x traveller) {
	if x.stays {
		return
	}
	dir := c.from.file
	if x.dir >= 0 {
		dir = c.list[x.dir].ino.ID
	}
	if x.ino.Kind == tree.Dir {
		if !c.n.local {
			t.dropStone(x.ino.ID)
		}
		if x.full {
			t.apply(c.toLocal, tree.SetAttr{ID: c.ids[x.ino.ID], Set: tree.FieldMtime, Mtime: x.ino.Mtime})
		}
	}
	t.apply(c.n.local, tree.Unlink{Parent: dir, Name: x.name, ID: x.ino.ID, Heads: x.ino.HeadIDs(), Time: t.now})
}

// dropStone removes what stood in the device-local tree for a directory of the shared one, which goes.
func (t *txn) dropStone(dir tree.FileID) {
	if ino, ok := tree.GetInode(t.state(true), dir); ok {
		t.apply(true, tree.Unlink{Parent: ino.Parent, Name: ino.Name, ID: dir, Time: t.now})
	}
}

// carry puts the content that x shows into op; or it returns a pending version with the same bytes if they are not sealed yet.
func (t *txn) carry(c *crossing, x traveller, op *tree.Create) (*pending, error) {
	if len(x.ino.Heads) == 0 {
		return nil, nil
	}
	r, old := t.state(c.n.local), x.ino.Heads[0].ID
	ver, ok := tree.GetVersion(r, old)
	if !ok {
		return nil, fmt.Errorf("rename %q: version %x: %w", x.name, old[:4], ErrDamaged)
	}
	t.v.mu.Lock()
	p, waits := t.v.pending[old]
	t.v.mu.Unlock()
	switch {
	case waits && p.sealedForm() != nil:
		ver.Content = *p.sealedForm()
	case waits && !p.lost:
		return p.again(c.ids[x.ino.ID], c.toLocal, x.ino.Mtime), nil
	case waits, ver.Pending:
		return nil, fmt.Errorf("rename %q: version %x was never sealed: %w", x.name, old[:4], ErrDamaged)
	}
	v := tree.Version{ID: t.v.fs.newVersionID(), Size: ver.Size, Time: ver.Time, By: ver.By, Content: ver.Content}
	if ver.IsInline() {
		if v.Inline, ok = tree.Body(r, ver); !ok || int64(len(v.Inline)) != ver.Size {
			return nil, fmt.Errorf("rename %q: bytes of version %x: %w", x.name, old[:4], ErrDamaged)
		}
	}
	op.Version = &v
	return nil, nil
}

// again is one more version with p's bytes, of another file of the volume. The caller is in a change of it.
func (p *pending) again(file tree.FileID, local bool, mtime int64) *pending {
	q := &pending{vol: p.vol, id: p.vol.fs.newVersionID()}
	q.rec = editRecord{File: file, Local: local, Size: p.rec.Size, Mtime: mtime}
	q.bytes = layered{size: p.rec.Size}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.bytes.spill == nil && p.bytes.mem != nil {
		q.bytes.mem, q.mem = p.bytes.mem, int64(cap(p.bytes.mem))
		return q
	}
	p.below.Store(true)
	q.bytes.spill, q.bytes.base, q.bytes.below = p.vol.fs.spills.hollow(), p, p.rec.Size
	q.rec.Spill, q.rec.Base, q.rec.Below = q.bytes.spill.id, p.id, p.rec.Size
	return q
}

// becomeLocked makes n the node of what its file became. The caller holds n.mu.
func (n *Node) becomeLocked(m movedNode, local bool) {
	n.vol.fs.table.moveTo(n, m.file, local)
	n.setMetaLocked(m.meta)
	if n.notes != nil {
		n.notes.aside = nil
	}
	if h := n.handles.Load(); h != nil {
		h.replaces, h.lastQuiet = m.head, false
		h.shown, h.shownVer = nil, tree.VersionID{}
	}
}

// idBeside draws an id for what a file becomes, so that its node keeps its number (see handle.go).
func (f *FS) idBeside(old tree.FileID) tree.FileID {
	id := f.newFileID()
	copy(id[:8], old[:8])
	return id
}
