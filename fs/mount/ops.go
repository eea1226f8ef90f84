//go:build linux

package mount

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
)

// Ops answers the kernel's requests from an fs.FS. Requests come from several threads at once. What may wait for the
// disk first calls block, so that another thread reads the next request meanwhile.
type Ops struct {
	fuse.RawFileSystem // answers ENOSYS to what is not here
	fs                 *fs.FS
	now                func() time.Time
	block              func(h *fuse.InHeader)
	stale              func(node uint64)
	seeReads           bool // the kernel shall not answer reads that change an atime
}

// NewOps returns the operations on f, for a mount with these options. block is called before a handler waits for the disk, stale when
// the kernel must ask for a node's attributes anew.
func NewOps(f *fs.FS, opts Options, now func() time.Time, block func(h *fuse.InHeader), stale func(node uint64)) *Ops {
	f.SetAtime(fs.Atime{
		Never: opts.NoAtime || opts.ReadOnly, Always: opts.StrictAtime, NeverDir: opts.NoDirAtime,
	})
	return &Ops{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), fs: f, now: now, block: block, stale: stale,
		seeReads: opts.StrictAtime || opts.RelAtime,
	}
}

// String names the file system in logs.
func (o *Ops) String() string { return "rhizome" }

func node(id uint64) fs.NodeID { return fs.NodeID(id) }

func credOf(h *fuse.InHeader, umask uint32) fs.Cred {
	return fs.Cred{UID: h.Uid, GID: h.Gid, Umask: umask}
}

// Lookup answers what a name leads to. That it leads nowhere is cached too.
func (o *Ops) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	e, err := o.fs.Lookup(node(h.NodeId), name)
	if st := toErrno(err); st == fuse.ENOENT {
		out.NodeId = 0
		if !e.Fleeting {
			out.EntryValid = ttl
		}
		return fuse.OK
	} else if st != fuse.OK {
		return st
	}
	fillEntry(e, out)
	return fuse.OK
}

// Replied lets the file system do what nobody has to wait for.
func (o *Ops) Replied() { o.fs.Settle() }

// Forget drops references that lookups gave the kernel.
func (o *Ops) Forget(id, lookups uint64) { o.fs.Forget(node(id), lookups) }

// GetAttr answers stat.
func (o *Ops) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	a, err := o.fs.GetAttr(node(in.NodeId))
	if err != nil {
		return toErrno(err)
	}
	out.AttrValid = ttl
	fillAttr(a, &out.Attr)
	return fuse.OK
}

// Statx answers statx(2) when it asks when a file was made. The kernel keeps the answer.
func (o *Ops) Statx(_ <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	a, err := o.fs.GetAttr(node(in.NodeId))
	if err != nil {
		return toErrno(err)
	}
	out.AttrValid = ttl
	fillStatx(a, &out.Statx)
	return fuse.OK
}

// SetAttr answers chmod, chown, truncate and utimens.
func (o *Ops) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	_, open := in.GetFh()
	a, err := o.fs.SetAttr(node(in.NodeId), changesOf(in, o.now()), open)
	if err != nil {
		return toErrno(err)
	}
	out.AttrValid = ttl
	fillAttr(a, &out.Attr)
	return fuse.OK
}

// Readlink answers a symlink's target.
func (o *Ops) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	target, err := o.fs.Readlink(node(h.NodeId))
	if err == nil {
		o.fs.Accessed(node(h.NodeId), false)
	}
	return target, toErrno(err)
}

func entry(e fs.Entry, err error, out *fuse.EntryOut) fuse.Status {
	if err != nil {
		return toErrno(err)
	}
	fillEntry(e, out)
	return fuse.OK
}

// Mknod makes a file, fifo, socket or device node.
func (o *Ops) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	e, err := o.fs.Mknod(node(in.NodeId), name, in.Mode, in.Rdev, credOf(&in.InHeader, in.Umask))
	return entry(e, err, out)
}

// Mkdir makes a directory, or an app volume.
func (o *Ops) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	e, err := o.fs.Mkdir(node(in.NodeId), name, in.Mode, credOf(&in.InHeader, in.Umask))
	return entry(e, err, out)
}

// Symlink makes a symbolic link.
func (o *Ops) Symlink(_ <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	e, err := o.fs.Symlink(node(h.NodeId), name, target, credOf(h, 0))
	return entry(e, err, out)
}

// Link gives a file one more name.
func (o *Ops) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	e, err := o.fs.Link(node(in.Oldnodeid), node(in.NodeId), name)
	return entry(e, err, out)
}

// Unlink removes a name.
func (o *Ops) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return toErrno(o.fs.Unlink(node(h.NodeId), name))
}

// Rmdir removes an empty directory.
func (o *Ops) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return toErrno(o.fs.Rmdir(node(h.NodeId), name))
}

// Rename moves a name.
func (o *Ops) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	return toErrno(o.fs.Rename(node(in.NodeId), oldName, node(in.Newdir), newName, in.Flags))
}

// GetXAttr reads an extended attribute.
func (o *Ops) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	val, err := o.fs.GetXattr(node(h.NodeId), name)
	return fill(dest, val, err)
}

// ListXAttr reads the names of the extended attributes.
func (o *Ops) ListXAttr(_ <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	list, err := o.fs.ListXattr(node(h.NodeId))
	return fill(dest, list, err)
}

func fill(dest, val []byte, err error) (uint32, fuse.Status) {
	if err != nil {
		return 0, toErrno(err)
	}
	if len(val) > len(dest) {
		return uint32(len(val)), fuse.ERANGE
	}
	return uint32(copy(dest, val)), fuse.OK
}

// SetXAttr sets an extended attribute.
func (o *Ops) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, val []byte) fuse.Status {
	flags := in.Flags & (fs.XattrCreate | fs.XattrReplace)
	if in.SetXAttrFlags&fuse.SETXATTR_ACL_KILL_SGID != 0 {
		flags |= fs.XattrKillSetGID
	}
	return toErrno(o.fs.SetXattr(node(in.NodeId), name, val, flags))
}

// RemoveXAttr removes an extended attribute.
func (o *Ops) RemoveXAttr(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return toErrno(o.fs.RemoveXattr(node(h.NodeId), name))
}

// StatFs tells the size of the disk below.
func (o *Ops) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	space := o.fs.Space()
	total, free := space.Total, space.Free
	out.Bsize, out.Frsize = 4096, 4096
	out.Blocks = uint64(total) / 4096
	out.Bfree = uint64(free) / 4096
	out.Bavail = out.Bfree
	out.Files, out.Ffree = 1<<32, 1<<32
	out.NameLen = 255
	return fuse.OK
}

// Ioctl knows none.
func (o *Ops) Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status {
	return fuse.Status(unix.ENOTTY)
}
