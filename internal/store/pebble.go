package store

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleOptions make a small database. Its own write-ahead log is off: it would hand every record to
// another goroutine, which costs a thread switch on the way there and one back (45 to 70 µs from a locked
// thread on a virtual machine, against 1 to 4 when the caller writes the record itself), and a failed write
// to it would end the process.
func pebbleOptions(fs vfs.FS, log *slog.Logger, flushed func()) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      pebbleLogger{log},
		CacheSize:                   32 << 20,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 3, // one fills while one is flushed and one waits
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                256,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		EventListener: &pebble.EventListener{
			FlushEnd: func(i pebble.FlushInfo) { flushed() },
			BackgroundError: func(err error) {
				log.Error("database works on in the background after an error", "err", err)
			},
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				log.Error("database table is damaged", "path", i.Path, "err", i.Details)
			},
		},
	}
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
