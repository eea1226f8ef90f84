//go:build linux

package mount

import (
	"math"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
)

// Lseek finds data and holes; the kernel does the rest of lseek by itself.
func (o *Ops) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	seek := o.fs.SeekData
	if in.Whence == unix.SEEK_HOLE {
		seek = o.fs.SeekHole
	}
	o.block(&in.InHeader)
	at, err := seek(node(in.NodeId), int64(in.Offset))
	if err != nil {
		return toErrno(err)
	}
	out.Offset = uint64(at)
	return fuse.OK
}

// Fallocate makes room, or a hole.
func (o *Ops) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	const zeroes = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE
	if in.Mode&^(unix.FALLOC_FL_KEEP_SIZE|zeroes) != 0 {
		return fuse.Status(unix.EOPNOTSUPP)
	}
	err := o.fs.Allocate(node(in.NodeId), int64(in.Offset), int64(in.Length), fs.Allocation{
		Zero: in.Mode&zeroes != 0, KeepSize: in.Mode&unix.FALLOC_FL_KEEP_SIZE != 0,
	})
	if err != nil {
		return toErrno(err)
	}
	return toErrno(o.changed(in.InHeader, in.NodeId))
}

// CopyFileRange copies within the mount.
func (o *Ops) CopyFileRange(_ <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	if in.Flags != 0 {
		return 0, fuse.EINVAL
	}
	o.block(&in.InHeader)
	n := min(in.Len, math.MaxUint32&^4095)
	done, err := o.fs.Copy(node(in.NodeId), int64(in.OffIn), node(in.NodeIdOut), int64(in.OffOut), int64(n))
	if err == nil {
		err = o.changed(in.InHeader, in.NodeIdOut)
	}
	return uint32(done), toErrno(err)
}

// changed drops the set-id bits of a file whose bytes an ordinary user has changed by other means than write: the kernel
// does not say that they should go.
func (o *Ops) changed(h fuse.InHeader, id uint64) error {
	if h.Uid == 0 {
		return nil
	}
	h.NodeId = id
	return o.killSetID(&h)
}
