package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// A Commit is a batch that was begun. The zero Commit has every durability.
type Commit struct {
	s   *Store
	pos uint64
}

// Commit applies b and waits until it has the durability d. It takes b over.
func (s *Store) Commit(b *pebble.Batch, d Durability) error {
	c, err := s.Begin(b)
	if err != nil {
		return err
	}
	return c.Wait(d)
}

// Begin applies b and hands it to the kernel: when Begin returns, readers see it and it survives kill -9.
// It takes b over. If it fails, nothing was applied, and the same may work later: the store mends itself once
// its disk works again. Batches are applied, and survive, in the order of Begin.
func (s *Store) Begin(b *pebble.Batch) (Commit, error) {
	c, err := s.Hand(b)
	s.Settle()
	if err == nil && s.dead.Load() {
		err = fmt.Errorf("commit: %w", s.trouble.of(partLog))
	}
	return c, err
}

// Hand is Begin, but applies b later: when Settle is called, or DB, which shows what was handed to whoever reads. So
// a caller has its answer before the database's memory is sorted out.
func (s *Store) Hand(b *pebble.Batch) (Commit, error) {
	if b.Empty() {
		return Commit{}, b.Close()
	}
	s.mu.Lock()
	pos, err := s.handLocked(b)
	s.mu.Unlock()
	if errors.Is(err, errSuspect) && s.mend(err) == nil {
		s.mu.Lock()
		pos, err = s.handLocked(b)
		s.mu.Unlock()
	}
	if err != nil {
		return Commit{}, errors.Join(fmt.Errorf("commit: %w", err), b.Close())
	}
	s.keeper.arm()
	return Commit{s, pos}, nil
}

// Settle applies what was handed. It costs nothing if nothing was.
func (s *Store) Settle() {
	if s.unsettled.Load() {
		s.mu.Lock()
		s.settleLocked()
		s.mu.Unlock()
	}
}

// settleLocked applies what was handed.
func (s *Store) settleLocked() {
	b := s.handed
	if b == nil {
		return
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		// It is in the log, so that the next start has it: nothing may come after it here.
		s.dead.Store(true)
		s.Report(partLog, fmt.Errorf("apply a batch that is in the log: %w", err))
	}
	if err := b.Close(); err != nil {
		s.log.Error("close a batch", "err", err)
	}
	s.handed = nil
	s.unsettled.Store(false)
}

func (s *Store) handLocked(b *pebble.Batch) (uint64, error) {
	if s.closed {
		return 0, ErrClosed
	}
	n := recordHeader + len(b.Repr()) + 64
	if s.trouble.any.Load() {
		if err := s.refuseLocked(n); err != nil {
			return 0, err
		}
	}
	// Making room may let go of the lock for a while, in which others hand theirs: so it comes before all else.
	if err := s.makeRoomLocked(n); err != nil {
		return 0, explain(err)
	}
	s.settleLocked()
	if s.dead.Load() {
		return 0, s.trouble.of(partLog)
	}
	pos := s.pos.Load() + 1
	if err := setPosition(b, pos); err != nil {
		return 0, err
	}
	if err := s.logLocked(b.Repr(), pos); err != nil {
		return 0, err
	}
	s.handed = b
	s.unsettled.Store(true)
	s.pos.Store(pos)
	return pos, nil
}

func setPosition(b *pebble.Batch, pos uint64) error {
	key := positionKey()
	op := b.SetDeferred(len(key), 8)
	copy(op.Key, key)
	binary.LittleEndian.PutUint64(op.Value, pos)
	return op.Finish()
}

// logLocked writes a record to the log. If it fails, the record is not there, or the segment is suspect.
func (s *Store) logLocked(payload []byte, pos uint64) error {
	s.rec = appendRecord(s.rec[:0], s.cur.seed, record{pos: pos, mark: s.synced.Load(), payload: payload})
	before := s.wal.halfFull(s.cur)
	err := s.cur.write(s.rec, pos)
	if !before && s.wal.halfFull(s.cur) {
		s.keeper.wake()
	}
	if cap(s.rec) > 1<<20 {
		s.rec = nil
	}
	if err = explain(err); err == nil || errors.Is(err, ErrNoSpace) {
		return err
	}
	s.cur.suspect = true
	return fmt.Errorf("%w: %w", errSuspect, err)
}

// maxUnflushed is how many bytes of the log the database's tables may lack before writers wait for them, and
// maxUnmerged how many layers of tables may wait to be merged. (Pebble's own count can't be asked for here: it
// waits for the list of tables, and with it for the disk.)
const (
	maxUnflushed = 32 << 20
	maxUnmerged  = 24
)

// makeRoomLocked goes on to the next segment if n bytes don't fit into this one. The full one is not
// synced here: a hole that a crash makes in it ends the log there (see record.go), and no Wait(OnDisk)
// for a later record returns before it is synced.
func (s *Store) makeRoomLocked(n int) error {
	for !s.wal.room(s.cur, n) {
		if err := s.keepPaceLocked(); err != nil {
			return err
		}
		if s.wal.room(s.cur, n) {
			break
		}
		if s.next != nil {
			s.behind = append(s.behind, s.cur)
			s.cur, s.next = s.next, nil
			s.keeper.rotated()
			continue
		}
		s.nextErr = nil // of an earlier time
		cur := s.cur
		for s.next == nil && s.nextErr == nil && s.cur == cur {
			if s.closed {
				return ErrClosed
			}
			s.starved = true
			s.keeper.wake()
			s.ready.Wait()
		}
		if s.next == nil && s.nextErr != nil {
			return s.nextErr
		}
	}
	return nil
}

// errNotMerged says that there are too many tables.
var errNotMerged = errors.New("the database's tables can't be merged")

// keepPaceLocked waits for the database's tables if they are too far behind, or says why they stay so.
func (s *Store) keepPaceLocked() error {
	for !s.closed {
		s.settleLocked() // the tables can't have it before
		switch {
		case s.unflushedLocked() > maxUnflushed:
			for _, p := range []Part{partFlush, partManifest} {
				if err := s.trouble.of(p); err != nil {
					return err
				}
			}
		case s.unmerged.Load() >= maxUnmerged:
			if s.mergeFailed.Load() {
				s.Report(partMerge, errNotMerged)
				return errNotMerged
			}
		default:
			return nil
		}
		s.ready.Wait()
	}
	return ErrClosed
}

// unflushedLocked is how many bytes of the full segments the database's tables lack.
func (s *Store) unflushedLocked() (n int64) {
	for _, seg := range s.behind {
		if seg.last > s.flushed {
			n += seg.off
		}
	}
	return n
}

// Sync returns when everything that was applied before is on disk. It costs nothing if it is already.
func (s *Store) Sync() error { return s.syncTo(s.pos.Load()) }

// syncTo returns when the records up to pos are on disk. Of many callers at once one syncs for all.
func (s *Store) syncTo(pos uint64) error {
	if s.synced.Load() >= pos {
		return nil
	}
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	synced := s.synced.Load()
	if synced >= pos {
		return nil
	}
	if err := s.trouble.of(partLog); err != nil {
		return err // after a failed sync a later one proves nothing
	}
	s.mu.Lock()
	target := s.pos.Load()
	var unsynced []*segment
	for _, seg := range append(s.behind[:len(s.behind):len(s.behind)], s.cur) {
		if seg.last > synced {
			unsynced = append(unsynced, seg)
		}
	}
	s.mu.Unlock()
	for _, seg := range unsynced {
		if err := seg.file.SyncData(); err != nil {
			return s.mendHeld(seg, fmt.Errorf("sync the log: %w", err))
		}
	}
	s.synced.Store(target)
	return nil
}

// Wait returns when the commit has the durability d.
func (c Commit) Wait(d Durability) error {
	if c.s == nil || d < OnDisk {
		return nil
	}
	return c.s.syncTo(c.pos)
}
