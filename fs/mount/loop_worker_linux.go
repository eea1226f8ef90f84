package mount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Opcodes of the FUSE protocol (linux/fuse.h) that the loop itself knows.
const (
	opRead      = 15
	opFsync     = 20
	opFlush     = 25
	opReaddir   = 28
	opFsyncdir  = 30
	opSetlkw    = 33
	opInterrupt = 36
	opLseek     = 46
	opSyncfs    = 50
)

// Sizes and places in the protocol's headers.
const (
	inHeaderSize  = int(unsafe.Sizeof(fuse.InHeader{}))
	outHeaderSize = int(unsafe.Sizeof(fuse.OutHeader{}))
	writeInSize   = int(unsafe.Sizeof(fuse.WriteIn{}))
	opcodeAt      = 4
	uniqueAt      = 8
	pidAt         = 32
)

// bigReply is the size from which writing a reply is told to Go's scheduler: copying it takes a while.
const bigReply = 64 << 10

// worker is one thread that reads and handles requests.
type worker struct {
	l    *loop
	wake chan bool // to a parked worker: lead, or end

	// memory is mapped and not of Go's heap, so that only what is touched costs anything: a worker that waits in
	// an fsync has touched three pages of it.
	memory  []byte
	in, out []byte
	inV     [1][]byte
	outV    [1][]byte
	poll    [2]unix.PollFd

	spare bool // once the worker has ended: Go may keep its thread

	unique atomic.Uint64 // of the request that is being handled, or 0 once it is answered: whoever clears it answers
}

func newWorker(l *loop) (*worker, error) {
	page := os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 2*(page+maxIO), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANONYMOUS|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	_ = unix.Madvise(memory, unix.MADV_NOHUGEPAGE) // a kernel without huge pages does not know it
	w := &worker{l: l, wake: make(chan bool, 1), memory: memory}
	// The data of a WRITE and of a READ's reply lie at the start of a page: the kernel copies whole pages faster.
	w.in = memory[page-writeInSize : page+maxIO]
	w.out = memory[page+maxIO:][page-outHeaderSize:]
	w.poll = [2]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}, {Fd: int32(l.stopFD), Events: unix.POLLIN}}
	return w, nil
}

func (w *worker) run() {
	runtime.LockOSThread()
	defer func() {
		if w.spare {
			runtime.UnlockOSThread() // else the thread ends with its worker
		}
	}()
	defer w.l.wg.Done()
	defer unix.Munmap(w.memory)
	for again := true; again; again = w.l.park(w) {
		for w.l.take() {
			w.lead()
		}
	}
}

// lead reads and handles requests until it loses the leadership or there is nothing more to read.
func (w *worker) lead() {
	l := w.l
	for {
		n, err := w.receive()
		if err != nil {
			if errors.Is(err, unix.ENODEV) {
				err = nil // unmounted
			}
			l.end(err)
			return
		}
		unique := binary.NativeEndian.Uint64(w.in[uniqueAt:])
		w.unique.Store(unique)
		l.turn.Store(unique)
		switch binary.NativeEndian.Uint32(w.in[opcodeAt:]) {
		case opSetlkw:
			l.handOver(unique)
		case opInterrupt:
			l.interrupted(binary.NativeEndian.Uint64(w.in[inHeaderSize:]))
		}
		w.answer(w.in[:n], unique)
		l.replied()
		if !l.turn.CompareAndSwap(unique, turnReading) {
			return
		}
	}
}

// receive reads one request. It looks again and again for a while, since a program that asked once asks again soon,
// and then sleeps.
func (w *worker) receive() (int, error) {
	l := w.l
	spin, begun := l.spin, time.Now()
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(l.fd), uintptr(unsafe.Pointer(&w.in[0])), uintptr(len(w.in)))
		switch errno {
		case 0:
			if int(n) < inHeaderSize {
				return 0, fmt.Errorf("read /dev/fuse: %d bytes", n)
			}
			return int(n), nil
		case unix.EAGAIN:
			if l.stopping.Load() {
				return 0, errStopped
			}
			if spin > 0 && time.Since(begun) < spin {
				continue
			}
			spin = 0
			if err := w.sleep(); err != nil {
				return 0, err
			}
		case unix.EINTR, unix.ENOENT: // ENOENT: its caller was killed before we had read it
		default:
			return 0, fmt.Errorf("read /dev/fuse: %w", errno)
		}
	}
}

// sleep waits until there may be something to read.
func (w *worker) sleep() error {
	l := w.l
	l.sleeping.Store(true)
	_, err := unix.Poll(w.poll[:], -1)
	l.sleeping.Store(false)
	if !l.watching.Load() {
		select {
		case l.watch <- struct{}{}:
		default:
		}
	}
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("poll /dev/fuse: %w", err)
	}
	return nil
}

// answer handles a request and sends the reply, if there is one and nobody has answered meanwhile.
func (w *worker) answer(request []byte, unique uint64) {
	w.inV[0], w.outV[0] = request, w.out
	n, status := w.l.handle(w.inV[:], w.outV[:])
	if status != fuse.OK {
		n = w.refuse(status)
	}
	if mine := w.unique.CompareAndSwap(unique, 0); n == 0 || !mine {
		return // FORGET and its like, or see answerKilled
	}
	if err := w.send(w.out[:n]); err != nil {
		w.l.log.Warn("a reply did not reach the kernel",
			"opcode", binary.NativeEndian.Uint32(w.in[opcodeAt:]), "err", err)
	}
}

// refuse makes a reply to a request that go-fuse could not take.
func (w *worker) refuse(status fuse.Status) int {
	binary.NativeEndian.PutUint32(w.out, uint32(outHeaderSize))
	binary.NativeEndian.PutUint32(w.out[4:], uint32(-int32(status)))
	copy(w.out[8:outHeaderSize], w.in[uniqueAt:])
	return outHeaderSize
}

func (w *worker) send(reply []byte) error {
	for {
		var errno unix.Errno
		if fd, n := uintptr(w.l.fd), uintptr(len(reply)); n < bigReply {
			_, _, errno = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&reply[0])), n)
		} else {
			_, _, errno = unix.Syscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&reply[0])), n)
		}
		switch errno {
		case 0, unix.ENOENT, unix.ENODEV, unix.ECONNABORTED: // whoever asked is gone, or the mount is
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// gone reports whether the kernel has given up the connection.
func (l *loop) gone() bool {
	fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents&unix.POLLERR != 0
}

// interrupt tells the handler of a request that its caller has gone.
func (l *loop) interrupt(unique uint64) {
	in, out := make([]byte, inHeaderSize+8), make([]byte, outHeaderSize)
	binary.NativeEndian.PutUint32(in, uint32(len(in)))
	binary.NativeEndian.PutUint32(in[opcodeAt:], opInterrupt)
	binary.NativeEndian.PutUint64(in[uniqueAt:], unique|1)
	binary.NativeEndian.PutUint64(in[inHeaderSize:], unique)
	l.handle([][]byte{in}, [][]byte{out})
}
