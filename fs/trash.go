package fs

import (
	"slices"
	"strconv"
	"strings"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// At the mount's top a user may have a trash, as freedesktop.org's specification puts it: .Trash-UID, device-local with all that is
// below. Its directories are kept in the device-local tree of a home volume. What is moved into them from another volume goes to the
// device-local tree of its own volume, under what stands there for the directory, so that moving it in and out is one change of one
// volume and copies nothing. What a directory of the trash shows is what all volumes have for it.

// topDir is the directory, in the device-local tree of a home volume, whose entries are shown at the mount's top.
var topDir = tree.FileID([]byte("rhizome top dir."))

var topPath = tree.Path{{Dir: tree.RootID, Name: []byte("top")}}

// isTrashOf reports whether name is that of a user's trash at the mount's top.
func isTrashOf(name string, uid uint32) bool {
	rest, ok := strings.CutPrefix(name, ".Trash-")
	return ok && rest == strconv.FormatUint(uint64(uid), 10)
}

// trashNamed finds a trash at the mount's top.
func (f *FS) trashNamed(name string) (p place, ok bool) {
	for _, h := range f.homes() {
		h.vol.view(true, func(r eventlog.Reader) error {
			if d, found := tree.Lookup(r, topDir, []byte(name)); found {
				p, ok = place{vol: h.vol, local: true, dirent: d}, true
			}
			return nil
		})
		if ok {
			break
		}
	}
	return p, ok
}

// trashes lists what is at the mount's top besides identities.
func (f *FS) trashes() (list []DirEntry, err error) {
	for _, h := range f.homes() {
		more, err := h.vol.entries(topDir, true, 0, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// makeTrash is mkdir at the mount's top: a user may make a trash of their own there.
func (f *FS) makeTrash(name string, mode uint32, c Cred) (Entry, error) {
	homes := f.homes()
	if !isTrashOf(name, c.UID) || len(homes) == 0 {
		f.hintTop(Root, name)
		return Entry{}, ErrPermission
	}
	if _, ok := f.trashNamed(name); ok || f.homeNamed(name) != nil {
		return Entry{}, ErrExist
	}
	if err := f.space.check(0); err != nil {
		return Entry{}, err
	}
	v := homes[0].vol
	op := tree.Create{
		ID: f.newFileID(), Parent: topDir, Name: []byte(name), Kind: tree.Dir, Mode: mode & 0o7777 &^ c.Umask,
		UID: f.storedUID(c.UID), GID: f.storedGID(c.GID), By: f.device, Path: topPath,
	}
	err := v.update(func(t *txn) error {
		if _, ok := tree.Lookup(t.state(true), topDir, op.Name); ok {
			return ErrExist
		}
		op.Time, op.Mtime, op.Btime = t.now, t.now, t.now
		t.apply(true, op)
		return nil
	})
	if err != nil {
		return Entry{}, err
	}
	f.touchTop()
	return f.enter(place{vol: v, local: true, dirent: tree.Dirent{ID: op.ID, Kind: tree.Dir}})
}

// removeTrash is rmdir at the mount's top.
func (f *FS) removeTrash(name string) error {
	p, ok := f.trashNamed(name)
	if !ok {
		return ErrPermission
	}
	n := p.vol.hold(p.dirent.ID, p.local)
	defer f.table.release(n)
	unlock := lockNodes(n)
	defer unlock()
	if n.hasStrangers() {
		return ErrNotEmpty
	}
	err := p.vol.update(func(t *txn) error {
		d, ok := tree.Lookup(t.state(true), topDir, []byte(name))
		ino, there := tree.GetInode(t.state(true), n.file)
		if !ok || !there || d.ID != n.file {
			return ErrNotExist
		}
		if err := t.mustBeEmpty(n); err != nil {
			return err
		}
		if err := t.freeze(n, ino); err != nil {
			return err
		}
		t.apply(true, tree.Unlink{Parent: topDir, Name: []byte(name), ID: n.file, Time: t.now})
		return nil
	})
	if err != nil {
		return err
	}
	f.touchTop()
	return n.dropStones()
}

func (f *FS) touchTop() {
	top, _ := f.table.get(Root)
	top.mu.Lock()
	defer top.mu.Unlock()
	top.ctime = f.now().UnixNano()
}

// inTrash reports whether n is a directory of the trash at the top that home volumes keep: what other volumes have may be in it.
func (n *Node) inTrash() (is bool) {
	if n.vol == nil || !n.vol.isHome {
		return false
	}
	file, local := n.at()
	if !local {
		return false
	}
	n.vol.view(true, func(r eventlog.Reader) error {
		is = tree.IsBelow(r, file, topDir)
		return nil
	})
	return is
}

// strangers calls fn with the device-local tree of every other volume, and n's id there, until it returns false, if n is in the trash.
func (n *Node) strangers(fn func(v *Volume, r eventlog.Reader, dir tree.FileID) (more bool)) {
	if !n.inTrash() {
		return
	}
	dir, _ := n.at()
	for _, v := range n.vol.fs.allVolumes() {
		more := true
		if v != n.vol {
			v.view(true, func(r eventlog.Reader) error {
				more = fn(v, r, dir)
				return nil
			})
		}
		if !more {
			return
		}
	}
}

// stranger finds a name in directory n of the trash that another volume has.
func (n *Node) stranger(name []byte) (p place, err error) {
	err = ErrNotExist
	n.strangers(func(v *Volume, r eventlog.Reader, dir tree.FileID) bool {
		d, ok := tree.Lookup(r, dir, name)
		if ok {
			p, err = place{vol: v, local: true, dirent: d}, nil
		}
		return !ok
	})
	return p, err
}

// hasStrangers reports whether another volume has anything in directory n of the trash.
func (n *Node) hasStrangers() (has bool) {
	n.strangers(func(_ *Volume, r eventlog.Reader, dir tree.FileID) bool {
		ino, ok := tree.GetInode(r, dir)
		has = ok && ino.Entries > 0
		return !has
	})
	return has
}

// strangersBelow reports whether another volume has anything in n or in a directory below.
func (n *Node) strangersBelow() (has bool) {
	if !n.inTrash() {
		return false
	}
	file, _ := n.at()
	dirs := []tree.FileID{file}
	n.vol.view(true, func(r eventlog.Reader) error {
		tree.Walk(r, file, func(_ [][]byte, d tree.Dirent) bool {
			if d.Kind == tree.Dir {
				dirs = append(dirs, d.ID)
			}
			return true
		})
		return nil
	})
	n.strangers(func(_ *Volume, r eventlog.Reader, _ tree.FileID) bool {
		has = slices.ContainsFunc(dirs, func(dir tree.FileID) bool {
			ino, ok := tree.GetInode(r, dir)
			return ok && ino.Entries > 0
		})
		return !has
	})
	return has
}

// strangeSubdirs counts the directories that other volumes have in directory n of the trash.
func (n *Node) strangeSubdirs() (count uint32) {
	n.strangers(func(_ *Volume, r eventlog.Reader, dir tree.FileID) bool {
		if ino, ok := tree.GetInode(r, dir); ok {
			count += ino.Subdirs
		}
		return true
	})
	return count
}

// strangeEntries lists what other volumes have in directory n of the trash.
func (n *Node) strangeEntries(cookie uint64) (list []DirEntry, err error) {
	var vs []*Volume
	var at tree.FileID
	n.strangers(func(v *Volume, _ eventlog.Reader, dir tree.FileID) bool {
		vs, at = append(vs, v), dir
		return true
	})
	for _, v := range vs {
		more, err := v.entries(at, true, cookie, nil)
		if err != nil {
			return nil, err
		}
		list = merge(list, more)
	}
	return list, nil
}

// dropStones removes what stands for n, which is gone and was in the trash, in other volumes.
func (n *Node) dropStones() error {
	for _, v := range n.vol.fs.allVolumes() {
		if _, ok := v.inodeOf(true, n.file); !ok || v == n.vol {
			continue
		}
		err := v.update(func(t *txn) error {
			t.dropStone(n.file)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// changedBy makes the times of directory n, in which v has changed something, now. The caller holds n.mu.
func (n *Node) changedBy(v *Volume) {
	if n.vol == v || n.orphan != nil {
		return
	}
	err := n.vol.update(func(t *txn) error {
		t.apply(true, tree.SetAttr{ID: n.file, Set: tree.FieldMtime, Mtime: t.now})
		t.touch(n)
		return nil
	})
	if err != nil {
		n.vol.fs.log.Warn("set the times of a directory of the trash", "err", err)
	}
}

// parentOf is where the directory of a file with that inode is. Its names are in one of v's trees; the directory may be in the other,
// or in the trash that a home volume keeps. top is true if it is the mount's top.
func (v *Volume) parentOf(ino tree.Inode, local bool) (p place, top bool) {
	p = place{vol: v, local: local, dirent: tree.Dirent{ID: ino.Parent, Kind: tree.Dir}}
	if !local {
		return p, false
	}
	if ino.Parent == topDir {
		return p, true
	}
	if _, shared := v.inodeOf(false, ino.Parent); shared {
		p.local = false
		return p, false
	}
	if dir, ok := v.inodeOf(true, ino.Parent); !ok || !isStone(dir) {
		return p, false
	}
	for _, h := range v.fs.homes() {
		if dir, ok := h.vol.inodeOf(true, ino.Parent); ok && !isStone(dir) {
			p.vol = h.vol
		}
	}
	return p, false
}

// isStone reports whether an inode of the device-local tree only stands for a directory that is somewhere else: see pathTo.
func isStone(ino tree.Inode) bool { return ino.Parent == tree.RootID && !mayBeLocal(ino.Name) }
