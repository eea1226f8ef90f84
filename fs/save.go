package fs

import (
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// Programs save a file in three ways: they write into it, they rename a new file over it, or they move it aside, make it
// anew and remove what they moved aside. All three are edits of the file.

// isSave reports whether m is the end of an atomic save: a file that this mount made while the target
// was there, with one name, replaces a file with one name.
func (t *txn) isSave(m move, ino, target tree.Inode) bool {
	return ino.Kind == tree.File && target.Kind == tree.File && ino.Nlink == 1 && target.Nlink == 1 &&
		ino.Btime >= target.Btime && len(ino.Heads) > 0 && len(target.Heads) > 0
}

// save makes the rename an edit of the target. Programs see what rename(2) promises: the path has the new
// file's inode number, and who holds the old inode keeps the old bytes.
func (t *txn) save(m move, ino, target tree.Inode) error {
	if err := t.freeze(m.target, target); err != nil {
		return err
	}
	file := m.target.file
	t.apply(m.n.local, tree.Save{
		Target: file, TargetHeads: target.HeadIDs(), Dir: m.to.file, Name: m.newName,
		Source: m.n.file, FromDir: m.from.file, FromName: m.oldName,
		Path: t.pathTo(m.to, m.n.local), Time: t.now,
	})
	if err := t.moveJournal(m.n, file); err != nil {
		return err
	}
	t.become(m.n, file, t.now)
	return nil
}

// An aside remembers where a file was moved away from, and when.
type aside struct {
	dir  tree.FileID
	name string
	at   int64
}

// asideFor is how long a file that was moved aside may wait for its successor.
const asideFor = int64(time.Minute)

// asideLocked is where n was moved away from; nil: it was not. The caller holds n.mu.
func (n *Node) asideLocked() *aside {
	if n.notes == nil {
		return nil
	}
	return n.notes.aside
}

// noteAside remembers that a file was moved away from its name.
func (t *txn) noteAside(m move, ino tree.Inode) {
	if ino.Kind == tree.File && ino.Nlink == 1 && len(ino.Heads) > 0 {
		a := &aside{dir: m.from.file, name: string(m.oldName), at: t.now}
		t.then(func() { m.n.noteLocked().aside = a })
	}
}

// successor is the node of the file that was made under the name that n was moved away from; nil: there is none.
// The reference of the table is the caller's to drop.
func (f *FS) successor(n *Node) *Node {
	n.mu.Lock()
	a, file, local := n.asideLocked(), n.file, n.local
	n.mu.Unlock()
	if a == nil || f.now().UnixNano()-a.at > asideFor {
		return nil
	}
	var d tree.Dirent
	found := false
	n.vol.view(local, func(r eventlog.Reader) error {
		d, found = tree.Lookup(r, a.dir, []byte(a.name))
		return nil
	})
	if !found || d.Kind != tree.File || d.ID == file {
		return nil
	}
	return n.vol.hold(d.ID, local)
}

// isAside reports whether removing n ends a save by s. Both are locked.
func (t *txn) isAside(n, s *Node) bool {
	a := n.asideLocked()
	if s == nil || a == nil || s.buf != nil || s.orphan != nil || n.buf != nil || n.orphan != nil {
		return false
	}
	r := t.state(n.local)
	d, ok := tree.Lookup(r, a.dir, []byte(a.name))
	if !ok || d.ID != s.file {
		return false
	}
	target, okT := tree.GetInode(r, n.file)
	ino, okS := tree.GetInode(r, s.file)
	return okT && okS && ino.Kind == tree.File && ino.Nlink == 1 && target.Nlink == 1 &&
		ino.Btime >= a.at && len(ino.Heads) > 0 && len(target.Heads) > 0
}

// saveAside makes the removal of n, which was moved aside, and the making of s under its old name one edit of n's file.
func (t *txn) saveAside(dir, n, s *Node, name []byte) error {
	r := t.state(n.local)
	target, _ := tree.GetInode(r, n.file)
	if err := t.freeze(n, target); err != nil {
		return err
	}
	a, file, old := n.asideLocked(), n.file, s.file
	t.apply(n.local, tree.Save{
		Target: file, TargetHeads: target.HeadIDs(), Dir: a.dir, Name: []byte(a.name),
		Source: old, FromDir: a.dir, FromName: []byte(a.name), Aside: true,
		Path: t.v.pathOf(r, a.dir), Time: t.now,
	})
	gone, ok := tree.GetInode(r, old)
	if !ok {
		return ErrNotExist
	}
	t.apply(n.local, tree.Unlink{Parent: dir.file, Name: name, ID: old, Heads: gone.HeadIDs(), Time: t.now})
	t.touch(dir)
	t.become(s, file, s.ctime) // the kernel is not looking at s, and would keep the old one
	return nil
}

// become makes n the node of another file, with the inode number that programs know it by. n is locked.
func (t *txn) become(n *Node, file tree.FileID, ctime int64) {
	meta := n.metaLocked()
	meta.ctime = ctime
	meta.ino = n.ino
	t.dropMeta(n.file)
	t.setMetaOf(file, n.local, meta)
	t.then(func() {
		n.setMetaLocked(meta)
		t.v.fs.table.rebind(n, file)
	})
}
