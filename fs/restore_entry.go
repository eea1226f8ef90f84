package fs

import (
	"bytes"
	"errors"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// settleEntry brings one name to what it was. What has it now is read in the change itself.
func (c *settling) settleEntry(e *formerEntry) error {
	dir := e.in.now
	d, taken := tree.Lookup(c.r, dir, e.name)
	var there tree.Inode
	if taken {
		if there, taken = tree.GetInode(c.r, d.ID); !taken {
			return ErrDamaged
		}
	}
	switch {
	case e.ino.Kind == tree.Graft || taken && there.Kind == tree.Graft:
		return nil // a volume: see restoreHome
	case mayBeLocal(e.name) && isLocal(c.dirName(dir), e.name):
		c.skip(e, "the name is one of those that stay on the device")
		return nil
	case taken && there.ID == e.ino.ID, taken && there.Kind == tree.Dir && e.ino.Kind == tree.Dir:
		return c.setBack(e, there, DeedChange)
	case taken && there.Kind == tree.Dir:
		if c.Exact && !e.clear && !e.bare {
			c.late = append(c.late, e)
		} else {
			c.skip(e, "a directory has the name now")
		}
		return nil
	case taken && e.wanted && e.there == there.ID && !e.clear:
		c.late = append(c.late, e)
		return nil
	case taken && c.isEdit(e, there):
		return c.setBack(e, there, DeedChange)
	case taken:
		if err := c.unlink(e, there); err != nil {
			return err
		}
	}
	c.stale = append(c.stale, staleName{dir, string(e.name)})
	if err := c.touch(dir); err != nil {
		return err
	}
	return c.bringBack(e)
}

func (c *settling) dirName(dir tree.FileID) []byte {
	ino, _ := tree.GetInode(c.r, dir)
	return ino.Name
}

func (c *settling) skip(e *formerEntry, why string) {
	c.deeds = append(c.deeds, Restored{Deed: DeedSkipped, Path: e.path(), Kind: e.ino.Kind, Why: why})
}

// isEdit reports whether what a name shows now, another file than then, is to be edited, so that programs that have it open go on: unless
// either file has other names, or the one of then is still there under another name, and gets this one back.
func (c *settling) isEdit(e *formerEntry, there tree.Inode) bool {
	if e.wanted || there.Kind != tree.File || e.ino.Kind != tree.File || there.Nlink != 1 || e.ino.Nlink != 1 {
		return false
	}
	now, ok := tree.GetInode(c.r, e.ino.ID)
	return !ok || now.ID != e.ino.ID || !c.comesBack(e, now)
}

// comesBack reports whether a file that is there under another name is to be named back.
func (c *settling) comesBack(e *formerEntry, now tree.Inode) bool {
	if !c.Exact || !e.strays {
		return false
	}
	return now.ID == c.free || c.scope != (tree.FileID{}) && tree.IsBelow(c.r, now.Parent, c.scope)
}

// unlink takes a name from what must make way.
func (c *settling) unlink(e *formerEntry, there tree.Inode) error {
	if c.t == nil {
		return nil
	}
	dir, err := c.node(e.in.now)
	if err != nil {
		return err
	}
	n, err := c.node(there.ID)
	if err != nil {
		return err
	}
	return c.t.unlink(dir, n, e.name)
}

// bringBack gives a name, which nothing has, to what had it.
func (c *settling) bringBack(e *formerEntry) error {
	id := e.ino.ID
	as, made := c.made[id]
	if !made {
		as, made = c.restoring.made[id]
	}
	now, alive := tree.GetInode(c.r, id)
	alive = alive && now.ID == id
	dead, died := tree.GetDead(c.r, id)
	died = died && dead.ID == id && dead.Kind == e.ino.Kind
	switch {
	case made && e.ino.Kind != tree.Dir:
		return c.link(e, as)
	case alive && c.comesBack(e, now):
		return c.nameBack(e, now)
	case alive && e.ino.Kind != tree.Dir && e.ino.Nlink > 1 && (c.isAsThen(e, now) || c.stays(e, now)):
		return c.link(e, id)
	case died && !c.moves(id):
		return c.revive(e, dead)
	}
	return c.makeAnew(e)
}

// moves reports whether a dry run has given a file a name already.
func (c *settling) moves(id tree.FileID) bool { return c.t == nil && c.restoring.moved[id] }

// isAsThen reports whether a file is what it was, so that it may get one of its former names beside those it has.
func (c *settling) isAsThen(e *formerEntry, now tree.Inode) bool {
	return now.Mode == e.ino.Mode && now.UID == e.ino.UID && now.GID == e.ino.GID && tree.SameBytes(c.r, now, e.ino)
}

// stays reports whether a file has a name now that it had then, and so is itself made what it was.
func (c *settling) stays(e *formerEntry, now tree.Inode) bool {
	return !e.strays && now.Parent == e.seen.Dir && bytes.Equal(now.Name, e.seen.Name) && c.scope != tree.FileID{} &&
		tree.IsBelow(c.r, now.Parent, c.scope)
}

func (c *settling) link(e *formerEntry, id tree.FileID) error {
	c.do(tree.Link{ID: id, Parent: e.in.now, Name: e.name, Path: c.pathOf(e.in.now), Time: c.now()})
	c.deed(e, DeedBack, "")
	if _, ok := c.nodes[id]; ok {
		return c.touch(id)
	}
	return nil
}

func (c *settling) now() int64 {
	if c.t == nil {
		return 0
	}
	return c.t.now
}

// nameBack renames what has another name now.
func (c *settling) nameBack(e *formerEntry, now tree.Inode) error {
	if e.ino.Kind == tree.Dir && tree.IsBelow(c.r, e.in.now, now.ID) {
		return c.makeAnew(e) // the directory that it was in is in it
	}
	if c.t != nil && (now.Parent != e.seen.Dir || !bytes.Equal(now.Name, e.seen.Name)) {
		return errChanged
	}
	from := append(c.pathOf(now.Parent), tree.Step{Name: now.Name})
	c.do(tree.Rename{
		ID: now.ID, From: now.Parent, OldName: now.Name, To: e.in.now, NewName: e.name, Path: c.pathOf(e.in.now), Time: c.now(),
	})
	clear(c.paths)
	if err := errors.Join(c.touch(now.Parent), c.touch(now.ID)); err != nil {
		return errChanged
	}
	c.stale = append(c.stale, staleName{now.Parent, string(now.Name)})
	c.moved = append(c.moved, now.ID)
	c.deed(e, DeedRename, c.label+"/"+pathString(from))
	return c.setBack(e, now, "")
}

// revive gives a file that lost its last name one again: to the log, it is renamed from where it was.
func (c *settling) revive(e *formerEntry, dead tree.Inode) error {
	if c.t != nil && len(dead.Heads) > 0 && c.t.isExpired(dead.Heads[0].ID) {
		return c.makeAnew(e) // what it would show first can't be read
	}
	c.do(tree.Rename{
		ID: dead.ID, From: dead.Parent, OldName: dead.Name, To: e.in.now, NewName: e.name, Path: c.pathOf(e.in.now), Time: c.now(),
	})
	c.moved = append(c.moved, dead.ID)
	c.setTimesOf(dead.ID)
	c.deed(e, DeedBack, "")
	return c.setBack(e, dead, "")
}

// setTimesOf gives a file that is there again what the device keeps of it. While programs still hold what it was when it was removed, that has
// its number.
func (c *settling) setTimesOf(id tree.FileID) {
	if c.t == nil {
		return
	}
	m := localMeta{ctime: c.t.now, atime: c.t.now}
	if v := c.past.vol; v.fs.table.isHeld(v, id) {
		m.ino = deriveIno(v.inoKey, v.id, v.fs.newFileID())
	}
	c.t.setMetaOf(id, false, m)
}

// makeAnew makes a file with what it was: of the one that it was, nothing is known any more, or it is still there under another name.
func (c *settling) makeAnew(e *formerEntry) error {
	f := c.past.vol.fs
	op := tree.Create{
		ID: f.newFileID(), Parent: e.in.now, Name: e.name, Kind: e.ino.Kind, Mode: e.ino.Mode, UID: e.ino.UID, GID: e.ino.GID,
		Time: c.now(), Mtime: e.ino.Mtime, Btime: e.ino.Btime, Rdev: e.ino.Rdev, Target: e.ino.Target, By: f.device,
		Path: c.pathOf(e.in.now), Xattrs: e.xattrs,
	}
	if e.ino.Kind != tree.Dir {
		c.made[e.ino.ID] = op.ID
	} else {
		c.enter(e, op.ID, true)
	}
	c.deed(e, DeedBack, "")
	if c.t == nil {
		return nil
	}
	if e.ino.Size() == 0 {
		c.setTimesOf(op.ID)
		c.do(op)
		return nil
	}
	ver, p, err := c.t.sameBytes(e.ino.Heads[0].ID, op.ID, e.ino.Mtime)
	if err != nil {
		delete(c.made, e.ino.ID)
		return c.unreadable(e, err)
	}
	if p == nil {
		op.Version = &ver
	}
	c.setTimesOf(op.ID)
	c.do(op)
	if p != nil {
		c.hold(p, tree.SetContent{ID: op.ID, Version: ver, Mtime: e.ino.Mtime, Time: c.now(), Path: c.past.vol.pathOf(c.r, op.ID)})
	}
	return nil
}

func (c *settling) hold(p *pending, op tree.SetContent) {
	c.held = append(c.held, p)
	c.t.hold(p, op)
}

// deed notes what was done.
func (c *settling) deed(e *formerEntry, d Deed, from string) {
	c.deeds = append(c.deeds, Restored{Deed: d, Path: e.path(), From: from, Kind: e.ino.Kind, Bytes: e.ino.Size()})
}

// enter goes on with what is in a directory.
func (c *settling) enter(e *formerEntry, now tree.FileID, back bool) {
	c.dirs = append(c.dirs, &formerDir{path: e.path(), ino: e.ino, now: now, back: back, bare: e.bare})
}

// unreadable is for a version whose bytes are lost: a file that is there keeps those that it has.
func (c *settling) unreadable(e *formerEntry, err error) error {
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, errExpired) {
		return err
	}
	c.deeds = append(c.deeds[:len(c.deeds)-1], Restored{Deed: DeedSkipped, Path: e.path(), Kind: e.ino.Kind, Why: err.Error()})
	return nil
}
