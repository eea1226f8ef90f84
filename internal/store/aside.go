package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// KeepAside keeps the database as it is now in another directory of the same disk: for who is about to change what may be all
// that there is. It takes next to no room, until the database's tables are replaced by others.
func (s *Store) KeepAside(path string) error {
	if err := s.DB().Flush(); err != nil {
		return fmt.Errorf("keep the database as it is: %w", err)
	}
	if err := s.db.Checkpoint(path, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("keep the database as it is: %w", err)
	}
	return nil
}
