package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// pebbleOptions make a small database. Its own write-ahead log is off: it would hand every record to
// another goroutine, which costs a thread switch on the way there and one back (45 to 70 µs from a locked
// thread on a virtual machine, against 1 to 4 when the caller writes the record itself), and a failed write
// to it would end the process. Pebble makes nobody wait who writes: the store does, where it can stop waiting
// when the disk fails.
func (s *Store) pebbleOptions() *pebble.Options {
	log := s.log
	o := &pebble.Options{
		FS:                          s.pebble,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      pebbleLogger{log},
		CacheSize:                   64 << 20,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 1000, // who writes waits in makeRoomLocked
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000, // see maxUnmerged
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                256,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		EventListener: &pebble.EventListener{
			FlushEnd: func(i pebble.FlushInfo) {
				if i.Err != nil && i.Err.Error() == "pebble: empty table" { // nothing is wrong with that
					i.Err = nil
				}
				s.tableEnd(i.Err)
				s.Report(partFlush, i.Err)
				if i.Err == nil {
					s.unmerged.Add(1)
				}
			},
			CompactionEnd: func(i pebble.CompactionInfo) {
				if !errors.Is(i.Err, pebble.ErrCancelledCompaction) {
					s.tableEnd(i.Err)
					s.mergeFailed.Store(i.Err != nil)
				}
				if i.Err == nil && len(i.Input) > 0 && i.Input[0].Level == 0 {
					s.unmerged.Store(0)
				}
			},
			BackgroundError: func(err error) { log.Warn("database", "err", err) },
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				log.Error("database table is damaged", "path", i.Path, "err", i.Details)
			},
		},
	}
	o.BlockPropertyCollectors = s.age.collectors()
	o.DisableAutomaticCompactions = s.looking
	// The usual scheduler looks every 100 ms, for ever, whether it may run more compactions than when it
	// was last asked. This one looks when a compaction is wanted and when one has ended, which costs an
	// idle device nothing.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	// Most lookups of a file system are for names that are not there. Values stay in the tables: they
	// are small (content is in segments), and long ones, frames and Raft's, are deleted soon.
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// tableEnd is told how the making of a table went.
func (s *Store) tableEnd(err error) {
	if err != nil {
		s.pebble.tableFailed()
	} else {
		s.pebble.tableMade()
	}
	s.keeper.wake()
}

// pebbleLogger keeps Pebble's chatter at level debug.
type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("database", "text", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("database", "text", fmt.Sprintf(format, args...))
}

// Fatalf ends the process: Pebble calls it where it can't go on and has no way to say so (its manifest
// can't be written), and relies on it not to return. What was acknowledged is in the write-ahead log.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.log.Error("database can't go on", "text", fmt.Sprintf(format, args...))
	panic("store: database can't go on: " + fmt.Sprintf(format, args...))
}
