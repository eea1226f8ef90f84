package store

import (
	"fmt"
	"runtime/debug"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// mapFile maps a segment's file, so that a record is handed to the kernel by copying it: about 1 µs where
// write(2) takes 4 on ext4. It returns nil where that can't be done: WriteAt does as well. Only Linux promises
// that fdatasync covers what was written through a mapping, and only the plain real file system is
// mapped, so that a file system that injects faults sees every write.
func mapFile(fs vfs.FS, f vfs.File, size int64) []byte {
	if fs != vfs.Default {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Size() < size {
		return nil
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil
	}
	_ = unix.Madvise(mem, unix.MADV_RANDOM) // what has to be read back is read page by page, too
	return mem
}

func unmapFile(mem []byte) error {
	if mem == nil {
		return nil
	}
	return unix.Munmap(mem)
}

// copyMapped copies into a mapped file. The kernel answers with a signal if it has no page for it: a full
// disk on a file system that never writes in place, or a disk that can't be read.
func copyMapped(mem, data []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write through a mapping: %v", r)
		}
	}()
	copy(mem, data)
	return nil
}
