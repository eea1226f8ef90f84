package store

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// ErrNoSpace says that the disk is too full to write; nothing of what was asked was done.
// It is also syscall.ENOSPC.
var ErrNoSpace = fmt.Errorf("the store's disk is full: %w", syscall.ENOSPC)

// ErrDamaged says that the store's own files are not as they were written.
var ErrDamaged = errors.New("the store is damaged")

// ErrNotStore says that a directory holds something else than a store.
var ErrNotStore = errors.New("not a rhizome store, and not empty")

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("the store is closed")

// An InUseError says that another process has the store open.
type InUseError struct {
	PID int // 0 if it is not known
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return "the store is in use"
	}
	return fmt.Sprintf("the store is in use by process %d", e.PID)
}

// A VersionError says that a store has a format that this program does not know.
type VersionError struct {
	Found string // what the store says
	Known int    // what this program reads and writes
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the store has format %s; this program knows format %d", e.Found, e.Known)
}

// Passing reports whether err is of a disk that may work again, so that the same may succeed later: it is told by the
// system, and says nothing of damage.
func Passing(err error) bool {
	var no syscall.Errno
	return errors.As(err, &no) && !errors.Is(err, ErrDamaged) || errors.Is(err, errNotMerged)
}

// explain gives err the sentinel that callers ask for.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoSpace), errors.Is(err, ErrDamaged):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w (%w)", ErrNoSpace, err)
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
