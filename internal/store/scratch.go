package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// scratchDir is where a database is made that nobody needs afterwards. It holds what the database holds, so it is in the home and not in a
// directory for everybody's temporary files. A start removes it.
const scratchDir = "scratch"

// Scratch calls fn with an empty database, which is gone when it returns. It is on the disk, also of a store that is only looked at, since it may
// become as large as the store's own; in memory only if nothing can be written there.
func (s *Store) Scratch(fn func(*pebble.DB) error) (err error) {
	path, disk := s.Path(scratchDir), s.fs
	if look, ok := s.fs.(*shadow); ok {
		disk = look.base
	}
	if err := errors.Join(disk.RemoveAll(path), disk.MkdirAll(path, 0o700)); err != nil {
		s.log.Debug("work is done in memory", "err", err)
		disk = vfs.NewMem()
	}
	defer func() { err = errors.Join(err, disk.RemoveAll(path)) }()
	db, err := pebble.Open(path, &pebble.Options{FS: disk, DisableWAL: true, MemTableSize: 8 << 20, Logger: pebbleLogger{s.log}})
	if err != nil {
		return fmt.Errorf("make room for work: %w", err)
	}
	return errors.Join(fn(db), db.Close())
}
