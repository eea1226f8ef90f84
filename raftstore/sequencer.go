package raftstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// ErrUnknown says that an entry may have been committed, may be yet, or may never be. Whoever proposed it
// learns it from what is applied.
var ErrUnknown = errors.New("it is not known whether the entry was committed")

// ErrStopped says that the sequencer takes no more proposals. What it was asked was not done.
var ErrStopped = errors.New("the sequencer has stopped")

// keepTail is how many entries stay when the log is cut, for a follower that lags a little.
const keepTail = 128

// A Term numbers a leader's reign.
type Term uint64

// Options say what a sequencer orders.
type Options struct {
	Store    *store.Store
	Identity identity.IdentityID
	// ServerID is this voter's name within the identity, if the store has no order of the identity yet. Else it keeps the name
	// with which it began the order: a configuration that does not name it would have no leader, for ever.
	ServerID string
	// Apply is called with each committed entry, in the order of their indexes, from one goroutine. The
	// state's change, with i, must be begun in Store when it returns. While it fails for the disk it is
	// called again with the same entry; another error ends Run: entries are not passed over. The entry may be kept, and not changed.
	Apply func(i eventlog.Index, entry []byte) error
	// Applied is the highest index that the state has; Apply is not called with it or a lower one.
	Applied eventlog.Index
	// Checkpoint is called between two entries, and returns at once. nil: checkpoints hold nothing.
	Checkpoint func() (Checkpoint, error)
	Logger     *slog.Logger // nil: silence
}

// A Checkpoint is the state between two entries, from which somebody without the entries before can go on.
type Checkpoint interface {
	// Write makes it durable, and returns what tells others of it: not much.
	Write() ([]byte, error)
	// Release is called once, when it is recorded, or came to nothing.
	Release()
}

// A Sequencer orders the entries of an identity. For now its device is the only voter.
type Sequencer struct {
	o      Options
	id     raft.ServerID
	log    *slog.Logger
	logs   *logStore
	stable *stableStore
	snaps  *snapshotStore
	fsm    *fsm

	stop chan struct{}  // closed when Run shall end
	dead chan struct{}  // closed when Raft has ended
	runs sync.WaitGroup // Run
	asks sync.WaitGroup // proposals that Raft has to answer; added to under mu, unless stopped

	started atomic.Bool // Raft's own goroutines run

	compacting sync.Mutex // one checkpoint at a time

	mu      sync.Mutex
	raft    *raft.Raft    // GUARDED_BY(mu): nil before Run
	changed chan struct{} // GUARDED_BY(mu): closed when leading changes
	leading bool          // GUARDED_BY(mu)
	stopped bool          // GUARDED_BY(mu): stop is closed
	failed  error         // GUARDED_BY(mu)
}

// Open reads what the store has of the identity's order, or begins one with this device as the only
// voter. It starts nothing: Run does.
func Open(o Options) (*Sequencer, error) {
	s := &Sequencer{
		o: o, log: o.Logger,
		stop: make(chan struct{}), dead: make(chan struct{}), changed: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.stable = &stableStore{st: o.Store, prefix: keyPrefix(o.Identity, 'v'), write: s.write}
	s.snaps = &snapshotStore{o.Store, keyPrefix(o.Identity, 's'), keyPrefix(o.Identity, 'k'), s.write}
	var err error
	if s.logs, err = openLog(o.Store, o.Identity, s.write); err != nil {
		return nil, fmt.Errorf("open the order: %w", err)
	}
	s.logs.fatal, s.stable.fatal = s.die, s.die
	s.fsm = &fsm{s: s}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("open the order: %w", err)
	}
	return s, nil
}

// check begins an order if there is none, and else reads the whole log once: Raft panics on what it can't
// read later.
func (s *Sequencer) check() error {
	meta, err := s.snaps.meta()
	if err != nil {
		return err
	}
	var cut uint64
	if meta != nil {
		cut = meta.Index
	}
	if cut == 0 && s.logs.last == 0 {
		s.id = raft.ServerID(s.o.ServerID)
		if err := s.bootstrap(); err != nil {
			return err
		}
	}
	if err := s.identify(); err != nil {
		return err
	}
	for i := max(cut+1, s.logs.first); i <= s.logs.last; i++ {
		var l raft.Log
		if err := s.logs.GetLog(i, &l); err != nil {
			return err
		}
		if l.Type == raft.LogCommand && i <= uint64(s.o.Applied) { // the rest is counted when it is applied
			s.fsm.entries.Add(1)
			s.fsm.bytes.Add(uint64(len(l.Data)))
		}
	}
	if end := max(cut, s.logs.last); uint64(s.o.Applied) > end {
		// Entries would get indexes that the state takes for old ones.
		return fmt.Errorf("%w: the state has applied %d, the order ends at %d", store.ErrDamaged, s.o.Applied, end)
	}
	s.fsm.applied.Store(max(cut, uint64(s.o.Applied)))
	return nil
}

// bootstrap is raft.BootstrapCluster, but atomic.
func (s *Sequencer) bootstrap() error {
	members := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: s.id, Address: raft.ServerAddress(s.id),
	}}}
	first := &raft.Log{
		Index: 1, Term: 1, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(members), AppendedAt: time.Unix(0, 0),
	}
	err := s.write(func(b *pebble.Batch) error {
		one := []byte{0, 0, 0, 0, 0, 0, 0, 1}
		return errors.Join(b.Set(s.stable.key([]byte("CurrentTerm")), one, nil), s.logs.put(b, first), s.putID(b))
	})
	if err == nil {
		s.logs.first, s.logs.last = 1, 1
	}
	return err
}

// identify finds this voter's name. An order that was begun before the name had a record was begun under the one that is
// given: the record is on disk before anybody can give another.
func (s *Sequencer) identify() error {
	name, err := get(s.o.Store, s.idKey())
	if !errors.Is(err, errNotFound) {
		s.id = raft.ServerID(name)
		return err
	}
	s.id = raft.ServerID(s.o.ServerID)
	return errors.Join(s.write(s.putID), s.o.Store.Sync())
}

func (s *Sequencer) idKey() []byte { return keyPrefix(s.o.Identity, 'i') }

func (s *Sequencer) putID(b *pebble.Batch) error { return b.Set(s.idKey(), []byte(s.id), nil) }

// Propose returns nil when entry was committed and applied here. It waits while there is no leader.
// Proposals of many callers are gathered. Its errors: ErrStopped, ctx's (both: not committed, and never
// will be), ErrUnknown. The entry is kept, and must not be changed.
func (s *Sequencer) Propose(ctx context.Context, entry []byte) error {
	for {
		r, err := s.ask(ctx)
		if err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() {
			defer s.asks.Done()
			done <- propose(r, entry)
		}()
		select {
		case err = <-done:
		case <-s.dead:
			return fmt.Errorf("%w: %w", ErrUnknown, s.stopError())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
		}
		if !errors.Is(err, raft.ErrNotLeader) {
			return err
		}
		if err := s.waitChange(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// propose returns nil, raft.ErrNotLeader if r did not take the entry, or ErrUnknown.
func propose(r *raft.Raft, entry []byte) error {
	f := r.ApplyLog(raft.Log{Data: entry}, 0)
	err := f.Error()
	if err == nil {
		err, _ = f.Response().(error)
	}
	if err == nil || errors.Is(err, raft.ErrNotLeader) {
		return err
	}
	// "Leadership lost" in particular is no failure: such entries were seen committed later.
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// ask returns when this voter leads, and counts in asks.
func (s *Sequencer) ask(ctx context.Context) (*raft.Raft, error) {
	for ctx.Err() == nil {
		s.mu.Lock()
		r, leading, stopped, changed := s.raft, s.leading, s.stopped, s.changed
		if leading && !stopped {
			s.asks.Add(1)
		}
		s.mu.Unlock()
		switch {
		case stopped:
			return nil, s.stopError()
		case leading:
			return r, nil
		}
		select {
		case <-changed:
		case <-s.stop:
		case <-ctx.Done():
		}
	}
	return nil, ctx.Err()
}

// waitChange returns when the leader changes, or after a while.
func (s *Sequencer) waitChange(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-s.stop:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Stats is where a sequencer stands.
type Stats struct {
	Leading     bool
	Term        Term
	First, Last eventlog.Index // of the entries that the log has; 0, 0: none
	Applied     eventlog.Index
	// What was applied since the last checkpoint.
	Entries, Bytes uint64
}

// Stats may be called at any time.
func (s *Sequencer) Stats() Stats {
	first, _ := s.logs.FirstIndex()
	last, _ := s.logs.LastIndex()
	st := Stats{
		First: eventlog.Index(first), Last: eventlog.Index(last),
		Applied: eventlog.Index(s.fsm.applied.Load()),
		Entries: s.fsm.entries.Load(), Bytes: s.fsm.bytes.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Leading = s.leading
	if s.raft != nil {
		st.Term = Term(s.raft.CurrentTerm())
	}
	return st
}
