package mount

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// On the reader loop. Waking a sleeping thread is most of the cost of a FUSE request, so requests are answered on
// the thread that read them, and that thread looks for the next one for a while before it sleeps. One worker, the
// leader, reads; the others are parked. A request that is going to block gives the turn to read to another worker
// first, so that there is always a thread that reads: else one fsync would stop the whole mount, and the interrupt
// meant to end it would never be seen. Giving it away costs 20 us, so that it is not done on suspicion, by opcode,
// but by the handler that knows (Conn.MayBlock), and by the watch from a handler that misjudged itself.
const (
	spinTime   = 50 * time.Microsecond // after a request, before the leader sleeps
	watchTime  = 10 * time.Millisecond // a handler that takes two of these has blocked
	maxWorkers = 1024                  // if this many handlers wait at once, the next request waits with them
	maxIdle    = 4                     // workers that are kept for the next time
	maxSpare   = 32                    // threads that Go may keep of workers that end: it never ends one by itself
)

// Values of loop.turn other than the unique number of a request. The kernel uses neither for one.
const (
	turnReading = 0
	turnVacant  = ^uint64(0)
)

type handleFunc func(in, out [][]byte) (int, fuse.Status)

type loop struct {
	fd     int // /dev/fuse, non-blocking
	stopFD int // an eventfd: readable once the loop shall end
	log    *slog.Logger
	handle handleFunc
	// replied is called after each reply, by the thread that has sent it.
	replied func()
	spin    time.Duration

	// turn says what the leader does: it reads, or handles the request of this number. Whoever makes it vacant wakes
	// another worker to take it; the worker that gave it away takes it back if it is done before the other is awake.
	// INVARIANT: one worker leads, or turn is vacant.
	turn     atomic.Uint64
	sleeping atomic.Bool // the leader waits in poll
	stopping atomic.Bool

	watching atomic.Bool
	watch    chan struct{} // wakes the watch when the leader has woken
	ended    chan struct{}
	wg       sync.WaitGroup // workers

	mu      sync.Mutex
	workers map[*worker]struct{}
	idle    []*worker // the last parked is the first to lead
	err     error     // why the loop ended; nil after an unmount
	ending  bool
}

func newLoop(fd int, log *slog.Logger) (*loop, error) {
	stopFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	spin := spinTime
	if runtime.NumCPU() == 1 {
		spin = 0 // it would only keep the caller from running
	}
	return &loop{
		fd: fd, stopFD: stopFD, log: log, spin: spin, replied: func() {},
		watch: make(chan struct{}, 1), ended: make(chan struct{}), workers: make(map[*worker]struct{}),
	}, nil
}

func (l *loop) close() {
	unix.Close(l.stopFD)
	unix.Close(l.fd)
}

// errStopped ends a loop that was told to stop while the connection lived.
var errStopped = errors.New("stopped")

// stop makes run return errStopped soon, whatever the kernel still wants.
func (l *loop) stop() {
	l.stopping.Store(true)
	l.mu.Lock()
	if l.turn.Load() == turnVacant {
		l.endLocked(errStopped)
	}
	l.mu.Unlock()
	unix.Write(l.stopFD, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// run answers requests until the kernel says that the mount is gone, which is no error, or stop is called, and all
// handlers have returned.
func (l *loop) run(handle handleFunc) error {
	l.handle = handle
	l.turn.Store(turnVacant)
	l.mu.Lock()
	err := l.startLocked()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	go l.watchLeader()
	<-l.ended
	l.cancelAll()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// startLocked makes a worker, which takes the turn.
func (l *loop) startLocked() error {
	w, err := newWorker(l)
	if err != nil {
		return err
	}
	l.workers[w] = struct{}{}
	l.wg.Add(1)
	go w.run()
	return nil
}

// handOver lets another worker read if the request of this number is the leader's.
func (l *loop) handOver(unique uint64) {
	if unique != turnReading && unique != turnVacant && l.turn.CompareAndSwap(unique, turnVacant) {
		l.fill()
	}
}

// fill wakes or makes a worker to take a vacant turn. If neither is possible, the first that is done takes it.
func (l *loop) fill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n := len(l.idle); {
	case l.ending:
	case n > 0:
		w := l.idle[n-1]
		l.idle = l.idle[:n-1]
		w.wake <- true
	case len(l.workers) < maxWorkers:
		if err := l.startLocked(); err != nil {
			l.log.Error("no further reader for the mount", "err", err)
		}
	case l.gone():
		l.endLocked(nil)
	}
}

// take makes the caller the leader if nobody is.
func (l *loop) take() bool { return l.turn.CompareAndSwap(turnVacant, turnReading) }

// park is called by a worker that does not lead. It returns true when the turn may be vacant, false when the worker
// shall end.
func (l *loop) park(w *worker) bool {
	l.mu.Lock()
	if !l.ending && l.turn.Load() == turnVacant {
		l.mu.Unlock()
		return true // whoever made it vacant has not seen this worker
	}
	if !l.ending && len(l.idle) < maxIdle {
		l.idle = append(l.idle, w)
		l.mu.Unlock()
		return <-w.wake
	}
	delete(l.workers, w)
	w.spare = len(l.workers) < maxSpare
	l.mu.Unlock()
	return false
}

// end is called by the leader when there is nothing more to read.
func (l *loop) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked(err)
}

func (l *loop) endLocked(err error) {
	if l.ending {
		return
	}
	l.ending, l.err = true, err
	for _, w := range l.idle {
		w.wake <- false
	}
	l.idle = nil
	close(l.ended)
}

// cancelAll interrupts the handlers that still run, as the kernel would, until all workers have ended. A handler may
// begin just as it is interrupted, or wait anew, so that it is done again and again.
func (l *loop) cancelAll() {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		l.wg.Wait()
	}()
	again := time.NewTicker(watchTime)
	defer again.Stop()
	for {
		l.mu.Lock()
		var busy []uint64
		for w := range l.workers {
			if u := w.unique.Load(); u != 0 {
				busy = append(busy, u)
			}
		}
		l.mu.Unlock()
		for _, u := range busy {
			l.interrupt(u)
		}
		select {
		case <-gone:
			return
		case <-again.C:
		}
	}
}

// watchLeader hands over for a leader that has been busy with one request for two ticks, and finds a leader if there
// has been none as long. It sleeps while the leader does, so that an idle mount costs nothing.
func (l *loop) watchLeader() {
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	l.watching.Store(true)
	var last uint64
	for {
		if l.sleeping.Load() {
			l.watching.Store(false)
			// The leader looks at watching after it has cleared sleeping: one of the two sees the other.
			if l.sleeping.Load() {
				tick.Stop()
				select {
				case <-l.watch:
				case <-l.ended:
					return
				}
				tick.Reset(watchTime)
			}
			l.watching.Store(true)
		}
		select {
		case <-tick.C:
		case <-l.ended:
			return
		}
		now := l.turn.Load()
		switch {
		case now != last:
		case now == turnVacant:
			l.fill()
		default:
			l.handOver(now)
		}
		last = now
	}
}
