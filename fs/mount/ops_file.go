//go:build linux

package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
)

// A handle's number says what its release must know; the file behind it is the node's.
const (
	readHandle  = 1
	writeHandle = 2
)

func writes(flags uint32) bool { return flags&unix.O_ACCMODE != unix.O_RDONLY }

// Open opens a file. The kernel keeps its pages: it is told what changes behind its back.
func (o *Ops) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	trunc := in.Flags&unix.O_TRUNC != 0
	write := trunc || writes(in.Flags) // who empties a file has an edit for close to end
	if err := o.fs.Open(node(in.NodeId), write, trunc); err != nil {
		return toErrno(err)
	}
	if in.Mode&fuse.OPEN_KILL_SUIDGID != 0 {
		if err := o.killSetID(&in.InHeader); err != nil {
			o.fs.Release(node(in.NodeId), write)
			return toErrno(err)
		}
	}
	o.opened(write, out)
	if o.seeReads && !writes(in.Flags) && o.fs.AtimeDue(node(in.NodeId)) {
		out.OpenFlags &^= fuse.FOPEN_KEEP_CACHE // else the kernel answers the read, and nobody learns of it
	}
	return fuse.OK
}

func (o *Ops) opened(write bool, out *fuse.OpenOut) {
	out.Fh = readHandle
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	if write {
		out.Fh = writeHandle
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	}
}

// Create makes and opens a file. One that has come to be there meanwhile is opened, and emptied if O_TRUNC says so.
func (o *Ops) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	e, err := o.fs.Create(node(in.NodeId), name, in.Mode, in.Flags&unix.O_EXCL != 0, credOf(&in.InHeader, in.Umask))
	if err != nil {
		return toErrno(err)
	}
	if in.Flags&unix.O_TRUNC != 0 && e.Attr.Size > 0 {
		if e.Attr, err = o.fs.SetAttr(e.Node, fs.Changes{Size: new(int64)}, true); err != nil {
			o.fs.Release(e.Node, true)
			o.fs.Forget(e.Node, 1)
			return toErrno(err)
		}
	}
	fillEntry(e, &out.EntryOut)
	o.opened(true, &out.OpenOut)
	return fuse.OK
}

// Tmpfile makes and opens a file without a name.
func (o *Ops) Tmpfile(_ <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	e, err := o.fs.Tmpfile(node(in.NodeId), in.Mode, in.Flags&unix.O_EXCL != 0, credOf(&in.InHeader, in.Umask))
	if err != nil {
		return toErrno(err)
	}
	fillEntry(e, &out.EntryOut)
	o.opened(true, &out.OpenOut)
	return fuse.OK
}

// smallRead is the size up to which a read takes less time than waking another thread.
const smallRead = 64 << 10

// Read answers from the edit that goes on, or from the version shown.
func (o *Ops) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	var n int
	var err error
	ready := false
	if len(buf) > smallRead {
		if n, ready, err = o.fs.ReadReady(node(in.NodeId), buf, int64(in.Offset)); !ready {
			o.block(&in.InHeader)
		}
	}
	if !ready {
		n, err = o.fs.Read(node(in.NodeId), buf, int64(in.Offset))
	}
	if err != nil {
		return nil, toErrno(err)
	}
	if in.Flags&unix.O_NOATIME == 0 {
		o.fs.Accessed(node(in.NodeId), false)
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// Write takes bytes into the edit.
func (o *Ops) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n, err := o.fs.Write(node(in.NodeId), data, int64(in.Offset))
	if err != nil {
		return 0, toErrno(err)
	}
	if in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0 {
		if err := o.killSetID(&in.InHeader); err != nil {
			return 0, toErrno(err)
		}
	}
	return uint32(n), fuse.OK
}

// killSetID drops the set-id bits of a file. The kernel leaves that to us and goes on believing in them, also when it runs the
// file.
func (o *Ops) killSetID(h *fuse.InHeader) error {
	id := h.NodeId
	a, err := o.fs.GetAttr(node(id))
	if err != nil || a.Mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return err
	}
	defer o.stale(id)
	return o.fs.KillSetID(node(id), memberOf(h))
}

// Flush is a close: it ends the edit.
func (o *Ops) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	return toErrno(o.fs.Flush(node(in.NodeId)))
}

// Release drops a handle.
func (o *Ops) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	o.fs.Release(node(in.NodeId), in.Fh == writeHandle)
}

// Fsync makes a file durable.
func (o *Ops) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	o.block(&in.InHeader)
	return toErrno(o.fs.Fsync(node(in.NodeId)))
}

// FsyncDir makes the names durable.
func (o *Ops) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	o.block(&in.InHeader)
	return toErrno(o.fs.Fsync(node(in.NodeId)))
}

// ReadDir lists names.
func (o *Ops) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return o.readDir(in, func(e fuse.DirEntry, from *fs.DirEntry) bool {
		if from != nil {
			e.Ino = o.fs.InoOf(*from)
		}
		return out.AddDirEntry(e)
	})
}

// ReadDirPlus lists names with what a lookup of each would answer.
func (o *Ops) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return o.readDir(in, func(e fuse.DirEntry, from *fs.DirEntry) bool {
		if from == nil {
			return out.AddDirLookupEntry(e) != nil
		}
		found, there := o.fs.Enter(*from)
		if e.Ino = found.Attr.Ino; !there {
			e.Ino = o.fs.InoOf(*from)
		}
		slot := out.AddDirLookupEntry(e)
		switch {
		case there && slot != nil:
			fillEntry(found, slot)
		case there:
			o.fs.Forget(found.Node, 1)
		}
		return slot != nil
	})
}

// Offsets 1 and 2 stand behind "." and ".."; the rest are the names' own cookies.
const (
	offDot    = 1
	offDotDot = 2
)

func (o *Ops) readDir(in *fuse.ReadIn, add func(fuse.DirEntry, *fs.DirEntry) bool) fuse.Status {
	id, off := node(in.NodeId), in.Offset
	o.fs.Accessed(id, true)
	if off < offDotDot {
		self, parent, err := o.fs.DotInos(id)
		if err != nil {
			return toErrno(err)
		}
		if off < offDot && !add(fuse.DirEntry{Name: ".", Ino: self, Mode: unix.S_IFDIR, Off: offDot}, nil) {
			return fuse.OK
		}
		if !add(fuse.DirEntry{Name: "..", Ino: parent, Mode: unix.S_IFDIR, Off: offDotDot}, nil) {
			return fuse.OK
		}
		off = offDotDot
	}
	for {
		list, err := o.fs.ReadDir(id, off)
		if err != nil {
			return toErrno(err)
		}
		if len(list) == 0 {
			return fuse.OK
		}
		for i := range list {
			e := &list[i]
			next := e.Cookie
			if i+1 < len(list) && list[i+1].Cookie == next {
				next-- // who stops between names of one cookie sees them again rather than missing one
			}
			if !add(fuse.DirEntry{Name: string(e.Name), Mode: e.Mode, Off: next}, e) {
				return fuse.OK
			}
		}
		off = list[len(list)-1].Cookie
	}
}
