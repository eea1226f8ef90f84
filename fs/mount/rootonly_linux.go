package mount

import (
	"os"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
)

// isPrivate says whether a mount will be root's alone. Root of a namespace of its own is an ordinary user, whom files of ids that
// the namespace lacks are none of.
func isPrivate(o *Options) bool {
	if o.AllowOther || os.Geteuid() != 0 {
		return false
	}
	ids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(ids)), " ") == "0 0 4294967295"
}

// rootOnly answers for a mount that is root's alone. While the kernel checks permissions, each change of a directory makes it ask for
// the directory's attributes before it lets the next path through, which is one request more for every file that is made, renamed or
// removed. Root passes all of these checks, and without allow_other the kernel lets in nobody whose real, effective and saved uid
// are not root's; so it is told to check nothing. What it would have refused all the same is refused here: execution by
// access(2), and what a process of root's does under another name (setfsuid(2), as file servers do), which is answered as to
// anybody else: they are not let in. Requests that belong to an open file pass, whoever makes them.
//
// Exec itself the kernel goes on checking. It sees no capabilities, so root without CAP_DAC_OVERRIDE counts as root.
type rootOnly struct {
	fuse.RawFileSystem
	stale func(node uint64) // makes the kernel ask for a node's attributes anew; when it returns, that is done
}

// xattrSecurity begins the names of attributes that the kernel itself reads and removes when somebody writes to a file. They have checks of
// their own there.
const xattrSecurity = "security."

// admit is whether a request is root's.
func admit(h *fuse.InHeader) fuse.Status {
	if h.Uid != 0 {
		return fuse.EACCES
	}
	return fuse.OK
}

// Access answers access(2) and chdir(2).
func (r *rootOnly) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	if in.Mask&unix.W_OK != 0 && fs.NodeID(in.NodeId).IsPast() {
		return fuse.EROFS
	}
	if st := admit(&in.InHeader); st != fuse.OK || in.Mask&unix.X_OK == 0 {
		return st
	}
	var out fuse.AttrOut
	if st := r.GetAttr(cancel, &fuse.GetAttrIn{InHeader: in.InHeader}, &out); st != fuse.OK {
		return st
	}
	if out.Mode&unix.S_IFMT != unix.S_IFDIR && out.Mode&0o111 == 0 {
		return fuse.EACCES
	}
	return fuse.OK
}

// SetXAttr sets an attribute. An ACL changes the mode, which a kernel that does not use ACLs doesn't expect.
func (r *rootOnly) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, val []byte) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	st := r.RawFileSystem.SetXAttr(cancel, in, name, val)
	if st == fuse.OK && strings.HasPrefix(name, "system.posix_acl_") {
		r.stale(in.NodeId)
	}
	return st
}

// SetAttr changes attributes. Without any, or with a handle, it is part of writing to an open file.
func (r *rootOnly) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if in.Valid&fuse.FATTR_FH == 0 && in.Valid&^(fuse.FATTR_KILL_SUIDGID|fuse.FATTR_LOCKOWNER) != 0 {
		if st := admit(&in.InHeader); st != fuse.OK {
			return st
		}
	}
	return r.RawFileSystem.SetAttr(cancel, in, out)
}

// Lookup answers what a name leads to.
func (r *rootOnly) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if st := admit(h); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Lookup(cancel, h, name, out)
}

// Readlink answers a symlink's target.
func (r *rootOnly) Readlink(cancel <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	if st := admit(h); st != fuse.OK {
		return nil, st
	}
	return r.RawFileSystem.Readlink(cancel, h)
}

// Mknod makes a file, fifo, socket or device node.
func (r *rootOnly) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Mknod(cancel, in, name, out)
}

// Mkdir makes a directory.
func (r *rootOnly) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Mkdir(cancel, in, name, out)
}

// Symlink makes a symbolic link.
func (r *rootOnly) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	if st := admit(h); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Symlink(cancel, h, target, name, out)
}

// Link gives a file one more name.
func (r *rootOnly) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Link(cancel, in, name, out)
}

// Unlink removes a name.
func (r *rootOnly) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if st := admit(h); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Unlink(cancel, h, name)
}

// Rmdir removes an empty directory.
func (r *rootOnly) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if st := admit(h); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Rmdir(cancel, h, name)
}

// Rename moves a name.
func (r *rootOnly) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Rename(cancel, in, oldName, newName)
}

// Open opens a file.
func (r *rootOnly) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Open(cancel, in, out)
}

// Create makes and opens a file.
func (r *rootOnly) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Create(cancel, in, name, out)
}

// Tmpfile makes and opens a file without a name.
func (r *rootOnly) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.Tmpfile(cancel, in, out)
}

// ReadDir lists names.
func (r *rootOnly) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.ReadDir(cancel, in, out)
}

// ReadDirPlus lists names with what a lookup of each would answer.
func (r *rootOnly) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if st := admit(&in.InHeader); st != fuse.OK {
		return st
	}
	return r.RawFileSystem.ReadDirPlus(cancel, in, out)
}

// GetXAttr reads an extended attribute.
func (r *rootOnly) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	if st := admit(h); st != fuse.OK && !strings.HasPrefix(name, xattrSecurity) {
		return 0, st
	}
	return r.RawFileSystem.GetXAttr(cancel, h, name, dest)
}

// ListXAttr reads the names of the extended attributes.
func (r *rootOnly) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	if st := admit(h); st != fuse.OK {
		return 0, st
	}
	return r.RawFileSystem.ListXAttr(cancel, h, dest)
}

// RemoveXAttr removes an extended attribute.
func (r *rootOnly) RemoveXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if st := admit(h); st != fuse.OK && !strings.HasPrefix(name, xattrSecurity) {
		return st
	}
	return r.RawFileSystem.RemoveXAttr(cancel, h, name)
}
