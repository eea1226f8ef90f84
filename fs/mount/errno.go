//go:build linux

package mount

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
)

// toErrno is the only place where errors become errno. What is not known to it is EIO.
func toErrno(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	for _, m := range [...]struct {
		err error
		no  syscall.Errno
	}{
		{fs.ErrDamaged, unix.EIO},
		{fs.ErrNotExist, unix.ENOENT},
		{fs.ErrExist, unix.EEXIST},
		{fs.ErrPermission, unix.EPERM},
		{fs.ErrInvalid, unix.EINVAL},
		{fs.ErrNotDir, unix.ENOTDIR},
		{fs.ErrIsDir, unix.EISDIR},
		{fs.ErrNotEmpty, unix.ENOTEMPTY},
		{fs.ErrCrossVolume, unix.EXDEV},
		{fs.ErrNameTooLong, unix.ENAMETOOLONG},
		{fs.ErrNoAttr, unix.ENODATA},
		{fs.ErrTooBig, unix.EFBIG},
		{fs.ErrNoSpace, unix.ENOSPC},
		{unix.ENOSPC, unix.ENOSPC},
		{unix.EFBIG, unix.EFBIG}, // a spill file's, larger than the file system below takes
		{fs.ErrNoData, unix.ENXIO},
		{fs.ErrBusy, unix.EBUSY},
		{fs.ErrNotSupported, unix.EOPNOTSUPP},
		{fs.ErrReadOnly, unix.EROFS},
		{fs.ErrStale, unix.ESTALE}, // which has the kernel look the path up again
		{context.Canceled, unix.EINTR},
	} {
		if errors.Is(err, m.err) {
			return fuse.Status(m.no)
		}
	}
	return fuse.EIO
}
