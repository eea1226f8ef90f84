package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// again is after how long what failed is tried again.
const again = time.Second

// A keeper does what a store needs in the background, on two goroutines: one gets the log's files ready
// and retires them, one flushes. While nothing is written, both sleep.
type keeper struct {
	s     *Store
	every time.Duration // 0: flush never
	again time.Duration // after how long what failed is tried again

	done    chan struct{}
	work    chan struct{} // for the files; holds at most one
	full    chan struct{} // a segment is full: sync it; holds at most one
	dirty   chan struct{} // something was written since the last flush began; holds at most one
	armed   atomic.Bool   // dirty was told already
	running sync.WaitGroup
}

func newKeeper(s *Store, every, again time.Duration) *keeper {
	one := func() chan struct{} { return make(chan struct{}, 1) }
	return &keeper{s: s, every: every, again: again, done: make(chan struct{}), work: one(), full: one(), dirty: one()}
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

// look has the keeper look after what is in trouble.
func (k *keeper) look() { tell(k.work) }

func (k *keeper) keepFiles() {
	k.s.settle()
	k.s.keepSpace()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-k.done:
			return
		case <-k.work:
		case <-retry.C:
		}
		k.s.tryMending()
		k.s.Report(partFiles, errors.Join(k.s.prepareNext(), k.s.dropFlushed(keepObsolete)))
		k.s.keepSpace()
		k.s.nudgeMerging()
		k.s.ready.Broadcast() // who waits for the tables may find them in trouble instead
		if k.s.trouble.any.Load() {
			retry.Reset(k.again)
		}
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
			continue
		case <-timer.C:
			k.armed.Store(false)
			k.look() // at the space, too
			err = k.s.flush()
		}
		k.s.Report(partPeriodic, err)
		if err != nil {
			k.armed.Store(true)
			timer.Reset(k.again)
		}
	}
}

// flush makes everything durable that was written before, the files of OnFlush's functions first. The log does not wait
// for a file that fails.
func (s *Store) flush() error {
	s.mu.Lock()
	fns := s.onFlush
	s.mu.Unlock()
	var err error
	for _, fn := range fns {
		err = errors.Join(err, fn())
	}
	if err != nil {
		err = fmt.Errorf("periodic flush: %w", err)
	}
	return errors.Join(err, s.Sync())
}

// settle brings the zeros of the first segment to the disk, so that no fsync has to wait for them.
func (s *Store) settle() {
	s.syncMu.Lock() // who syncs meanwhile must see the error too
	defer s.syncMu.Unlock()
	s.mu.Lock()
	cur := s.cur
	s.mu.Unlock()
	if cur.file.Fd() == vfs.InvalidFd {
		return // a file without zeros
	}
	if err := cur.file.SyncData(); err != nil {
		_ = s.mendHeld(cur, fmt.Errorf("sync the log: %w", err)) // is told
	}
}

// prepareNext gets the next segment ready, if it is needed soon.
func (s *Store) prepareNext() error {
	s.mu.Lock()
	starved := s.starved
	soon := s.next == nil && (starved || s.wal.halfFull(s.cur))
	s.mu.Unlock()
	if !soon {
		return nil
	}
	next, err := s.wal.create(true)
	if starved && errors.Is(explain(err), ErrNoSpace) && s.reserve.giveUp() {
		next, err = s.wal.create(true)
	}
	s.mu.Lock()
	if err == nil && next.num < s.cur.num { // the log was mended meanwhile
		s.mu.Unlock()
		return s.wal.retire([]*segment{next}, 0)
	}
	s.next, s.nextErr, s.starved = next, err, false
	s.mu.Unlock()
	s.ready.Broadcast()
	return err
}

// nudgeMerging has the database look again whether tables can be merged: after a failure it does so
// only when there is another table.
func (s *Store) nudgeMerging() {
	if s.trouble.of(partMerge) == nil {
		return
	}
	if s.unmerged.Load() < maxUnmerged {
		s.Report(partMerge, nil)
	} else if _, err := s.db.AsyncFlush(); err != nil {
		s.log.Debug("database", "err", err)
	}
}

// dropFlushed retires the segments whose records are all in Pebble's tables, and keeps some of the files.
func (s *Store) dropFlushed(keep int) error {
	flushed, err := position(s.db, true)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.flushed = flushed
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

// keepSpace looks after the reserve, and says when the disk is full or nearly so.
func (s *Store) keepSpace() {
	s.reserve.keep()
	if settled := s.reserve.settled(); settled && errors.Is(s.trouble.of(partFlush), syscall.ENOSPC) {
		s.reserve.giveUp()
	}
	sp, ok := s.Space()
	if !ok {
		return
	}
	if sp.Free == 0 {
		s.Report(partDisk, ErrNoSpace)
	} else {
		s.Report(partDisk, nil)
	}
	if sp.Low && !s.lowTold {
		s.log.Warn("the disk is nearly full", "free", sp.Free, "of", sp.Total)
	}
	s.lowTold = sp.Low
}
