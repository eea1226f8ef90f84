package fs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// setBack gives a file that is there, as now says, the content and attributes that it had; those of a directory that is only on the way stay.
// did is what to call it if anything changes, "" if it has been told what becomes of the file.
func (c *settling) setBack(e *formerEntry, now tree.Inode, did Deed) error {
	if e.ino.Kind == tree.Dir {
		c.enter(e, now.ID, did == "" && now.Nlink == 0)
		if e.bare {
			return nil
		}
	}
	ops := c.attrOps(e, now)
	content := e.ino.Kind == tree.File && !tree.SameBytes(c.r, now, e.ino)
	if len(ops) == 0 && !content {
		return nil
	}
	if did != "" {
		c.deed(e, did, "")
		if err := c.touch(now.ID); err != nil {
			return err
		}
	}
	if c.t == nil {
		return nil
	}
	if content {
		op, p, err := c.contentOp(e, now)
		if err != nil {
			return c.unreadable(e, err)
		}
		if p != nil {
			c.hold(p, op)
		} else {
			ops = append([]tree.Op{op}, ops...)
		}
		c.shows(now.ID, op.Version.ID)
	}
	c.do(ops...)
	return nil
}

// attrOps are what makes a file's attributes those that it had. A directory's time is set when all in it is done.
func (c *settling) attrOps(e *formerEntry, now tree.Inode) (ops []tree.Op) {
	is, was := now, e.ino
	set := tree.SetAttr{ID: now.ID}
	if is.Mode != was.Mode {
		set.Set, set.Mode = set.Set|tree.FieldMode, was.Mode
	}
	if is.UID != was.UID {
		set.Set, set.UID = set.Set|tree.FieldUID, was.UID
	}
	if is.GID != was.GID {
		set.Set, set.GID = set.Set|tree.FieldGID, was.GID
	}
	if is.Mtime != was.Mtime && is.Kind != tree.Dir {
		set.Set, set.Mtime = set.Set|tree.FieldMtime, was.Mtime
	}
	if set.Set != 0 {
		ops = append(ops, set)
	}
	if is.Xattrs == 0 && len(e.xattrs) == 0 {
		return ops
	}
	have := xattrsIn(c.r, now.ID)
	find := func(xs []tree.Xattr, name []byte) int {
		return slices.IndexFunc(xs, func(x tree.Xattr) bool { return bytes.Equal(x.Name, name) })
	}
	for _, x := range have {
		if find(e.xattrs, x.Name) < 0 {
			ops = append(ops, tree.SetXattr{ID: now.ID, Name: x.Name, Remove: true})
		}
	}
	for _, x := range e.xattrs {
		if i := find(have, x.Name); i < 0 || !bytes.Equal(have[i].Val, x.Val) {
			ops = append(ops, tree.SetXattr{ID: now.ID, Name: x.Name, Val: x.Val})
		}
	}
	return ops
}

// contentOp is the edit that makes a file's bytes those that it had. It takes the place of every head: what they were stays in the history.
func (c *settling) contentOp(e *formerEntry, now tree.Inode) (op tree.SetContent, p *pending, err error) {
	ver := tree.Version{ID: c.past.vol.fs.newVersionID(), By: c.past.vol.fs.device}
	if e.ino.Size() > 0 {
		if ver, p, err = c.t.sameBytes(e.ino.Heads[0].ID, now.ID, e.ino.Mtime); err != nil {
			return op, nil, err
		}
	}
	ver.Time = c.t.now
	tree.FreshVersion(ver.ID, c.t.Absent)
	return tree.SetContent{
		ID: now.ID, Version: ver, Replaces: now.HeadIDs(), Mtime: e.ino.Mtime, Time: c.t.now, Path: c.pathOfFile(now.ID),
	}, p, nil
}

// shows has programs that have a file open go on from its new version, as after a write by another program.
func (c *settling) shows(id tree.FileID, ver tree.VersionID) {
	n := c.nodes[id]
	if n == nil {
		return
	}
	c.t.then(func() {
		if h := n.handles.Load(); h != nil {
			h.replaces, h.lastQuiet = []tree.VersionID{ver}, false
			h.shown, h.shownVer = nil, tree.VersionID{}
		}
	})
}

// sameBytes is a new version of a file with the bytes of an old one, stored once; or a pending version, if those are not sealed yet.
func (t *txn) sameBytes(old tree.VersionID, file tree.FileID, mtime int64) (v tree.Version, p *pending, err error) {
	r := t.state(false)
	ver, ok := tree.GetVersion(r, old)
	if !ok {
		return v, nil, fmt.Errorf("version %x: %w", old[:4], ErrDamaged)
	}
	if t.isExpired(old) {
		return v, nil, fmt.Errorf("version %x %w", old[:4], errExpired)
	}
	v = tree.Version{ID: t.v.fs.newVersionID(), Size: ver.Size, Time: t.now, By: t.v.fs.device}
	t.v.mu.Lock()
	was, waits := t.v.pending[old]
	t.v.mu.Unlock()
	switch {
	case waits && was.sealedForm() != nil:
		v.Content = *was.sealedForm()
	case waits && !was.lost:
		p = was.again(file, false, mtime)
		v.ID, v.Pending = p.id, true
	case waits, ver.Pending:
		return v, nil, fmt.Errorf("version %x was never sealed: %w", old[:4], ErrDamaged)
	case !v.TakeContent(r, ver):
		return v, nil, fmt.Errorf("bytes of version %x: %w", old[:4], ErrDamaged)
	}
	return v, p, nil
}

// isExpired reports whether a version's bytes are kept no longer. If not, they are from now on, once another version has them.
func (t *txn) isExpired(id tree.VersionID) bool {
	_, gone := t.GetLocal(localKey(localExpired, id))
	return gone
}

// setTimes gives the directories that were brought back, or are to be as they were, the times that they had.
func (rs *restoring) setTimes() error {
	list := rs.dirs
	for len(list) > 0 {
		n := min(len(list), restoreAtOnce)
		part := list[len(list)-n:]
		list = list[:len(list)-n]
		var ids []tree.FileID
		for _, d := range part {
			if rs.isTimed(d) {
				ids = append(ids, d.now)
			}
		}
		if len(ids) == 0 || rs.DryRun {
			continue
		}
		err := rs.change(ids, func(c *settling) error {
			for _, d := range part {
				now, ok := tree.GetInode(c.r, d.now)
				if !rs.isTimed(d) || !ok || now.Mtime == d.ino.Mtime {
					continue
				}
				c.do(tree.SetAttr{ID: d.now, Set: tree.FieldMtime, Mtime: d.ino.Mtime})
				if err := c.touch(d.now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errChanged) {
			return err
		}
	}
	return nil
}

func (rs *restoring) isTimed(d *formerDir) bool { return !d.bare && (rs.Exact || d.back) }
