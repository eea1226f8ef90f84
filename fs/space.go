package fs

import (
	"sync"
	"time"

	"github.com/rhizome-fs/rhizome/internal/store"
)

const spaceMaxAge = 500 * time.Millisecond

// space watches the disk that the store is on. What the store keeps for itself, so that removing, renaming and the
// database still work when the disk is full, is not for programs.
type space struct {
	st     *store.Store
	spills *spills

	mu     sync.Mutex
	asked  time.Time
	is     store.Space
	unsure bool // the file system can't tell
}

// check fails if there is no room for n more bytes. Nobody is refused what spill files take that are not needed any more.
func (s *space) check(n int64) error {
	err := s.take(n)
	if err == nil || !s.spills.reclaim() {
		return err
	}
	s.mu.Lock()
	s.asked = time.Time{}
	s.mu.Unlock()
	return s.take(n)
}

func (s *space) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked()
	if s.unsure {
		return nil
	}
	if s.is.Free == 0 || s.is.Free < n {
		return ErrNoSpace
	}
	s.is.Free -= n // until asked again
	return nil
}

// has is check without taking anything: the bytes are not about to be written.
func (s *space) has(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked()
	if !s.unsure && s.is.Free < n {
		return ErrNoSpace
	}
	return nil
}

func (s *space) refreshLocked() {
	if now := time.Now(); now.Sub(s.asked) > spaceMaxAge {
		s.asked = now
		is, ok := s.st.Space()
		s.is, s.unsure = is, !ok
	}
}

// Space tells the size of the disk below and what programs may still use of it.
func (f *FS) Space() store.Space {
	f.space.mu.Lock()
	defer f.space.mu.Unlock()
	f.space.refreshLocked()
	return f.space.is
}
