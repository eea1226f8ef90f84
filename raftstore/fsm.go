package raftstore

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// An fsm hands committed entries to Options.Apply, each once and in order, until one fails.
type fsm struct {
	s       *Sequencer
	applied atomic.Uint64 // written by Raft's apply goroutine
	failed  error         // of that goroutine
	entries int           // since the log was last cut
	bytes   int
}

// Apply implements raft.FSM. Its result is an error, or nil.
func (f *fsm) Apply(l *raft.Log) any {
	if l.Index <= f.applied.Load() {
		return nil // the state has it from before the restart
	}
	if f.failed != nil {
		return f.failed
	}
	apply := func() error { return f.s.o.Apply(eventlog.Index(l.Index), l.Data) }
	if err := f.s.patiently(apply); err != nil {
		f.failed = f.s.fail(fmt.Errorf("apply entry %d: %w", l.Index, err))
		return f.failed
	}
	f.applied.Store(l.Index)
	f.entries++
	f.bytes += len(l.Data)
	if f.entries >= cutEntries || f.bytes >= cutBytes {
		f.entries, f.bytes = 0, 0
		f.s.cutSoon()
	}
	return nil
}

// Snapshot implements raft.FSM: what was applied is in the database already. Once something could not be
// applied, the log must keep it.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, f.failed }

// Restore implements raft.FSM. It is never called: a sole voter has nobody to be sent a snapshot by.
func (f *fsm) Restore(r io.ReadCloser) error {
	return fmt.Errorf("restore: %w", errNotFound)
}

type nothing struct{}

func (nothing) Persist(raft.SnapshotSink) error { return nil }
func (nothing) Release()                        {}
