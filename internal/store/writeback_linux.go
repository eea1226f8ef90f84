package store

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// StartWriteback asks the kernel to begin writing a part of a file to the disk. It makes nothing durable.
func StartWriteback(f vfs.File, from, size int64) {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		_ = unix.SyncFileRange(int(fd), from, size, unix.SYNC_FILE_RANGE_WRITE) // what fails is told to who syncs
	}
}
