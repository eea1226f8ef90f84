package fs

import "github.com/rhizome-fs/rhizome/fs/tree"

// Attr is what stat shows of an inode. Times are ns since 1970 UTC.
type Attr struct {
	Ino   uint64
	Size  int64
	Data  int64  // bytes of Size that are not in holes
	Mode  uint32 // permission and set-id bits, and the type as in stat(2)
	Nlink uint32
	UID   uint32
	GID   uint32
	Rdev  uint32
	Atime int64
	Mtime int64
	Ctime int64
	Btime int64
}

// The type bits of a mode, which are the same on every Unix.
const (
	ModeFifo    = 0o010000
	ModeChar    = 0o020000
	ModeDir     = 0o040000
	ModeBlock   = 0o060000
	ModeRegular = 0o100000
	ModeSymlink = 0o120000
	ModeSocket  = 0o140000
	ModeType    = 0o170000
)

// ModeOf returns the type bits of a kind of file.
func ModeOf(k tree.Kind) uint32 {
	switch k {
	case tree.Dir, tree.Graft:
		return ModeDir
	case tree.Symlink:
		return ModeSymlink
	case tree.Fifo:
		return ModeFifo
	case tree.Socket:
		return ModeSocket
	case tree.CharDev:
		return ModeChar
	case tree.BlockDev:
		return ModeBlock
	default:
		return ModeRegular
	}
}

// kindOf is the kind that mknod makes for a mode.
func kindOf(mode uint32) (tree.Kind, bool) {
	switch mode & ModeType {
	case 0, ModeRegular:
		return tree.File, true
	case ModeFifo:
		return tree.Fifo, true
	case ModeSocket:
		return tree.Socket, true
	case ModeChar:
		return tree.CharDev, true
	case ModeBlock:
		return tree.BlockDev, true
	}
	return 0, false
}

// attrOf is what stat shows of an inode whatever the device knows of it besides.
func (v *Volume) attrOf(ino *tree.Inode, st uint64) Attr {
	a := Attr{
		Ino:   st,
		Size:  ino.Size(),
		Mode:  ino.Mode&0o7777 | ModeOf(ino.Kind),
		Nlink: ino.Nlink,
		UID:   v.fs.uidOf(ino.UID),
		GID:   v.fs.gidOf(ino.GID),
		Rdev:  ino.Rdev,
		Mtime: ino.Mtime,
		Btime: ino.Btime,
	}
	switch ino.Kind {
	case tree.Dir, tree.Graft:
		a.Nlink = 2 + ino.Subdirs
		a.Size = 4096
	case tree.Symlink:
		a.Size = int64(len(ino.Target))
	}
	a.Data = a.Size
	return a
}

// attrLocked composes what stat shows of n. The caller holds n.mu.
func (n *Node) attrLocked(ino tree.Inode) Attr {
	a := n.vol.attrOf(&ino, n.ino)
	a.Atime, a.Ctime = n.atime, n.ctime
	if ino.Kind == tree.Dir || ino.Kind == tree.Graft {
		a.Nlink += n.strangeSubdirs()
	}
	if n.orphan != nil {
		a.Nlink = 0
	}
	if n.buf != nil {
		a.Size, a.Data = n.buf.size, n.buf.data()
		a.Mtime = n.buf.mtime
	} else if n.notes != nil && len(ino.Heads) > 0 {
		m := n.metaLocked()
		a.Data -= m.holesIn(ino.Heads[0].ID)
	}
	if a.Atime == 0 {
		a.Atime = a.Mtime
	}
	if a.Ctime == 0 {
		a.Ctime = a.Mtime
	}
	return a
}

// Owner is kept in place of the mounting user's own ids, so that files are the mounting user's on every
// device.
func (f *FS) uidOf(u uint32) uint32 {
	if u == tree.Owner {
		return f.uid
	}
	return u
}

func (f *FS) gidOf(g uint32) uint32 {
	if g == tree.Owner {
		return f.gid
	}
	return g
}

func (f *FS) storedUID(u uint32) uint32 {
	if u == f.uid {
		return tree.Owner
	}
	return u
}

func (f *FS) storedGID(g uint32) uint32 {
	if g == f.gid {
		return tree.Owner
	}
	return g
}
