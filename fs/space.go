package fs

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// reserve is what is left free on the store's disk, so that removing, renaming and the database itself
	// still work when it is full.
	reserve     = 64 << 20
	spaceMaxAge = 500 * time.Millisecond
)

// space watches the disk that the store is on.
type space struct {
	fs vfs.FS
	at string

	mu     sync.Mutex
	asked  time.Time
	avail  int64
	total  int64
	unsure bool // the file system can't tell
}

// check fails if n more bytes would eat the reserve.
func (s *space) check(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked()
	if s.unsure {
		return nil
	}
	if s.avail-n < reserve {
		return ErrNoSpace
	}
	s.avail -= n // until asked again
	return nil
}

func (s *space) refreshLocked() {
	if now := time.Now(); now.Sub(s.asked) > spaceMaxAge {
		s.asked = now
		u, err := s.fs.GetDiskUsage(s.at)
		s.unsure = err != nil
		s.avail, s.total = int64(u.AvailBytes), int64(u.TotalBytes)
	}
}

// Space tells the size of the disk below and what programs may still use of it, in bytes.
func (f *FS) Space() (total, free int64) {
	f.space.mu.Lock()
	defer f.space.mu.Unlock()
	f.space.refreshLocked()
	return f.space.total, max(0, f.space.avail-reserve)
}
