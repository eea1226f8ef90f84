package eventlog

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// Options say how a volume's log is opened. Store, Volume, Member and Rand are needed; Feed, Sign, Keys
// and Reducer too, but on a device that only holds frames for others.
type Options struct {
	Store  *store.Store
	Volume identity.VolumeID
	Feed   Feed // this device's
	// Sign signs with the device's key. It must not keep or change msg.
	Sign func(msg []byte) [64]byte
	// Keys open and seal frames. Without them the log stores, lists, checks and forwards frames, and has no state.
	Keys *identity.VolumeKeys
	// Member says whose frames are taken.
	Member  func(identity.DeviceID) bool
	Reducer Reducer
	Rand    io.Reader
	Now     func() time.Time // the clock of moments; nil: time.Now
	Begun   bool             // the log has been here: Open fails with ErrLost rather than begin it anew
	Logger  *slog.Logger
}

// A Log is one volume's events, and the state they lead to. Its methods may be called from any goroutine.
type Log struct {
	store   *store.Store
	volume  identity.VolumeID
	own     identity.DeviceID // this device
	ks      keyspace
	keys    *identity.VolumeKeys
	sign    func([]byte) [64]byte
	member  func(identity.DeviceID) bool
	reducer Reducer
	rand    io.Reader
	logger  *slog.Logger
	now     func() time.Time
	packer  packer
	replay  atomic.Int64 // ns that applying an event has taken of late; 0: not known
	few     LocalSeq     // fewEvents, but in tests
	begun   bool         // Options.Begun
	readers sync.Pool    // of *dbState, on the state

	// order serialises what changes the order of frames: Cut, Receive, Commit. It is taken before mu.
	order    sync.Mutex
	feed     Feed    // this device's
	graph    *graph  // INVARIANT: it says what the database says, unless stale
	waited   []*node // frames that waited when the graph was loaded, and must be looked at again
	stale    bool    // a change failed half-way in memory: load again
	notes    notes
	onChange []func(keys [][]byte)

	brake brake // on while a rebase catches up with Update; taken before mu

	// mu guards the state. Whoever holds it waits for no disk but the database's reads.
	mu       sync.RWMutex
	self     Author
	marks    marks    // changed under both locks
	next     LocalSeq // INVARIANT: the unframed events are marks.First ... next-1, without a gap
	held     map[LocalSeq]bool
	time     timeline
	rebasing bool          // a rebase is being computed from an earlier moment
	patches  []func(State) // what Amend did to the state since that moment
	cache    *stateCache
	tx       Tx
	txState  *dbState
	txLocal  *dbState
	txKey    []byte
}

// Open opens a volume's log, and makes it if it is not there. It reads marks, not events.
func Open(o Options) (*Log, error) {
	l := &Log{
		store: o.Store, volume: o.Volume, own: o.Feed.Device, ks: newKeyspace(o.Volume),
		keys: o.Keys, sign: o.Sign, member: o.Member, reducer: o.Reducer, rand: o.Rand, logger: o.Logger,
		feed: o.Feed, packer: newPacker(), few: fewEvents, now: o.Now, begun: o.Begun,
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	if l.keys != nil && (l.reducer == nil || l.sign == nil) {
		panic("eventlog: keys without a reducer and a signer")
	}
	l.tx.l = l
	l.cache = newStateCache()
	l.txState = newDBState(current{l.store}, l.ks.kind(kindState))
	l.txState.cache = l.cache
	l.txLocal = newDBState(current{l.store}, volumePrefix(localSpace, l.volume))
	l.tx.state, l.tx.local = newOverlay(l.txState), newOverlay(l.txLocal)
	l.readers.New = func() any {
		r := newDBState(current{l.store}, l.ks.kind(kindState))
		r.cache, r.fill = l.cache, true
		return r
	}
	if err := l.start(o.Feed); err != nil {
		return nil, fmt.Errorf("open log of volume %x: %w", l.volume, err)
	}
	return l, nil
}

// db is the database with all that was handed to the store.
func (l *Log) db() *pebble.DB { return l.store.DB() }

// start loads the log, and takes up what an earlier run left: frames whose keys have come since, and events of an
// earlier incarnation.
func (l *Log) start(own Feed) error {
	l.order.Lock()
	defer l.order.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	if err := l.loadTimeline(); err != nil {
		return err
	}
	l.feed = Feed{Volume: l.volume, Device: l.marks.Device, Incarnation: l.marks.Incarnation}
	l.self = Author{l.feed.ID(), l.feed.Device}
	if l.feed == own && len(l.waited) == 0 {
		return nil
	}
	_, err := l.arrange(func(c *change) error {
		c.newFeed = own
		return nil
	})
	return err
}

// View runs fn on the state, under the shared lock: no change happens meanwhile. It returns the database's error,
// if fn met one; what fn read is then not to be trusted. fn must not call the log's other methods.
func (l *Log) View(fn func(r Reader)) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r := l.readers.Get().(*dbState)
	defer l.readers.Put(r)
	r.err = nil
	fn(r)
	return r.err
}

// Know reads which keys of the state have a prefix, unless they are very many, so that for a while no look at the
// database is needed to find that another one is absent. It costs little if that is known already.
func (l *Log) Know(prefix []byte) error {
	if l.cache.knows(prefix) {
		return nil
	}
	var keys [][]byte
	return l.View(func(r Reader) {
		r.Scan(prefix, nil, func(key, _ []byte) bool {
			keys = append(keys, bytes.Clone(key))
			return len(keys) <= learnLimit
		})
		if len(keys) <= learnLimit && r.(*dbState).err == nil {
			l.cache.know(prefix, keys)
		}
	})
}

// Snapshot runs fn on the state as it is now, without a lock: for walks that take long.
func (l *Log) Snapshot(fn func(r Reader)) error {
	s := l.db().NewSnapshot()
	r := newDBState(s, l.ks.kind(kindState))
	fn(r)
	l.store.CloseSnapshot(s)
	return r.err
}

// Local runs fn on this device's own keys, without a lock: each read sees what was changed before it.
func (l *Log) Local(fn func(r Reader)) error {
	r := newDBState(current{l.store}, volumePrefix(localSpace, l.volume))
	fn(r)
	return r.err
}

// A HeldEvent is an event that may not leave the device yet.
type HeldEvent struct {
	Seq   LocalSeq
	Event Event
}

// Held returns the held events in their order, those of an earlier run too.
func (l *Log) Held() ([]HeldEvent, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var es []HeldEvent
	for _, n := range sortedKeys(l.held) {
		e, _, err := l.unframed(l.db(), n)
		if err != nil {
			return nil, fmt.Errorf("held event %d: %w", n, err)
		}
		es = append(es, HeldEvent{n, e})
	}
	return es, nil
}

// unframed reads one event that is in no frame yet.
func (l *Log) unframed(db pebble.Reader, n LocalSeq) (e Event, held bool, err error) {
	rec, ok, err := dbGet(db, l.ks.local(kindUnframed, n))
	if err != nil {
		return Event{}, false, err
	}
	if !ok {
		return Event{}, false, errMissing
	}
	return decodeEventRecord(rec)
}
