package fs

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// Unlink removes a name of anything but a directory.
func (f *FS) Unlink(parent NodeID, name string) error {
	return f.whileCrossing(func() error { return f.unlink(parent, name) })
}

func (f *FS) unlink(parent NodeID, name string) error {
	dir, err := f.dirOf(parent)
	if err != nil {
		return err
	}
	p, err := dir.findHere([]byte(name))
	if err != nil {
		return err
	}
	if p.dirent.Kind == tree.Dir || p.dirent.Kind == tree.Graft {
		return ErrIsDir
	}
	n := p.vol.hold(p.dirent.ID, p.local)
	defer f.table.release(n)
	s := f.successor(n)
	if s != nil {
		defer f.table.release(s)
	}
	unlock := lockNodes(dir, n, s)
	defer unlock()
	err = p.vol.update(func(t *txn) error {
		if t.isAside(n, s) {
			return t.saveAside(dir, n, s, []byte(name))
		}
		return t.unlink(dir, n, []byte(name))
	})
	if err == nil {
		dir.changedBy(p.vol)
	}
	return err
}

// findHere resolves a name for a change of it, without stepping through a graft.
func (dir *Node) findHere(name []byte) (place, error) {
	if len(name) > tree.MaxName {
		return place{}, ErrNameTooLong
	}
	p, err := dir.look(name)
	if err == ErrNotExist && dir.isAt(name) {
		return p, ErrReadOnly
	}
	return p, err
}

// lockNodes locks several nodes in the order of their numbers, each once.
func lockNodes(ns ...*Node) (unlock func()) {
	ns = slices.DeleteFunc(slices.Clone(ns), func(n *Node) bool { return n == nil })
	slices.SortFunc(ns, func(a, b *Node) int { return cmp.Compare(a.id, b.id) })
	ns = slices.Compact(ns)
	for _, n := range ns {
		n.mu.Lock()
	}
	return func() {
		for _, n := range slices.Backward(ns) {
			n.mu.Unlock()
		}
	}
}

// unlink removes name of n from dir. Both are locked.
func (t *txn) unlink(dir, n *Node, name []byte) error {
	if _, err := dir.parentFor(t); err != nil {
		return err
	}
	r := t.state(n.local)
	d, ok := tree.Lookup(r, dir.file, name)
	if !ok || d.ID != n.file {
		return ErrNotExist
	}
	ino, ok := tree.GetInode(r, n.file)
	if !ok {
		return fmt.Errorf("unlink %q: no inode: %w", name, ErrDamaged)
	}
	if ino.Nlink <= 1 {
		if err := t.freeze(n, ino); err != nil {
			return err
		}
		if ino.Kind != tree.Dir && !n.local {
			t.removed = append(t.removed, ino.Btime)
		}
	}
	t.apply(n.local, tree.Unlink{
		Parent: dir.file, Name: name, ID: n.file, Heads: ino.HeadIDs(), Time: t.now,
	})
	t.touch(dir)
	if ino.Nlink > 1 {
		t.touch(n)
	}
	return nil
}

// freeze makes n an orphan: its last name goes in this change. Programs that hold it open keep its bytes.
// The caller holds n.mu, and calls it before the op that removes the name.
func (t *txn) freeze(n *Node, ino tree.Inode) error {
	o := &orphan{ino: ino, late: true}
	o.ino.Nlink = 0
	if n.handles.Load() != nil || ino.Xattrs > 0 { // which a save gives to the file that it puts in its place
		o.load(n, t.state(n.local))
	}
	t.dropMeta(n.file)
	if n.buf != nil && n.buf.journaled {
		t.deleteJournal(n.file, n.buf.journal)
	}
	t.then(func() {
		n.orphan = o
		n.ctime = t.now
		if n.buf != nil {
			n.buf.journaled = false
		}
		t.v.fs.table.unname(n)
		if n.handles.Load() == nil {
			n.forgetEditLocked()
		}
	})
	return nil
}

// load reads the bytes and attributes that n had when it lost its last name; the state keeps them. What is damaged
// fails who reads it, and keeps no name from going. The caller holds n.mu.
func (o *orphan) load(n *Node, r eventlog.Reader) {
	bytes, err := n.headLocked(o.ino, r)
	if err != nil {
		bytes = damagedContent{size: o.ino.Size(), err: err}
	}
	o.late, o.bytes, o.xattrs = false, bytes, map[string][]byte{}
	if o.ino.Xattrs == 0 {
		return
	}
	tree.Xattrs(r, n.file, func(name, val []byte) bool {
		o.xattrs[string(name)] = slices.Clone(val)
		return true
	})
}

// keptLocked is what is left of n, which has no name. Nearly nobody asks once it is closed: a program may by a
// descriptor that it opened with O_PATH.
func (n *Node) keptLocked() (*orphan, error) {
	o := n.orphan
	if !o.late {
		return o, nil
	}
	return o, n.vol.view(n.local, func(r eventlog.Reader) error {
		o.load(n, r)
		return nil
	})
}

// Rmdir removes an empty directory, or an app volume without files.
func (f *FS) Rmdir(parent NodeID, name string) error {
	if parent == Root {
		return f.removeTrash(name)
	}
	return f.whileCrossing(func() error { return f.rmdir(parent, name) })
}

func (f *FS) rmdir(parent NodeID, name string) error {
	dir, err := f.dirOf(parent)
	if err != nil {
		return err
	}
	p, err := dir.findHere([]byte(name))
	if err != nil {
		return err
	}
	switch p.dirent.Kind {
	case tree.Graft:
		return f.removeVolume(dir, p, []byte(name))
	case tree.Dir:
	default:
		return ErrNotDir
	}
	n := p.vol.hold(p.dirent.ID, p.local)
	defer f.table.release(n)
	unlock := lockNodes(dir, n)
	defer unlock()
	trash := n.inTrash()
	if trash && n.hasStrangers() {
		return ErrNotEmpty
	}
	err = p.vol.update(func(t *txn) error {
		if err := t.mustBeEmpty(n); err != nil {
			return err
		}
		if !n.local {
			t.dropStone(n.file)
		}
		return t.unlink(dir, n, []byte(name))
	})
	if err != nil {
		return err
	}
	dir.changedBy(p.vol)
	if trash {
		return n.dropStones()
	}
	return nil
}

// mustBeEmpty fails unless directory n has no entry, shared or device-local.
func (t *txn) mustBeEmpty(n *Node) error {
	if ino, ok := tree.GetInode(t.state(n.local), n.file); ok && ino.Entries > 0 {
		return ErrNotEmpty
	}
	if n.local {
		return nil
	}
	empty := true
	tree.ReadDir(t.state(true), n.file, 0, func(_ uint64, name []byte, _ tree.Dirent) bool {
		// The device-local tree has directories of the shared one as stepping stones, by names that are never shown.
		empty = !mayBeLocal(name)
		return empty
	})
	if !empty {
		return ErrNotEmpty
	}
	return nil
}

// removeVolume takes an empty app volume out of its home. Its log stays: what was in it can be had back.
func (f *FS) removeVolume(dir *Node, p place, name []byte) error {
	in, err := p.throughGraft()
	if err != nil {
		return err
	}
	root := in.vol.hold(tree.RootID, false)
	defer f.table.release(root)
	unlock := lockNodes(dir, root)
	defer unlock()
	if err := in.vol.empty(root); err != nil {
		return err
	}
	return dir.vol.update(func(t *txn) error {
		d, ok := tree.Lookup(t.state(false), dir.file, name)
		if !ok || d.ID != p.dirent.ID {
			return ErrNotExist
		}
		t.apply(false, tree.Unlink{Parent: dir.file, Name: name, ID: d.ID, Time: t.now})
		t.touch(dir)
		t.orphanRoot(root)
		return nil
	})
}

// empty fails unless a volume's root directory has no entry.
func (v *Volume) empty(root *Node) error {
	return v.update(func(t *txn) error { return t.mustBeEmpty(root) })
}
