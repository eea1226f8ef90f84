package mount

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// The kernel does not let a program die before its request is answered, and a handler whose disk hangs can't answer.
// So the loop answers in its place, once the program was killed: nobody looks at the answer, and the handler's own,
// whenever it comes, is dropped. A program that was only interrupted goes on waiting: few are ready for an fsync that
// says EINTR because a timer ticked. Neither is a request answered that changes what the kernel knows of the files
// (who creates, writes or looks up): were it done after all, the kernel would not know of it.

// lookAgain is how often an interrupted request's program is looked at: the kernel says once that it was interrupted,
// and not that it was killed later.
const lookAgain = 100 * time.Millisecond

// interrupted is called when the kernel says that a request's program was interrupted, and again while it waits.
func (l *loop) interrupted(unique uint64) {
	time.AfterFunc(lookAgain, func() {
		opcode, pid, ok := l.request(unique)
		switch {
		case !ok || !answeredForKilled(opcode):
		case !killed(pid):
			l.interrupted(unique)
		default:
			l.answerKilled(unique)
		}
	})
}

// request finds a request that is being handled.
func (l *loop) request(unique uint64) (opcode, pid uint32, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.handlerLocked(unique)
	if w == nil {
		return 0, 0, false
	}
	opcode, pid = binary.NativeEndian.Uint32(w.in[opcodeAt:]), binary.NativeEndian.Uint32(w.in[pidAt:])
	return opcode, pid, w.unique.Load() == unique // else it may have read the next one meanwhile
}

// handlerLocked returns who handles a request. A worker's memory and the connection stay while it is in l.workers.
func (l *loop) handlerLocked(unique uint64) *worker {
	for w := range l.workers {
		if w.unique.Load() == unique {
			return w
		}
	}
	return nil
}

// answerKilled answers a request in place of its handler.
func (l *loop) answerKilled(unique uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.handlerLocked(unique)
	if w == nil || !w.unique.CompareAndSwap(unique, 0) {
		return
	}
	reply := make([]byte, outHeaderSize)
	status := fuse.EINTR
	binary.NativeEndian.PutUint32(reply, uint32(outHeaderSize))
	binary.NativeEndian.PutUint32(reply[4:], uint32(-int32(status)))
	binary.NativeEndian.PutUint64(reply[8:], unique)
	if err := w.send(reply); err != nil {
		l.log.Warn("an interrupted request could not be answered", "err", err)
	}
}

// answeredForKilled reports whether the kernel remembers nothing of such a request that failed.
func answeredForKilled(opcode uint32) bool {
	switch opcode {
	case opRead, opFsync, opFsyncdir, opFlush, opReaddir, opLseek, opSyncfs:
		return true
	}
	return false
}

// killed reports whether a thread is about to die: of whatever a program dies, the kernel gives each of its threads a
// SIGKILL (except when a core is dumped first).
func killed(tid uint32) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return false
	}
	_, after, _ := bytes.Cut(status, []byte("\nSigPnd:\t"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	pending, err := strconv.ParseUint(string(line), 16, 64)
	return err == nil && pending&(1<<(unix.SIGKILL-1)) != 0
}
