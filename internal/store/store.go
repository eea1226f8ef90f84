package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Durability is how much a write must survive.
type Durability int

// The levels; each includes those before it.
const (
	Applied Durability = iota // readers see it
	Handed                    // handed to the kernel: survives kill -9
	OnDisk                    // survives power loss
)

// Options say how a store is opened. The zero value is what a daemon wants.
type Options struct {
	FS     vfs.FS       // nil: the real file system
	Logger *slog.Logger // nil: silence
	// FlushEvery bounds how long something applied may stay off the disk. 0: 5 s; below 0: it
	// gets there only when somebody asks (for tests).
	FlushEvery time.Duration

	segmentSize int64 // for tests; 0: segmentSize
}

// A Store is an open home directory. Its methods may be called from any goroutine.
//
// Lock order: syncMu, then mu. Nothing that can wait for the disk is called under mu but the database
// itself, when it can't keep up.
type Store struct {
	home   string
	fs     vfs.FS
	log    *slog.Logger
	db     *pebble.DB
	lock   interface{ Close() error }
	keeper *keeper

	pos    atomic.Uint64 // the last record that was begun; written under mu
	synced atomic.Uint64 // everything up to here is on disk; written under syncMu
	failed atomic.Pointer[error]
	full   atomic.Bool // the disk was nearly full when we last looked

	wal *walDir

	syncMu sync.Mutex // held while syncing, by one for all who wait

	mu      sync.Mutex
	ready   *sync.Cond     // next or nextErr was set
	cur     *segment       // GUARDED_BY(mu): being written
	next    *segment       // GUARDED_BY(mu): ready to follow cur, or nil
	nextErr error          // GUARDED_BY(mu): why there is no next
	starved bool           // GUARDED_BY(mu): somebody waits for next
	behind  []*segment     // GUARDED_BY(mu): full ones, oldest first; the database's tables may lack them
	rec     []byte         // GUARDED_BY(mu): the record that is being written
	onFlush []func() error // GUARDED_BY(mu)
	closed  bool           // GUARDED_BY(mu)
}

// DB returns the database, to read from and to make batches with. Who writes goes through Begin or
// Commit: what is committed to the database directly is lost in a crash.
func (s *Store) DB() *pebble.DB { return s.db }

// FS returns the file system that the store lives in.
func (s *Store) FS() vfs.FS { return s.fs }

// Path returns a path below the home directory.
func (s *Store) Path(elem ...string) string {
	return s.fs.PathJoin(append([]string{s.home}, elem...)...)
}

// OnFlush has fn called before each periodic sync, without locks. An error of fn makes the store unhealthy.
func (s *Store) OnFlush(fn func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onFlush = append(s.onFlush, fn)
}

// FlushSoon has everything flushed within Options.FlushEvery, as a commit does: for who changed a file of
// its own that its OnFlush function makes durable.
func (s *Store) FlushSoon() { s.keeper.arm() }

// Health returns the first I/O error after which nothing that is written can be trusted, or nil. From
// then on nothing can be written.
func (s *Store) Health() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail makes the store unhealthy, and returns why it is.
func (s *Store) fail(err error) error {
	err = fmt.Errorf("the store takes no more writes: %w", explain(err))
	if s.failed.CompareAndSwap(nil, &err) {
		s.log.Error("store failed", "err", err)
	}
	return s.Health()
}

// Close makes everything durable and lets go of the home. No other method may run.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.keeper.stop()
	err := s.Sync()
	if err == nil && !s.short() {
		// Then the next start reads no log. Without room for it, Pebble would try for ever.
		err = s.db.Flush()
	}
	return errors.Join(err, s.release())
}

// release closes whatever is open.
func (s *Store) release() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	for _, seg := range []*segment{s.cur, s.next} {
		if seg != nil {
			err = errors.Join(err, seg.close())
		}
	}
	err = errors.Join(err, closeSegments(s.behind))
	if s.wal != nil {
		err = errors.Join(err, s.wal.close())
	}
	return errors.Join(err, s.lock.Close())
}
