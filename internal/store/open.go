package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Look opens the store at home as Open would, to be read: what opening it mends, and whatever is written, is in memory alone and
// gone with Close. Nobody can open it meanwhile. Errors are those of Open.
func Look(home string, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.FS, o.FlushEvery, o.looking = newShadow(o.FS), -1, true
	return Open(home, o)
}

// Open opens the store at home, and makes one if home is missing or empty. Its errors: *InUseError,
// *VersionError, ErrNotStore, ErrNoSpace, ErrDamaged; in each case the home is as it was. It starts
// goroutines, which Close ends.
func Open(home string, o Options) (*Store, error) {
	s, err := open(home, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", home, explain(err))
	}
	return s, nil
}

func open(home string, o Options) (*Store, error) {
	s := &Store{home: home, fs: o.FS, log: o.Logger, looking: o.looking, age: o.Age}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.FlushEvery == 0:
		o.FlushEvery = 5 * time.Second
	case o.FlushEvery < 0:
		o.FlushEvery = 0
	}
	if o.segmentSize == 0 {
		o.segmentSize = segmentSize
	}
	if o.again == 0 {
		o.again = again
	}
	if o.now == nil {
		o.now = time.Now
	}
	s.ready = sync.NewCond(&s.mu)
	s.keeper = newKeeper(s, o.FlushEvery, o.again)
	s.reserve = reserve{fs: s.fs, home: home, now: o.now}
	s.pebble = newPatient(s.fs, o.again, func(err error) { s.Report(partManifest, err) })
	if err := checkHome(s.fs, home); err != nil {
		return nil, err
	}
	if err := makeHome(s.fs, home); err != nil {
		return nil, err
	}
	var err error
	if s.lock, err = lockHome(s.fs, home); err != nil {
		return nil, err
	}
	if err := s.openLocked(o.segmentSize); err != nil {
		return nil, errors.Join(err, s.release(false))
	}
	s.pebble.began.Store(true)
	s.keeper.start()
	return s, nil
}

// makeHome makes the home directory, and its name durable.
func makeHome(fs vfs.FS, home string) error {
	if _, err := fs.Stat(home); err == nil {
		return nil
	}
	if err := fs.MkdirAll(home, 0o700); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(home))
}

// openLocked opens what is in a home that this process has the lock of.
func (s *Store) openLocked(segment int64) error {
	if err := checkHome(s.fs, s.home); err != nil {
		return err
	}
	s.reserve.adopt()
	if s.reserve.exhausted() {
		return ErrNoSpace
	}
	if err := writeFormat(s.fs, s.home); err != nil {
		return err
	}
	var err error
	if s.wal, err = openWALDir(s.fs, s.Path("wal"), segment); err != nil {
		return err
	}
	if err = s.fs.RemoveAll(s.Path(scratchDir)); err != nil {
		return err
	}
	if err := errors.Join(finishSalvage(s.fs, s.home), hasDB(s.fs, s.home)); err != nil {
		return err
	}
	if s.db, err = openDB(s.Path("db"), s.pebbleOptions()); err != nil {
		return err
	}
	if err := syncDir(s.fs, s.home); err != nil {
		return err
	}
	pos, kept, err := recoverWAL(s.wal, s.db, s.log)
	if err != nil {
		return err
	}
	s.pos.Store(pos)
	s.synced.Store(pos)
	s.behind = kept
	// Files of an earlier run are not used again: how the kernel read them in, it would write them out,
	// in large pieces (see walDir.prepare).
	if err := s.dropFlushed(0); err != nil {
		return err
	}
	s.cur, err = s.wal.create(false)
	return err
}

// hasDB refuses to make a new database where there must be one: whoever has keys or blocks had one.
func hasDB(fs vfs.FS, home string) error {
	if _, err := fs.Stat(fs.PathJoin(home, "db")); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, name := range []string{"identities", "segments"} {
		if _, err := fs.Stat(fs.PathJoin(home, name)); err == nil {
			return fmt.Errorf("%w: the database is missing", ErrDamaged)
		}
	}
	return nil
}

// openDB opens Pebble, and turns what only damage can explain into ErrDamaged.
func openDB(path string, o *pebble.Options) (*pebble.DB, error) {
	db, err := pebble.Open(path, o)
	if err != nil && errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err) // a table or the manifest is missing
	}
	return db, err
}
