package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// A Part is what of the store may be in trouble. Its text is for people, as in "store in trouble: the log".
type Part string

// The parts that this package itself knows.
const (
	partLog      Part = "the log"         // nothing is taken while it is in trouble
	partFiles    Part = "the log's files" // none can be made ready, or removed
	partFlush    Part = "the database"    // its memory can't be written to tables
	partMerge    Part = "the database's merging of tables"
	partManifest Part = "the database's list of tables"
	partPeriodic Part = "the periodic flush" // something closed is not on the disk after 5 s
	partDisk     Part = "the disk"           // programs can write no more data
)

// troubles is what is wrong now. A trouble is told to the log when it begins and when it is over, and to
// whoever asks Health while it lasts.
type troubles struct {
	any atomic.Bool // there is one: look closer before anything is taken

	mu  sync.Mutex
	now map[Part]error // GUARDED_BY(mu)
}

// Report notes that a part is in trouble, or, with nil, that it is well again. It may be called as often as
// one likes, from anywhere: only a change is told. Packages that keep files of their own in the home report theirs.
func (s *Store) Report(p Part, err error) {
	t := &s.trouble
	if err == nil && !t.any.Load() {
		return
	}
	t.mu.Lock()
	_, was := t.now[p]
	if err != nil {
		if t.now == nil {
			t.now = map[Part]error{}
		}
		t.now[p] = err
	} else {
		delete(t.now, p)
	}
	t.any.Store(len(t.now) > 0)
	t.mu.Unlock()
	switch {
	case err != nil && !was:
		s.log.Error("store in trouble", "what", string(p), "err", err)
		s.keeper.look() // it looks again until all is well
	case err == nil && was:
		s.log.Info("store well again", "what", string(p))
	}
}

// Health returns what keeps the store from working as it should now, or nil. What was acknowledged is
// safe all the same, and the store goes on by itself when its disk does.
func (s *Store) Health() error {
	t := &s.trouble
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []error
	for _, p := range slices.Sorted(maps.Keys(t.now)) {
		all = append(all, fmt.Errorf("%s: %w", p, t.now[p]))
	}
	return errors.Join(all...)
}

// of returns why a part is.
func (t *troubles) of(p Part) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now[p]
}

// refuseLocked says why a record of n bytes is not taken now. It is asked only while something is wrong.
func (s *Store) refuseLocked(n int) error {
	if err := s.trouble.of(partLog); err != nil {
		return err
	}
	// What goes where the log is allocated already takes nothing of a full disk. An ordinary user has no more than that if root fills
	// what the file system keeps for root: giving up the reserve gains them nothing.
	if s.next == nil && !s.wal.room(s.cur, n) && s.reserve.refuses() {
		return ErrNoSpace
	}
	return nil
}
