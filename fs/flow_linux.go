package fs

import "golang.org/x/sys/unix"

// startWriteback asks for a part of a file to be written, and not for its end.
func startWriteback(fd uintptr, from, size int64) {
	_ = unix.SyncFileRange(int(fd), from, size, unix.SYNC_FILE_RANGE_WRITE)
}
