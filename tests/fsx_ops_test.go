package tests

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (x *fsx) step() error {
	off, n := x.piece()
	switch x.IntN(19) {
	case 0, 1, 2:
		x.tell("write %d+%d", off, n)
		return x.write(x.fd, x.bytes(n), off)
	case 3, 4:
		return x.mapped(off, n)
	case 5, 6:
		size := x.IntN([]int{x.most, len(x.want) + 1}[x.IntN(2)])
		x.tell("truncate %d to %d", len(x.want), size)
		x.grow(size)
		x.want = x.want[:size]
		if x.IntN(2) == 0 {
			return unix.Truncate(x.path, int64(size))
		}
		return unix.Ftruncate(x.fd, int64(size))
	case 7, 8:
		x.tell("punch %d+%d", off, n)
		clear(x.want[min(off, len(x.want)):min(off+n, len(x.want))])
		return unix.Fallocate(x.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
	case 9:
		return x.allocate(off, n)
	case 10, 11:
		return x.copy(off, n)
	case 12:
		return x.refill()
	case 13:
		return x.direct(off, n)
	case 14:
		return x.appendTo(n)
	case 15:
		x.tell("fsync")
		return unix.Fsync(x.fd)
	case 16:
		return x.holes()
	case 17:
		trunc := x.IntN(8) == 0
		x.tell("close, open, truncate %v", trunc)
		if err := unix.Close(x.fd); err != nil {
			return err
		}
		flags := 0
		if trunc {
			flags, x.want = unix.O_TRUNC, nil
		}
		return x.open(flags)
	default:
		x.tell("close of a copy")
		fd, err := unix.Dup(x.fd)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
}

func (x *fsx) write(fd int, b []byte, off int) error {
	n, err := unix.Pwrite(fd, b, int64(off))
	if err == nil && n != len(b) {
		err = fmt.Errorf("wrote %d of %d bytes: %w", n, len(b), errWrong)
	}
	x.put(b, off)
	return err
}

// mapped reads and writes within the file by a shared mapping, which now and then outlives a change of the size.
func (x *fsx) mapped(off, n int) error {
	size := len(x.want)
	n = min(n, size-off)
	if n <= 0 {
		x.tell("nothing to map")
		return nil
	}
	first := off &^ 4095
	x.tell("map %d+%d", off, n)
	m, err := unix.Mmap(x.fd, int64(first), off-first+n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	err = x.same(m[off-first:], off, n)
	if x.IntN(2) == 0 {
		b := x.bytes(n)
		copy(m[off-first:], b)
		copy(x.want[off:], b)
		x.tell("... and write")
		switch x.IntN(4) {
		case 0:
			err = errors.Join(err, unix.Msync(m, unix.MS_SYNC))
		case 1:
			// The file is cut under the mapping, and grows again: what was cut is zeros.
			cut := off + x.IntN(n+1)
			x.tell("... and cut to %d, and grow to %d", cut, size)
			clear(x.want[cut:])
			err = errors.Join(err, unix.Ftruncate(x.fd, int64(cut)), unix.Ftruncate(x.fd, int64(size)), x.same(m[off-first:], off, n))
		}
	}
	return errors.Join(err, unix.Munmap(m))
}

func (x *fsx) allocate(off, n int) error {
	mode := []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE}[x.IntN(4)]
	x.tell("allocate %#x %d+%d", mode, off, n)
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		x.grow(off + n)
	}
	if mode&unix.FALLOC_FL_ZERO_RANGE != 0 {
		clear(x.want[min(off, len(x.want)):min(off+n, len(x.want))])
	}
	return unix.Fallocate(x.fd, mode, int64(off), int64(n))
}

// copy copies a range within the file or from the other one.
func (x *fsx) copy(off, n int) error {
	at, src, path := x.IntN(x.most), x.from, x.other
	if x.IntN(2) == 0 {
		at = off
	}
	if x.IntN(3) == 0 {
		src, path = x.want, x.path
	}
	n = max(0, min(n, len(src)-off, x.most-at))
	if path == x.path && off < at+n && at < off+n {
		x.tell("no copy onto itself")
		return nil
	}
	x.tell("copy %s %d+%d to %d", path, off, n, at)
	from, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	for n > 0 {
		r, w := int64(off), int64(at)
		k, err := unix.CopyFileRange(from, &r, x.fd, &w, n, 0)
		if err != nil {
			return err
		}
		if k == 0 {
			return fmt.Errorf("copied nothing of %d bytes: %w", n, errWrong)
		}
		x.put(append([]byte(nil), src[off:off+k]...), at)
		off, at, n = off+k, at+k, n-k
	}
	return nil
}

// refill makes the other file anew.
func (x *fsx) refill() error {
	x.from = x.bytes(x.IntN(x.most))
	x.tell("other: %d bytes", len(x.from))
	return os.WriteFile(x.other, x.from, 0o644)
}

// direct reads and writes past the page cache.
func (x *fsx) direct(off, n int) error {
	off, n = off&^4095, (n+4095)&^4095
	buf := make([]byte, n+4096)
	b := buf[4096-int(uintptr(unsafe.Pointer(&buf[0]))&4095):][:n]
	x.tell("direct %d+%d", off, n)
	fd, err := unix.Open(x.path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	k, err := unix.Pread(fd, b, int64(off))
	if err == nil {
		err = x.same(b[:k], off, n)
	}
	if err == nil && x.IntN(2) == 0 {
		x.tell("... and write")
		copy(b, x.bytes(n))
		err = x.write(fd, b, off)
	}
	return errors.Join(err, unix.Close(fd))
}

func (x *fsx) appendTo(n int) error {
	n = min(n, x.most-len(x.want))
	if n <= 0 {
		x.tell("full")
		return nil
	}
	x.tell("append %d", n)
	fd, err := unix.Open(x.path, unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	b := x.bytes(n)
	x.put(b, len(x.want))
	_, err = unix.Write(fd, b)
	return errors.Join(err, unix.Close(fd))
}

// holes checks that there is data wherever a byte is not zero.
func (x *fsx) holes() error {
	x.tell("holes")
	if err := unix.Fsync(x.fd); err != nil { // what a mapping has written
		return err
	}
	for off := 0; off < len(x.want); {
		data, err := unix.Seek(x.fd, int64(off), unix.SEEK_DATA)
		if err == unix.ENXIO {
			data = int64(len(x.want))
		} else if err != nil {
			return err
		}
		for i := off; i < int(data); i++ {
			if x.want[i] != 0 {
				return fmt.Errorf("a hole from %d to %d, and byte %d is %#x: %w", off, data, i, x.want[i], errWrong)
			}
		}
		if int(data) == len(x.want) {
			break
		}
		hole, err := unix.Seek(x.fd, data, unix.SEEK_HOLE)
		if err != nil || hole <= data {
			return fmt.Errorf("data from %d to %d: %w", data, hole, errors.Join(err, errWrong))
		}
		off = int(hole)
	}
	return nil
}
