package fs

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// rewrite writes every byte of a sparse file anew where it is. Its holes stay.
func rewrite(f vfs.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < info.Size(); {
		var n int64
		if off, n, err = nextData(f, off, info.Size()); err != nil {
			return err
		}
		for ; n > 0; n -= int64(len(buf)) {
			part := buf[:min(n, int64(len(buf)))]
			if _, err := f.ReadAt(part, off); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if _, err := f.WriteAt(part, off); err != nil {
				return err
			}
			off += int64(len(part))
		}
	}
	return nil
}

// nextData finds the next bytes at off or behind that are no hole. Where a file can't tell, nothing is one.
func nextData(f vfs.File, off, size int64) (start, n int64, err error) {
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
