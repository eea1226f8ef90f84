package fs

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A Cred says for whom something is made, and what permissions they never give. The kernel has checked that they may.
type Cred struct{ UID, GID, Umask uint32 }

const (
	setGID   = 0o2000
	rootMode = 0o755
)

// newID draws an id. It begins with the time, in about seconds, of which only the last 16 bits are kept, and is random else: what was
// made together lies together in the database, so that a walk of it reads few blocks, and a burst of changes has few tables to
// merge with.
func (f *FS) newID() (id [16]byte) {
	rand.Read(id[2:])
	binary.BigEndian.PutUint16(id[:], uint16(f.now().UnixNano()>>30))
	return id
}

func (f *FS) newFileID() tree.FileID       { return f.newID() }
func (f *FS) newVersionID() tree.VersionID { return f.newID() }

// Mkdir makes a directory. In an identity's directory that is an app volume.
func (f *FS) Mkdir(parent NodeID, name string, mode uint32, c Cred) (Entry, error) {
	if parent == Root {
		return f.makeTrash(name, mode, c)
	}
	dir, err := f.dirOf(parent)
	if err != nil {
		return Entry{}, err
	}
	if dir.isHomeRoot() && !isLocal(nil, []byte(name)) {
		return f.makeVolume(dir, name)
	}
	return f.make(dir, name, tree.Create{Kind: tree.Dir, Mode: mode & 0o7777}, c)
}

// Mknod makes a file, a fifo, a socket or a device node.
func (f *FS) Mknod(parent NodeID, name string, mode, rdev uint32, c Cred) (Entry, error) {
	dir, err := f.dirOf(parent)
	if err != nil {
		f.hintTop(parent, name)
		return Entry{}, err
	}
	kind, ok := kindOf(mode)
	if !ok {
		return Entry{}, ErrInvalid
	}
	return f.make(dir, name, tree.Create{Kind: kind, Mode: mode & 0o7777, Rdev: rdev}, c)
}

// Symlink makes a symbolic link.
func (f *FS) Symlink(parent NodeID, name, target string, c Cred) (Entry, error) {
	dir, err := f.dirOf(parent)
	if err != nil {
		f.hintTop(parent, name)
		return Entry{}, err
	}
	if len(target) > 4095 {
		return Entry{}, ErrNameTooLong
	}
	return f.make(dir, name, tree.Create{Kind: tree.Symlink, Mode: 0o777, Target: []byte(target)}, c)
}

func (f *FS) hintTop(parent NodeID, name string) {
	if parent == Root {
		f.log.Warn("the mount's top holds identities only", "hint", "make one with: rhizome identity new NAME",
			"refused", name)
	}
}

func (dir *Node) isHomeRoot() bool {
	if dir.vol == nil || !dir.vol.isHome {
		return false
	}
	file, local := dir.at()
	return file == tree.RootID && !local
}

// make creates a file of any kind in dir.
func (f *FS) make(dir *Node, name string, op tree.Create, c Cred) (Entry, error) {
	if err := dir.canName(name); err != nil {
		return Entry{}, err
	}
	if err := f.space.check(0); err != nil {
		return Entry{}, err
	}
	op.ID = f.newFileID()
	op.Name = []byte(name)
	op.UID, op.GID = f.storedUID(c.UID), f.storedGID(c.GID)
	n, made, err := dir.makeChild(op, c)
	if err != nil {
		return Entry{}, err
	}
	n.mu.Lock() // not with dir's: see the order of locks
	defer n.mu.Unlock()
	return Entry{Node: n.id, Attr: n.attrLocked(made)}, nil
}

// canName refuses names that nothing new gets in dir.
func (dir *Node) canName(name string) error {
	switch {
	case len(name) > tree.MaxName:
		return ErrNameTooLong
	case dir.isAt([]byte(name)):
		return ErrExist
	}
	return nil
}

// makeChild makes what op says in dir, and its node, with a reference of the kernel.
func (dir *Node) makeChild(op tree.Create, c Cred) (n *Node, made tree.Inode, err error) {
	v := dir.vol
	var meta localMeta
	dir.mu.Lock()
	defer dir.mu.Unlock()
	local := dir.localChild(op.Name)
	if _, err := dir.stranger(op.Name); err == nil {
		return nil, made, ErrExist
	}
	err = v.update(func(t *txn) error {
		parent, err := dir.parentFor(t)
		if err != nil {
			return err
		}
		if _, ok := tree.Lookup(t.state(local), dir.file, op.Name); ok {
			return ErrExist
		}
		inherit(&op, &parent, aclOf(t.state(dir.local), &parent, aclDefault), c.Umask)
		op.Parent = dir.file
		op.Path = t.pathTo(dir, local)
		op.Time, op.Mtime, op.Btime = t.now, t.now, t.now
		op.By = v.fs.device
		tree.FreshFile(op.ID, t.absent(local))
		if op.Kind == tree.Dir && !local {
			t.AbsentBelow(tree.NamesPrefix(op.ID))
		}
		t.apply(local, op)
		t.opening = op.Kind == tree.File
		meta = localMeta{ctime: t.now, atime: t.now, fresh: true} // as its inode says
		t.touch(dir)
		var ok bool
		if made, ok = tree.GetInode(t.state(local), op.ID); !ok {
			return fmt.Errorf("create %q: %w", op.Name, ErrInvalid)
		}
		return nil
	})
	if err != nil {
		return nil, made, err
	}
	return v.fs.table.ref(v, op.ID, local, 1, func() localMeta { return meta }), made, nil
}

// parentFor reads dir's inode for a change of its entries: it must still be there.
func (dir *Node) parentFor(t *txn) (tree.Inode, error) {
	if dir.orphan != nil {
		return tree.Inode{}, ErrNotExist
	}
	if dir.vol != t.v { // of the trash, where its own volume has it for as long as it is no orphan
		return tree.Inode{Kind: tree.Dir}, nil
	}
	ino, ok := tree.GetInode(t.state(dir.local), dir.file)
	if !ok {
		return tree.Inode{}, ErrNotExist
	}
	if ino.Kind != tree.Dir {
		return tree.Inode{}, ErrNotDir
	}
	return ino, nil
}

// localChild reports whether a name in dir is kept by the device alone.
func (dir *Node) localChild(name []byte) bool {
	file, local := dir.at()
	return local || dir.vol.localIn(file, name)
}

// localIn is localChild for a directory of the shared tree.
func (v *Volume) localIn(dir tree.FileID, name []byte) bool {
	if !mayBeLocal(name) {
		return false
	}
	var dirName []byte
	v.view(false, func(r eventlog.Reader) error {
		if ino, ok := tree.GetInode(r, dir); ok {
			dirName = ino.Name
		}
		return nil
	})
	return isLocal(dirName, name)
}

// pathOf is the way from the root to dir, which events carry so that what is no longer known where they
// arrive can be made anew.
func (v *Volume) pathOf(r eventlog.Reader, dir tree.FileID) tree.Path {
	p, _ := tree.PathOf(r, dir)
	return p
}

// pathTo is the path to dir for an op of the shared or the device-local tree. In the latter, directories of the shared tree
// stand below the root, each under a name of its own that is never shown: there they neither move nor meet. So do directories of
// the trash that another volume keeps.
func (t *txn) pathTo(dir *Node, local bool) tree.Path {
	if dir.vol != t.v {
		return steppingStone(dir.file)
	}
	if !local || dir.local {
		return t.v.pathOf(t.state(dir.local), dir.file)
	}
	if dir.file == tree.RootID {
		return nil
	}
	return steppingStone(dir.file)
}

// steppingStone is the path in the device-local tree to what stands there for a directory that is not of it.
func steppingStone(dir tree.FileID) tree.Path {
	return tree.Path{{Dir: tree.RootID, Name: fmt.Appendf(nil, "d%x", dir)}}
}

// makeVolume makes an app volume and its graft in the home volume.
func (f *FS) makeVolume(dir *Node, name string) (Entry, error) {
	if err := dir.canName(name); err != nil {
		return Entry{}, err
	}
	h := dir.vol.home
	dir.mu.Lock()
	defer dir.mu.Unlock()
	var gen uint64
	err := dir.vol.view(false, func(r eventlog.Reader) error {
		if _, ok := tree.Lookup(r, tree.RootID, []byte(name)); ok {
			return ErrExist
		}
		gen = tree.Generation(r, []byte(name))
		return nil
	})
	if err != nil {
		return Entry{}, err
	}
	id := h.id.VolumeID(name, gen)
	v, err := f.openVolume(h, id, name)
	if err != nil {
		return Entry{}, fmt.Errorf("make volume %s: %w", name, err)
	}
	err = dir.vol.update(func(t *txn) error {
		t.apply(false, tree.Create{
			ID: f.newFileID(), Parent: tree.RootID, Name: []byte(name), Kind: tree.Graft, Mode: rootMode,
			UID: tree.Owner, GID: tree.Owner, Volume: id, Generation: gen, By: f.device,
			Time: t.now, Mtime: t.now, Btime: t.now,
		})
		t.touch(dir)
		return nil
	})
	if err != nil {
		return Entry{}, err
	}
	return f.enter(place{vol: v, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir}})
}
