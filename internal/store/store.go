package store

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
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
	// Age may be nil: then NotOlder passes over nothing.
	Age Age

	segmentSize int64            // for tests; 0: segmentSize
	again       time.Duration    // for tests; after how long what failed is tried again; 0: again
	now         func() time.Time // for tests; nil: time.Now

	looking bool // nothing is to be made better than it is
}

// A Store is an open home directory. Its methods may be called from any goroutine.
//
// Lock order: syncMu, then mu. Nothing that can wait for the disk is called under mu but the database
// itself, when it can't keep up.
type Store struct {
	home    string
	fs      vfs.FS
	log     *slog.Logger
	looking bool
	age     Age
	db      *pebble.DB
	lock    interface{ Close() error }
	keeper  *keeper

	pebble    *patient       // what the database writes through
	snapshots sync.WaitGroup // those that are being closed

	pos     atomic.Uint64 // the last record that was begun; written under mu
	synced  atomic.Uint64 // everything up to here is on disk; written under syncMu
	trouble troubles
	// unsettled: something is handed. It is cleared once that is applied, so that who sees it clear sees it all.
	unsettled atomic.Bool
	dead      atomic.Bool // the log and the database differ: only a new start can go on
	reserve   reserve

	unmerged    atomic.Int64 // how often the database's memory became tables since such tables were merged
	mergeFailed atomic.Bool  // the database's last try to merge tables; it tries again when it likes
	lowTold     bool         // GUARDED_BY(the keeper's goroutine for files): that the disk is nearly full

	wal *walDir

	syncMu   sync.Mutex      // held while syncing or mending, by one for all who wait
	flushing <-chan struct{} // GUARDED_BY(syncMu): closed when the tables have what mending waits for; nil: not asked

	mu      sync.Mutex
	ready   *sync.Cond     // next, nextErr or flushed was set, or something is in trouble
	flushed uint64         // GUARDED_BY(mu): the database's tables have the records up to here
	cur     *segment       // GUARDED_BY(mu): being written
	next    *segment       // GUARDED_BY(mu): ready to follow cur, or nil
	nextErr error          // GUARDED_BY(mu): why there is no next
	starved bool           // GUARDED_BY(mu): somebody waits for next
	behind  []*segment     // GUARDED_BY(mu): full ones, oldest first; the database's tables may lack them
	rec     []byte         // GUARDED_BY(mu): the record that is being written
	handed  *pebble.Batch  // GUARDED_BY(mu): in the log, and not in the database yet; or nil
	onFlush []func() error // GUARDED_BY(mu)
	closed  bool           // GUARDED_BY(mu)
}

// DB returns the database with everything applied that was handed before, to read from and to make batches with: who
// keeps it misses what is handed later. Who writes goes through Begin, Hand or Commit: what is committed to the database directly is
// lost in a crash.
func (s *Store) DB() *pebble.DB {
	s.Settle()
	return s.db
}

// CloseSnapshot lets go of a snapshot of the database. Closing it may wait for the list of tables, and with it for a disk
// that fails, so that nobody waits for that.
func (s *Store) CloseSnapshot(snap *pebble.Snapshot) {
	s.snapshots.Go(func() {
		if err := snap.Close(); err != nil {
			s.log.Error("close a snapshot of the database", "err", err)
		}
	})
}

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

// Close makes everything durable and lets go of the home. No other method may run. It does not wait for a
// disk that fails: what the log has, the next start reads.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.ready.Broadcast() // the keeper itself may be waiting, in a function of OnFlush
	s.keeper.stop()
	err := s.lastSync()
	return errors.Join(err, s.release(err == nil && s.Health() == nil && !s.reserve.exhausted()))
}

// release closes whatever is open. flush: so that the next start reads no log.
func (s *Store) release(flush bool) error {
	var err error
	if s.db != nil {
		err = s.closeDB(flush)
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

// closeDB closes the database, or leaves it to the process's end if its disk does not answer.
func (s *Store) closeDB(flush bool) error {
	done := make(chan error, 1)
	go func() {
		s.Settle()
		s.snapshots.Wait()
		var err error
		if flush {
			err = s.db.Flush()
		}
		done <- errors.Join(err, s.db.Close())
	}()
	look := time.NewTicker(s.keeper.again / 4)
	defer look.Stop()
	for stuck := 0; ; {
		select {
		case err := <-done:
			if _, ok := errors.AsType[syscall.Errno](err); ok && s.synced.Load() == s.pos.Load() {
				s.log.Warn("the database was not closed well: the next start reads the log", "err", err)
				return nil
			}
			return err
		case <-look.C:
		}
		if s.pebble.stuck.Load() == 0 {
			stuck = 0
		} else if stuck++; stuck >= 8 {
			s.pebble.abandon()
			s.log.Warn("closed without the database's tables: the next start reads the log instead")
			return nil
		}
	}
}
