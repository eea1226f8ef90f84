package raftstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// pause is how often an idle leader looks at its lease, and how long a voter that lost its lead waits
// before it stands again.
const pause = 2 * time.Second

// Run orders entries until ctx is done or Close is called, and returns nil; or until something fails
// (Apply, the disk), and returns that. It is called once.
func (s *Sequencer) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.stopped || s.raft != nil {
		s.mu.Unlock()
		return s.stopError()
	}
	s.runs.Add(1)
	s.mu.Unlock()
	defer s.runs.Done()
	defer s.halt(nil)
	r, err := s.start()
	if err != nil {
		return fmt.Errorf("sequencer: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			s.halt(nil)
		case <-s.stop:
			err := s.shutdown(r)
			s.mu.Lock()
			defer s.mu.Unlock()
			return errors.Join(s.failed, err)
		case leading := <-r.LeaderCh():
			s.setLeading(leading)
		}
	}
}

// start starts Raft.
func (s *Sequencer) start() (r *raft.Raft, err error) {
	defer func() { // Raft panics if it can't store its term
		if p := recover(); p != nil {
			err = fmt.Errorf("start: %v", p)
		}
	}()
	conf := raft.DefaultConfig()
	conf.LocalID = s.id
	conf.HeartbeatTimeout = pause + 1
	conf.ElectionTimeout = pause + 1
	conf.LeaderLeaseTimeout = pause
	conf.CommitTimeout = pause
	conf.MaxAppendEntries = 1024
	conf.BatchApplyCh = true
	conf.ShutdownOnRemove = false
	conf.NoSnapshotRestoreOnStart = true
	conf.NoLegacyTelemetry = true
	conf.TrailingLogs = keepTail
	conf.SnapshotInterval = 100 * 24 * time.Hour // Compact does
	conf.LogOutput = logWriter{s.log}
	conf.LogLevel = "INFO"
	_, transport := raft.NewInmemTransport(raft.ServerAddress(s.id)) // there is nobody else
	r, err = raft.NewRaft(conf, s.fsm, s.logs, s.stable, s.snaps, transport)
	if err != nil {
		return nil, err
	}
	s.started.Store(true)
	s.mu.Lock()
	s.raft = r
	s.mu.Unlock()
	// A shorter timeout makes a follower look at its timer at once. It never heard of a leader, so it
	// stands for election, and has the only vote.
	err = r.ReloadConfig(raft.ReloadableConfig{
		TrailingLogs: conf.TrailingLogs, SnapshotInterval: conf.SnapshotInterval,
		SnapshotThreshold: conf.SnapshotThreshold,
		HeartbeatTimeout:  pause, ElectionTimeout: pause,
	})
	if err != nil {
		return nil, errors.Join(err, s.shutdown(r))
	}
	return r, nil
}

// shutdown ends Raft. It waits a while for the proposals that are under way: Raft leaves those without an
// answer that it has not yet applied when it ends.
func (s *Sequencer) shutdown(r *raft.Raft) error {
	answered := make(chan struct{})
	go func() {
		s.asks.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-time.After(pause):
	}
	err := r.Shutdown().Error()
	s.setLeading(false)
	close(s.dead)
	return err
}

func (s *Sequencer) setLeading(leading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leading != leading {
		s.leading = leading
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// Close ends Run and waits for it. The store is the caller's to close.
func (s *Sequencer) Close() error {
	s.halt(nil)
	s.runs.Wait()
	return nil
}

// halt has Run end, for err if that is not nil.
func (s *Sequencer) halt(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
	if !s.stopped {
		s.stopped = true
		close(s.stop)
	}
}

// fail ends Run for err, and returns it.
func (s *Sequencer) fail(err error) error {
	s.halt(err)
	return err
}

func (s *Sequencer) stopError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return fmt.Errorf("%w: %w", ErrStopped, s.failed)
	}
	return ErrStopped
}

// write commits what fill puts into a batch. It is handed to the kernel, not synced: see the package's
// doc. While the disk is full or fails it waits: a leader whose log can't be written steps down, and gains nothing.
func (s *Sequencer) write(fill func(*pebble.Batch) error) error {
	return s.patiently(func() error {
		b := s.o.Store.DB().NewBatch()
		if err := fill(b); err != nil {
			return errors.Join(err, b.Close())
		}
		err := s.o.Store.Commit(b, store.Handed)
		if err != nil && !store.Passing(err) {
			s.halt(err)
		}
		return err
	})
}

// patiently does op until it works, or fails for good, or Run ends.
func (s *Sequencer) patiently(op func() error) error {
	for told := false; ; told = true {
		err := op()
		if err == nil || !store.Passing(err) {
			return err
		}
		if !told {
			s.log.Warn("the order waits for the disk", "err", err)
		}
		select {
		case <-s.stop:
			return err
		case <-time.After(pause):
		}
	}
}

// die is called on Raft's own goroutines for errors of the disk on which Raft would panic: Run ends with the
// error, and the goroutine as if it had crashed. It returns before Raft has started.
func (s *Sequencer) die(err error) {
	if s.started.Load() {
		s.halt(err)
		runtime.Goexit()
	}
}
