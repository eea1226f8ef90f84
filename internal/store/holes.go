package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// NextData finds the next bytes at off or behind that are no hole. Where a file can't tell, nothing is one.
func NextData(f vfs.File, off, size int64) (start, n int64, err error) {
	if f.Fd() == vfs.InvalidFd {
		return off, size - off, nil
	}
	start, err = unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, 0, nil
	}
	if err != nil {
		return off, size - off, nil
	}
	end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		end = size
	}
	return start, min(end, size) - start, nil
}
