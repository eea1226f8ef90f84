package fs

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// What rename(2) may be asked for; the values are Linux's.
const (
	RenameNoReplace = 1
	RenameExchange  = 2
)

// A move is one rename, with what it found. Every node in it is locked.
type move struct {
	from, to         *Node // directories
	oldName, newName []byte
	n                *Node // what moves
	target           *Node // what it replaces or is exchanged with; nil: nothing
	toLocal          bool  // the new name is device-local
	vol              *Volume
}

// Rename moves a name. A file or directory that has the new name is replaced in the same moment.
func (f *FS) Rename(fromDir NodeID, oldName string, toDir NodeID, newName string, flags uint32) error {
	return f.whileCrossing(func() error { return f.rename(fromDir, oldName, toDir, newName, flags) })
}

func (f *FS) rename(fromDir NodeID, oldName string, toDir NodeID, newName string, flags uint32) error {
	from, err := f.dirOf(fromDir)
	if err != nil {
		return err
	}
	to, err := f.dirOf(toDir)
	if err != nil {
		f.hintTop(toDir, newName)
		return err
	}
	if flags&^(RenameNoReplace|RenameExchange) != 0 || flags == RenameNoReplace|RenameExchange {
		return ErrInvalid
	}
	if len(newName) > tree.MaxName {
		return ErrNameTooLong
	}
	p, err := from.findHere([]byte(oldName))
	if err != nil {
		return err
	}
	m := move{from: from, to: to, oldName: []byte(oldName), newName: []byte(newName), vol: p.vol}
	trash := to.inTrash()
	if p.vol != to.vol && !trash {
		return ErrCrossVolume
	}
	m.n = p.vol.hold(p.dirent.ID, p.local)
	defer f.table.release(m.n)
	m.toLocal = trash || to.localChild(m.newName)
	if to.isHomeRoot() && p.dirent.Kind == tree.Dir && !m.toLocal {
		return ErrCrossVolume
	}
	q, err := to.findHere(m.newName)
	if err == nil {
		m.target = q.vol.hold(q.dirent.ID, q.local)
		defer f.table.release(m.target)
	} else if flags&RenameExchange != 0 || err == ErrReadOnly {
		return err
	}
	if m.target != nil && flags&RenameNoReplace != 0 {
		return ErrExist
	}
	if m.target == m.n {
		return nil // two names of one file: POSIX does nothing
	}
	if p.dirent.Kind == tree.Graft && !to.isHomeRoot() || m.target != nil && q.vol != p.vol {
		return ErrCrossVolume
	}
	replaces := flags&RenameExchange == 0 && m.target != nil
	var root *Node // of the volume that is replaced
	if replaces && p.dirent.Kind == tree.Graft {
		if q.dirent.Kind != tree.Graft {
			return ErrNotDir
		}
		in, err := q.throughGraft()
		if err != nil {
			return err
		}
		root = in.vol.hold(tree.RootID, false)
		defer f.table.release(root)
	}
	if p.local != m.toLocal && flags&RenameExchange == 0 {
		return f.cross(m)
	}
	unlock := lockNodes(from, to, m.n, m.target, root)
	defer unlock()
	if m.hasMoved(p, q) {
		return errMoved
	}
	if m.strands(trash, p.dirent.Kind) {
		return ErrCrossVolume
	}
	if p.dirent.Kind == tree.Graft && flags&RenameExchange == 0 {
		return m.renameVolume(p, q, root)
	}
	if m.target != nil && p.dirent.Kind == tree.File {
		if err := m.n.wholeLocked(); err != nil {
			return err
		}
	}
	err = m.vol.update(func(t *txn) error {
		if flags&RenameExchange != 0 {
			return t.exchange(m)
		}
		return t.rename(m)
	})
	if err == nil {
		m.tellDirs()
	}
	return err
}

// hasMoved reports whether what was found before it was locked is no longer in the trees where it was. Everything is locked.
func (m move) hasMoved(p, q place) bool {
	return m.n.local != p.local || m.target != nil && m.target.local != q.local ||
		m.toLocal != (m.to.inTrash() || m.to.localChild(m.newName))
}

// strands reports whether what other volumes have in the trash would be in none after the move, or be replaced. Everything is locked.
func (m move) strands(toTrash bool, kind tree.Kind) bool {
	return kind == tree.Dir && !toTrash && m.n.strangersBelow() || m.target != nil && m.target.hasStrangers()
}

// tellDirs has directories of the trash know what became of them, if another volume keeps them. Everything is locked.
func (m move) tellDirs() {
	m.from.changedBy(m.vol)
	if m.to != m.from {
		m.to.changedBy(m.vol)
	}
}

// renameVolume moves an app volume's name within its home. root is the empty volume's that it replaces, if any.
func (m move) renameVolume(p, q place, root *Node) error {
	if root != nil {
		if err := root.vol.empty(root); err != nil {
			return err
		}
	}
	return m.from.vol.update(func(t *txn) error {
		op := tree.Rename{
			ID: p.dirent.ID, From: m.from.file, OldName: m.oldName, To: m.to.file, NewName: m.newName, Time: t.now,
		}
		if d, ok := tree.Lookup(t.state(false), m.from.file, m.oldName); !ok || d.ID != op.ID {
			return ErrNotExist
		}
		d, there := tree.Lookup(t.state(false), m.to.file, m.newName)
		if there != (root != nil) || there && d.ID != q.dirent.ID {
			return ErrBusy // others were quicker
		}
		if root != nil {
			op.Replaced = q.dirent.ID
			t.orphanRoot(root)
		}
		t.apply(false, op)
		t.touch(m.from)
		return nil
	})
}

// orphanRoot makes the root of a volume that leaves its home in this change a directory without a name.
func (t *txn) orphanRoot(root *Node) {
	t.then(func() {
		root.orphan = &orphan{ino: tree.Inode{Kind: tree.Dir, Mode: rootMode, UID: tree.Owner, GID: tree.Owner}}
	})
}

// rename makes the move an event; one that replaces a file by one made for this save is an edit of that file.
func (t *txn) rename(m move) error {
	ino, target, err := t.checkMove(m)
	if err != nil {
		return err
	}
	local := m.n.local
	if m.target != nil && m.target.local != local {
		return ErrCrossVolume // other rules of what is device-local held when it was made
	}
	switch {
	case m.target == nil:
		t.apply(local, tree.Rename{
			ID: m.n.file, From: m.from.file, OldName: m.oldName, To: m.to.file, NewName: m.newName,
			Path: t.pathTo(m.to, m.n.local), Time: t.now,
		})
		t.touch(m.n)
		t.noteAside(m, ino)
	case t.isSave(m, ino, target):
		if err := t.save(m, ino, target); err != nil {
			return err
		}
	default:
		if err := t.replace(m, target); err != nil {
			return err
		}
	}
	t.touch(m.from)
	if m.to != m.from {
		t.touch(m.to)
	}
	return nil
}

// checkMove reads what moves and what it replaces, and refuses what rename(2) refuses.
func (t *txn) checkMove(m move) (ino, target tree.Inode, err error) {
	if _, err = m.from.parentFor(t); err != nil {
		return
	}
	if _, err = m.to.parentFor(t); err != nil {
		return
	}
	r := t.state(m.n.local)
	d, ok := tree.Lookup(r, m.from.file, m.oldName)
	if !ok || d.ID != m.n.file {
		return ino, target, ErrNotExist
	}
	if ino, ok = tree.GetInode(r, m.n.file); !ok {
		return ino, target, fmt.Errorf("rename %q: no inode: %w", m.oldName, ErrDamaged)
	}
	if ino.Kind == tree.Dir && tree.IsBelow(t.state(m.to.local), m.to.file, m.n.file) {
		return ino, target, ErrInvalid
	}
	if m.target == nil {
		return
	}
	rt := t.state(m.target.local)
	d, ok = tree.Lookup(rt, m.to.file, m.newName)
	if !ok || d.ID != m.target.file {
		return ino, target, ErrNotExist
	}
	if target, ok = tree.GetInode(rt, m.target.file); !ok {
		return ino, target, fmt.Errorf("rename over %q: no inode: %w", m.newName, ErrDamaged)
	}
	switch {
	case target.Kind == tree.Graft:
		return ino, target, ErrIsDir
	case ino.Kind == tree.Dir && target.Kind != tree.Dir:
		return ino, target, ErrNotDir
	case ino.Kind != tree.Dir && target.Kind == tree.Dir:
		return ino, target, ErrIsDir
	case target.Kind == tree.Dir:
		return ino, target, t.mustBeEmpty(m.target)
	}
	return ino, target, nil
}

// replace makes the rename take the target's name away from it.
func (t *txn) replace(m move, target tree.Inode) error {
	last := target.Nlink <= 1 || target.Kind == tree.Dir
	if last {
		if err := t.freeze(m.target, target); err != nil {
			return err
		}
	} else {
		t.touch(m.target)
	}
	t.apply(m.n.local, tree.Rename{
		ID: m.n.file, From: m.from.file, OldName: m.oldName, To: m.to.file, NewName: m.newName,
		Replaced: m.target.file, ReplacedHeads: target.HeadIDs(),
		Path: t.pathTo(m.to, m.n.local), Time: t.now,
	})
	t.touch(m.n)
	return nil
}

// exchange swaps two names.
func (t *txn) exchange(m move) error {
	if m.n.local != m.target.local || m.n.local != m.toLocal {
		return ErrCrossVolume
	}
	a, okA := tree.Lookup(t.state(m.n.local), m.from.file, m.oldName)
	b, okB := tree.Lookup(t.state(m.n.local), m.to.file, m.newName)
	if !okA || !okB || a.ID != m.n.file || b.ID != m.target.file {
		return ErrNotExist
	}
	if (a.Kind == tree.Graft || b.Kind == tree.Graft) && m.from != m.to {
		return ErrCrossVolume
	}
	r := t.state(m.to.local)
	if a.Kind == tree.Dir && tree.IsBelow(r, m.to.file, a.ID) || b.Kind == tree.Dir && tree.IsBelow(r, m.from.file, b.ID) {
		return ErrInvalid
	}
	t.apply(m.n.local, tree.Exchange{
		A: a.ID, DirA: m.from.file, NameA: m.oldName, B: b.ID, DirB: m.to.file, NameB: m.newName, Time: t.now,
	})
	t.touch(m.n)
	t.touch(m.target)
	t.touch(m.from)
	if m.to != m.from {
		t.touch(m.to)
	}
	return nil
}

// Link gives a file one more name.
func (f *FS) Link(id, parent NodeID, name string) (Entry, error) {
	n, err := f.nodeOf(id)
	if err != nil {
		return Entry{}, err
	}
	dir, err := f.dirOf(parent)
	if err != nil {
		f.hintTop(parent, name)
		return Entry{}, err
	}
	if err := dir.canName(name); err != nil {
		return Entry{}, err
	}
	unlock := lockNodes(n, dir)
	defer unlock()
	if n.vol != dir.vol || n.local != dir.localChild([]byte(name)) {
		return Entry{}, ErrCrossVolume
	}
	if _, err := dir.stranger([]byte(name)); err == nil {
		return Entry{}, ErrExist
	}
	if n.orphan != nil && n.orphan.linkable {
		return n.linkFirst(dir, []byte(name))
	}
	var ino tree.Inode
	err = n.vol.update(func(t *txn) error {
		if _, err := dir.parentFor(t); err != nil {
			return err
		}
		if n.orphan != nil {
			return ErrNotExist
		}
		r := t.state(n.local)
		if ino, _ = tree.GetInode(r, n.file); ino.Kind == tree.Dir {
			return ErrPermission
		}
		if _, ok := tree.Lookup(r, dir.file, []byte(name)); ok {
			return ErrExist
		}
		t.apply(n.local, tree.Link{
			ID: n.file, Parent: dir.file, Name: []byte(name),
			Path: t.pathTo(dir, n.local), Time: t.now,
		})
		var ok bool
		if ino, ok = tree.GetInode(r, n.file); !ok {
			return ErrNotExist
		}
		t.touch(n)
		t.touch(dir)
		return nil
	})
	if err != nil {
		return Entry{}, err
	}
	f.table.ref(n.vol, n.file, n.local, 1, n.metaLocked)
	return Entry{Node: n.id, Attr: n.attrLocked(ino)}, nil
}
