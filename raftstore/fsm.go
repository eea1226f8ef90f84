package raftstore

import (
	"errors"
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

	entries, bytes atomic.Uint64         // since the last checkpoint
	refused        atomic.Pointer[error] // why the last checkpoint came to nothing
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
	f.entries.Add(1)
	f.bytes.Add(uint64(len(l.Data)))
	return nil
}

// Snapshot implements raft.FSM. Once something could not be applied, the log must keep it.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.failed != nil {
		return nil, f.failed
	}
	c := Checkpoint(nothing{})
	if f.s.o.Checkpoint != nil {
		var err error
		if c, err = f.s.o.Checkpoint(); err != nil {
			f.refused.Store(&err)
			return nil, err
		}
	}
	return &fsmSnapshot{c, f, f.entries.Load(), f.bytes.Load()}, nil
}

// Restore implements raft.FSM. It is never called: a sole voter has nobody to be sent a snapshot by.
func (f *fsm) Restore(r io.ReadCloser) error {
	return fmt.Errorf("restore: %w", errNotFound)
}

// nothing is the checkpoint of a state that nobody else needs.
type nothing struct{}

func (nothing) Write() ([]byte, error) { return nil, nil }
func (nothing) Release()               {}

// An fsmSnapshot is a Checkpoint for Raft.
type fsmSnapshot struct {
	Checkpoint
	f              *fsm
	entries, bytes uint64 // that it has of those counted
}

// Persist implements raft.FSMSnapshot.
func (s *fsmSnapshot) Persist(to raft.SnapshotSink) error {
	data, err := s.Write()
	if err == nil {
		_, err = to.Write(data)
	}
	if err != nil {
		s.f.refused.Store(&err)
		return errors.Join(err, to.Cancel())
	}
	if err := to.Close(); err != nil {
		return err
	}
	s.f.entries.Add(-s.entries)
	s.f.bytes.Add(-s.bytes)
	return nil
}
