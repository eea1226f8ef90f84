package fs

import (
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A settling is one change of a restore: it brings a few names to what they were.
type settling struct {
	*restoring
	r     eventlog.Reader // the state now
	t     *txn            // nil: in a dry run
	nodes map[tree.FileID]*Node
	paths map[tree.FileID]tree.Path

	// What is so once the change is made.
	deeds []Restored
	dirs  []*formerDir
	late  []*formerEntry
	made  map[tree.FileID]tree.FileID
	moved []tree.FileID
	held  []*pending
	stale []staleName
}

// A staleName is a name that the kernel may know otherwise.
type staleName struct {
	dir  tree.FileID
	name string
}

// settle makes one change of names. errChanged: others were quicker, and nothing was done.
func (rs *restoring) settle(es []*formerEntry) error {
	return rs.change(rs.touched(es), func(c *settling) error {
		for _, e := range es {
			if err := c.settleEntry(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// touched lists the files that a change of names may touch: directories, what has the names, and what shall have them.
func (rs *restoring) touched(es []*formerEntry) (ids []tree.FileID) {
	rs.past.vol.view(false, func(r eventlog.Reader) error {
		for _, e := range es {
			ids = append(ids, e.in.now)
			if d, ok := tree.Lookup(r, e.in.now, e.name); ok {
				ids = append(ids, d.ID)
			}
			if now, ok := tree.GetInode(r, e.ino.ID); ok && now.ID == e.ino.ID {
				ids = append(ids, now.ID, now.Parent)
			}
		}
		return nil
	})
	return ids
}

// change makes one change that touches the files ids, or says what it would do.
func (rs *restoring) change(ids []tree.FileID, fn func(c *settling) error) error {
	v := rs.past.vol
	c := &settling{
		restoring: rs, nodes: map[tree.FileID]*Node{}, paths: map[tree.FileID]tree.Path{}, made: map[tree.FileID]tree.FileID{},
	}
	if rs.DryRun {
		err := v.view(false, func(r eventlog.Reader) error {
			c.r = r
			return fn(c)
		})
		if err != nil {
			return err
		}
		return c.done()
	}
	if err := v.fs.space.check(0); err != nil {
		return err
	}
	defer func() {
		for _, n := range c.nodes {
			v.fs.table.release(n)
		}
	}()
	if err := c.apply(ids, fn); err != nil {
		return err
	}
	c.notify()
	return c.done()
}

// apply locks the nodes of ids, ends what is being written there, so that it is kept, and makes the change. The nodes are the caller's to release.
func (c *settling) apply(ids []tree.FileID, fn func(c *settling) error) (err error) {
	v := c.past.vol
	var list []*Node
	for _, id := range ids {
		if c.nodes[id] == nil {
			c.nodes[id] = v.hold(id, false)
			list = append(list, c.nodes[id])
		}
	}
	unlock := lockNodes(list...)
	defer unlock()
	for id, n := range c.nodes {
		if n.file != id || n.local {
			err = errChanged
		} else if n.buf != nil && n.orphan == nil {
			if e := n.closeLocked(); e != nil {
				err = v.fs.damaged(n, e)
			}
		}
	}
	if err == nil {
		err = v.update(func(t *txn) error {
			c.t, c.r = t, t.state(false)
			if c.began == 0 {
				c.began = t.now
			}
			t.SetLocal([]byte{localRestored}, encodeSpan(c.began, t.now))
			err := fn(c)
			t.removed = nil // nobody does this by mistake without being told
			return err
		})
	}
	if err == nil {
		for _, p := range c.held {
			v.fs.spills.mem.Add(p.mem)
			v.fs.seal.put(p)
		}
		return nil
	}
	for _, p := range c.held {
		v.drop(p)
	}
	return err
}

// done takes up what the change did.
func (c *settling) done() error {
	rs := c.restoring
	rs.dirs = append(rs.dirs, c.dirs...)
	for _, d := range c.dirs {
		rs.was[d.now] = d.ino.ID
		if !d.bare {
			rs.todo = append(rs.todo, d)
		}
	}
	rs.late = append(rs.late, c.late...)
	for id, as := range c.made {
		rs.made[id] = as
	}
	for _, id := range c.moved {
		rs.moved[id] = true
	}
	for _, d := range c.deeds {
		if err := rs.tell(d); err != nil {
			return err
		}
	}
	return nil
}

// notify tells the kernel what it may know otherwise. No lock is held.
func (c *settling) notify() {
	i := c.past.vol.fs.invalidate.Load()
	if i == nil {
		return
	}
	t := c.past.vol.fs.table
	for _, s := range c.stale {
		if n := c.nodes[s.dir]; n != nil && t.isKnown(n) {
			(*i).InvalidateEntry(n.id, s.name)
		}
	}
	for _, n := range c.nodes {
		if t.isKnown(n) {
			(*i).InvalidateNode(n.id)
		}
	}
}

// do makes ops one event. In a dry run nothing happens.
func (c *settling) do(ops ...tree.Op) {
	if c.t != nil && len(ops) > 0 {
		c.t.apply(false, ops...)
	}
}

// node is a node that the change has locked.
func (c *settling) node(id tree.FileID) (*Node, error) {
	if c.t == nil {
		return nil, nil
	}
	n := c.nodes[id]
	if n == nil || n.orphan != nil {
		return nil, errChanged
	}
	return n, nil
}

// touch makes the ctime of a file, and what the kernel knows of it, now.
func (c *settling) touch(id tree.FileID) error {
	n, err := c.node(id)
	if err == nil && n != nil {
		c.t.touch(n)
	}
	return err
}

// pathOf is the path to a directory, for ops.
func (c *settling) pathOf(dir tree.FileID) tree.Path {
	p, ok := c.paths[dir]
	if !ok {
		p = c.past.vol.pathOf(c.r, dir)
		c.paths[dir] = p
	}
	return p
}

// pathOfFile is the path to a file as it is called now, for ops.
func (c *settling) pathOfFile(id tree.FileID) tree.Path {
	now, ok := tree.GetInode(c.r, id)
	if !ok {
		return nil
	}
	return append(slices.Clip(c.pathOf(now.Parent)), tree.Step{Dir: now.Parent, Name: now.Name})
}
