package store

import (
	"errors"
	"fmt"
	"time"
)

// After a failed fdatasync a later one that succeeds proves nothing: the kernel calls the pages clean that it could
// not write. But what the log has and the disk perhaps not, the database has in memory. So the log is mended by another way: it
// goes on in a new file, the database writes its memory to new tables, which are synced, and the files
// that failed are needed no more, and never used again. The same goes for a write that failed and may have left anything behind.
//
// Mending is tried at once, so that one failure is not even seen by programs, and then every second until
// it works; meanwhile nothing is taken.

// errSuspect says that a segment takes no more records.
var errSuspect = errors.New("the log could not be written")

// mendAtOnce is how long who found the failure waits for the database.
const mendAtOnce = time.Second

// mend mends the log if its last segment is suspect, which a write has found for that reason.
func (s *Store) mend(why error) error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if err := s.trouble.of(partLog); err != nil {
		return err // it was tried
	}
	s.mu.Lock()
	cur, suspect := s.cur, s.cur.suspect
	s.mu.Unlock()
	if !suspect {
		return nil // somebody else has mended it
	}
	return s.mendHeld(cur, why)
}

// mendHeld has the log go on after a segment failed for that reason. It returns nil if by then everything is on
// disk. The caller holds syncMu.
func (s *Store) mendHeld(seg *segment, why error) error {
	s.mu.Lock()
	seg.suspect = true
	s.mu.Unlock()
	if err := s.renewLog(mendAtOnce); err != nil {
		s.Report(partLog, explain(why))
		return fmt.Errorf("%w (%w)", explain(why), err)
	}
	s.log.Warn("the log was mended: it goes on in a new file", "after", why)
	return nil
}

// tryMending is the keeper's: again and again until the log is well.
func (s *Store) tryMending() {
	if s.trouble.of(partLog) == nil || s.dead.Load() {
		return
	}
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if err := s.renewLog(s.keeper.again); err != nil {
		s.log.Debug("the log is not mended yet", "err", err)
		return
	}
	s.Report(partLog, nil)
}

// renewLog begins a new segment if the last one is suspect, and waits until the database's tables have all that
// was begun, for a while. The caller holds syncMu.
func (s *Store) renewLog(patience time.Duration) error {
	s.mu.Lock()
	suspect := s.cur.suspect
	s.mu.Unlock()
	if suspect {
		if err := s.beginAnew(); err != nil {
			return err
		}
	}
	pos, err := s.flushAll(patience)
	if err != nil {
		return err
	}
	s.synced.Store(max(pos, s.synced.Load()))
	s.keeper.wake() // the suspect files can go
	return nil
}

// beginAnew has the log go on in a file that was never used before.
func (s *Store) beginAnew() error {
	if err := s.wal.forgetObsolete(); err != nil {
		s.log.Debug("old files of the log stay", "err", err)
	}
	fresh, err := s.wal.create(true)
	if err != nil {
		return err
	}
	s.mu.Lock()
	next := s.next
	s.behind = append(s.behind, s.cur)
	s.cur, s.next = fresh, nil
	s.mu.Unlock()
	s.ready.Broadcast()
	if next != nil { // its number is lower
		err = s.wal.retire([]*segment{next}, 0)
	}
	if err != nil {
		s.log.Debug("a file of the log stays", "err", err)
	}
	return nil
}

// flushAll returns the position that the tables have on disk, if it is the present one. The caller holds syncMu.
func (s *Store) flushAll(patience time.Duration) (uint64, error) {
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		s.mu.Lock()
		s.settleLocked()
		target := s.pos.Load()
		s.mu.Unlock()
		if pos, err := position(s.db, true); err != nil || pos >= target {
			return pos, err
		}
		if s.flushing == nil {
			done, err := s.db.AsyncFlush()
			if err != nil {
				return 0, err
			}
			s.flushing = done
		}
		select {
		case <-s.flushing:
			s.flushing = nil
		case <-end.C:
			return 0, errors.New("the database could not be flushed yet")
		}
	}
}

// lastSync is Sync for Close, which runs alone: it tries once more to mend what is broken.
func (s *Store) lastSync() error {
	s.syncMu.Lock()
	broken := s.trouble.of(partLog)
	if broken != nil && !s.dead.Load() && s.renewLog(s.keeper.again) == nil {
		s.Report(partLog, nil)
	}
	s.syncMu.Unlock()
	return s.Sync()
}
