package raftstore

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// Compact makes a checkpoint of what is applied, and cuts the log behind it. It returns when that is done, and at once if nothing was
// ordered since the last time. Its errors: ErrStopped, and those of Options.Checkpoint.
func (s *Sequencer) Compact() error {
	s.mu.Lock()
	r, stopped := s.raft, s.stopped
	if r != nil && !stopped {
		s.asks.Add(1)
	}
	s.mu.Unlock()
	switch {
	case stopped:
		return s.stopError()
	case r == nil:
		return nil // nothing was ordered in this run
	}
	defer s.asks.Done()
	s.compacting.Lock()
	defer s.compacting.Unlock()
	if i, data, err := s.Newest(); err != nil || data != nil && s.fsm.entries.Load() == 0 && uint64(i) >= s.fsm.applied.Load() {
		return err
	}
	s.fsm.refused.Store(nil)
	err := r.Snapshot().Error()
	if why := s.fsm.refused.Load(); err != nil && why != nil { // Raft tells its text only
		err = *why
	}
	switch {
	case errors.Is(err, raft.ErrNothingNewToSnapshot):
		return nil
	case errors.Is(err, raft.ErrRaftShutdown):
		return s.stopError()
	case err != nil:
		return fmt.Errorf("checkpoint the order: %w", err)
	}
	return nil
}

// Newest returns the place of the last checkpoint, and what its Write returned; 0 and nil if there is none.
func (s *Sequencer) Newest() (eventlog.Index, []byte, error) {
	meta, err := s.snaps.meta()
	if err != nil || meta == nil {
		return 0, nil, err
	}
	data, err := s.snaps.data()
	return eventlog.Index(meta.Index), data, err
}

// Acknowledged returns the last Index that every server of the order has: nobody who follows it asks for an entry up to there. Of other servers
// nothing is known yet, so while there are any, it is 0.
func (s *Sequencer) Acknowledged() eventlog.Index {
	s.mu.Lock()
	r := s.raft
	s.mu.Unlock()
	if r == nil {
		return 0
	}
	all := r.GetConfiguration()
	if all.Error() != nil {
		return 0
	}
	for _, server := range all.Configuration().Servers {
		if server.ID != s.id {
			return 0
		}
	}
	return eventlog.Index(s.fsm.applied.Load())
}
