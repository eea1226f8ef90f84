package fs

import (
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// An extra is a name that was not there.
type extra struct {
	dir  tree.FileID
	name []byte
	path string
	d    tree.Dirent
}

// removeOthers takes away what is in a directory and was not in it then.
func (rs *restoring) removeOthers(d *formerDir) error {
	had := map[string]bool{}
	err := rs.past.view(func(r eventlog.Reader) error {
		tree.ReadDir(r, d.ino.ID, 0, func(_ uint64, name []byte, _ tree.Dirent) bool {
			had[string(name)] = true
			return true
		})
		return nil
	})
	if err != nil {
		return err
	}
	var list []extra
	err = rs.past.vol.view(false, func(r eventlog.Reader) error {
		tree.ReadDir(r, d.now, 0, func(_ uint64, name []byte, e tree.Dirent) bool {
			if !had[string(name)] && e.Kind != tree.Graft && !rs.leaves(e.ID) {
				list = append(list, extra{d.now, slices.Clone(name), d.path + "/" + string(name), e})
			}
			return true
		})
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := rs.remove(e); err != nil {
			return err
		}
	}
	return nil
}

// remove takes away a name, and what is below it first.
func (rs *restoring) remove(top extra) error {
	list := []extra{top}
	if top.d.Kind == tree.Dir {
		err := rs.past.vol.log.Snapshot(func(r eventlog.Reader) {
			rs.listBelow(r, top, func(e extra) { list = append(list, e) })
		})
		if err != nil {
			return err
		}
	}
	slices.Reverse(list)
	for part := range slices.Chunk(list, restoreAtOnce) {
		var err error
		for range crossTries {
			if err = rs.removeAll(part); err != errChanged {
				break
			}
		}
		if err == errChanged {
			err = ErrBusy
		}
		if err != nil {
			return err
		}
		if err := rs.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (rs *restoring) listBelow(r eventlog.Reader, dir extra, fn func(extra)) {
	var in []extra
	tree.ReadDir(r, dir.d.ID, 0, func(_ uint64, name []byte, d tree.Dirent) bool {
		if !rs.leaves(d.ID) {
			in = append(in, extra{dir.d.ID, slices.Clone(name), dir.path + "/" + string(name), d})
		}
		return true
	})
	for _, e := range in {
		fn(e)
		if e.d.Kind == tree.Dir {
			rs.listBelow(r, e, fn)
		}
	}
}

// removeAll takes names away in one change. A directory that something has come into stays.
func (rs *restoring) removeAll(list []extra) error {
	var ids []tree.FileID
	var keys [][]byte
	for _, e := range list {
		ids = append(ids, e.dir, e.d.ID)
		keys = append(keys, tree.DirentKey(e.dir, e.name), tree.InodeKey(e.d.ID), tree.DeadKey(e.d.ID))
	}
	if err := rs.past.vol.log.Ahead(keys); err != nil {
		return err
	}
	return rs.change(ids, func(c *settling) error {
		for _, e := range list {
			if err := c.remove(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *settling) remove(e extra) error {
	d, ok := tree.Lookup(c.r, e.dir, e.name)
	if !ok || d.ID != e.d.ID {
		return nil
	}
	did := Restored{Deed: DeedRemove, Path: e.path, Kind: d.Kind}
	if ino, ok := tree.GetInode(c.r, d.ID); ok {
		did.Bytes = ino.Size()
	}
	if c.t != nil {
		dir, err := c.node(e.dir)
		if err != nil {
			return err
		}
		n, err := c.node(d.ID)
		if err != nil {
			return err
		}
		if d.Kind == tree.Dir {
			switch err := c.t.mustBeEmpty(n); {
			case err == ErrNotEmpty:
				did.Deed, did.Why = DeedSkipped, "something else is in it"
				c.deeds = append(c.deeds, did)
				return nil
			case err != nil:
				return err
			}
			c.t.dropStone(n.file)
		}
		if err := c.t.unlink(dir, n, e.name); err != nil {
			return err
		}
	}
	c.stale = append(c.stale, staleName{e.dir, string(e.name)})
	c.deeds = append(c.deeds, did)
	return nil
}

// leaves reports whether a file would have left its name, in a dry run.
func (rs *restoring) leaves(id tree.FileID) bool { return rs.DryRun && rs.moved[id] }
