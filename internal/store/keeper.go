package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// minFree is how much space the disk must have for the store to take writes: enough to flush all that
// the database holds in memory, and for a few segments of the log.
const minFree = 48 << 20

// A keeper does what a store needs in the background, on two goroutines: one gets the log's files ready
// and retires them, one flushes. While nothing is written, both sleep.
type keeper struct {
	s     *Store
	every time.Duration // 0: flush never

	done    chan struct{}
	work    chan struct{} // for the files; holds at most one
	full    chan struct{} // a segment is full: sync it; holds at most one
	dirty   chan struct{} // something was written since the last flush began; holds at most one
	armed   atomic.Bool   // dirty was told already
	running sync.WaitGroup
}

func newKeeper(s *Store, every time.Duration) *keeper {
	one := func() chan struct{} { return make(chan struct{}, 1) }
	return &keeper{s: s, every: every, done: make(chan struct{}), work: one(), full: one(), dirty: one()}
}

func (k *keeper) start() {
	k.running.Go(k.keepFiles)
	if k.every > 0 {
		k.running.Go(k.flush)
	}
}

func (k *keeper) stop() {
	close(k.done)
	k.running.Wait()
}

// arm has everything flushed within k.every.
func (k *keeper) arm() {
	if !k.armed.Load() && k.armed.CompareAndSwap(false, true) {
		tell(k.dirty)
	}
}

// wake has the files looked after: Pebble flushed a table, or the next segment was taken.
func (k *keeper) wake() { tell(k.work) }

// rotated says that a segment is full.
func (k *keeper) rotated() {
	tell(k.work)
	tell(k.full)
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (k *keeper) keepFiles() {
	k.s.settle()
	for {
		select {
		case <-k.done:
			return
		case <-k.work:
		}
		k.s.prepareNext()
		if err := k.s.dropFlushed(keepObsolete); err != nil {
			k.s.log.Error("log segments stay longer than needed", "err", err)
		}
		k.s.full.Store(k.s.short())
	}
}

// flush syncs a segment soon after it is full, so that nobody's fsync has more to wait for than a segment
// or two, and everything before k.every is over.
func (k *keeper) flush() {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		var err error
		select {
		case <-k.done:
			timer.Stop()
			return
		case <-k.full:
			err = k.s.Sync()
		case <-k.dirty:
			timer.Reset(k.every * 4 / 5)
		case <-timer.C:
			k.armed.Store(false)
			err = k.s.flush()
		}
		if err != nil {
			_ = k.s.fail(err) // tells the log, once
		}
	}
}

// flush makes everything durable that was written before, the files of OnFlush's functions first: the
// log may name them.
func (s *Store) flush() error {
	s.mu.Lock()
	fns := s.onFlush
	s.mu.Unlock()
	s.full.Store(s.short())
	var err error
	for _, fn := range fns {
		err = errors.Join(err, fn())
	}
	if err != nil {
		return fmt.Errorf("periodic flush: %w", err)
	}
	return s.Sync()
}

// settle brings the zeros of the first segment to the disk, so that no fsync has to wait for them.
func (s *Store) settle() {
	s.mu.Lock()
	cur := s.cur
	s.mu.Unlock()
	if cur.mem == nil {
		return // a file without zeros
	}
	if err := cur.file.SyncData(); err != nil {
		_ = s.fail(fmt.Errorf("sync the log: %w", err))
	}
}

// prepareNext gets the next segment ready, if it is needed soon.
func (s *Store) prepareNext() {
	s.mu.Lock()
	soon := s.next == nil && (s.starved || s.wal.halfFull(s.cur))
	s.mu.Unlock()
	if !soon {
		return
	}
	next, err := s.wal.create(true)
	s.mu.Lock()
	s.next, s.nextErr, s.starved = next, err, false
	s.mu.Unlock()
	s.ready.Broadcast()
}

// dropFlushed retires the segments whose records are all in Pebble's tables, and keeps some of the files.
func (s *Store) dropFlushed(keep int) error {
	flushed, err := position(s.db, true)
	if err != nil {
		return err
	}
	s.mu.Lock()
	n := 0
	// A segment that syncTo may be at work on is not touched: its last record is not yet synced.
	for n < len(s.behind) && s.behind[n].last <= min(flushed, s.synced.Load()) {
		n++
	}
	drop := s.behind[:n:n]
	s.behind = append([]*segment(nil), s.behind[n:]...)
	s.mu.Unlock()
	return s.wal.retire(drop, keep)
}

// short reports whether the disk is too full to take writes.
func (s *Store) short() bool {
	usage, err := s.fs.GetDiskUsage(s.home)
	return err == nil && usage.AvailBytes < minFree
}
