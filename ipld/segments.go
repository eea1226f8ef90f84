package ipld

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/store"
)

const (
	segmentsDir   = "segments"
	segmentSuffix = ".car"
	tempSuffix    = ".tmp"
)

// SegmentOptions say how blocks are kept. The zero value is what a daemon wants.
type SegmentOptions struct {
	Size     int64 // a segment that has so many bytes is full; 0: 64 MiB
	Unsynced int64 // Put syncs by itself when so many bytes are not on disk; 0: 64 MiB
	Open     int   // how many segments are open for reading at most; 0: 64
	// Pace is called by Collect when it has read or written so many bytes, and may make it wait; its error ends the collection. nil:
	// nothing waits.
	Pace   func(ctx context.Context, bytes int) error
	Logger *slog.Logger // nil: silence
}

// Segments is a Store in the segments of a home directory, with the index in its database. Its methods
// may be called from any goroutine.
type Segments struct {
	st    *store.Store
	dir   string
	opts  SegmentOptions
	log   *slog.Logger
	files *handles

	collecting sync.Mutex // held by Collect
	syncing    sync.Mutex // held while syncing

	appending sync.Mutex       // held by who decides what is appended or dropped
	tail      *tail            // GUARDED_BY(appending): the segment that grows, or nil
	buf       []byte           // GUARDED_BY(appending): sections on their way to the tail
	adding    map[CID]location // GUARDED_BY(appending): the blocks in buf

	mu       sync.RWMutex
	segments map[segmentNumber]*segment // GUARDED_BY(mu)
	next     segmentNumber              // GUARDED_BY(mu): greater than every number ever used
	pending  map[CID]location           // GUARDED_BY(mu): put, and not in the index
	moving   map[CID]location           // GUARDED_BY(mu): on their way to the index
	dirty    map[segmentNumber]struct{} // GUARDED_BY(mu): have bytes behind their marks
	unsynced int64                      // GUARDED_BY(mu): how many
	suspect  map[segmentNumber]struct{} // GUARDED_BY(mu): a sync failed; see renew
	newFiles bool                       // GUARDED_BY(mu): the directory is not synced
	young    young                      // GUARDED_BY(mu)
	damage   damage                     // GUARDED_BY(mu)
	failed   error                      // GUARDED_BY(mu): the error after which nothing can be trusted
	closed   bool                       // GUARDED_BY(mu)
}

// A segment is what is known of one file. INVARIANT: mark <= size, but for a segment that is damaged.
type segment struct {
	size  int64  // the file's, as far as it holds sections
	mark  int64  // what is before it is on disk and in the index
	wrong string // why it is damaged, or ""
}

// OpenSegments opens the blocks of a home directory. It checks what was appended to the segments after
// their last sync, never more. A segment that is missing or cut is no error here: see Damage. Close it
// before st.
func OpenSegments(st *store.Store, o SegmentOptions) (*Segments, error) {
	if o.Size == 0 {
		o.Size = 64 << 20
	}
	if o.Unsynced == 0 {
		o.Unsynced = 64 << 20
	}
	if o.Open == 0 {
		o.Open = 64
	}
	if o.Pace == nil {
		o.Pace = func(ctx context.Context, _ int) error { return ctx.Err() }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Segments{
		st: st, dir: st.Path(segmentsDir), opts: o, log: o.Logger,
		segments: map[segmentNumber]*segment{}, next: 1,
		adding: map[CID]location{}, pending: map[CID]location{}, dirty: map[segmentNumber]struct{}{},
		suspect: map[segmentNumber]struct{}{},
	}
	s.files = newHandles(o.Open, func(n segmentNumber) (vfs.File, error) { return st.FS().Open(s.path(n)) })
	if err := s.recover(); err != nil {
		s.files.close()
		return nil, fmt.Errorf("open segments %s: %w", s.dir, explain(err))
	}
	st.OnFlush(s.Sync)
	return s, nil
}

// Close syncs, and lets go of the files. No other method may run.
func (s *Segments) Close() error {
	err := s.Sync()
	s.appending.Lock()
	defer s.appending.Unlock()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.tail != nil {
		err = errors.Join(err, s.tail.file.Close())
		s.tail = nil
	}
	s.files.close()
	return err
}

// Get implements Store.
func (s *Segments) Get(c CID) (Block, error) {
	b, err := s.getSealed(c)
	if err != nil {
		return Block{}, err
	}
	if err := b.Verify(); err != nil {
		s.noteDamaged(c)
		return Block{}, fmt.Errorf("get block %v: %w", c, err)
	}
	return b, nil
}

// getSealed implements sealedGetter.
func (s *Segments) getSealed(c CID) (Block, error) {
	l, ok, err := s.find(c)
	if err == nil && !ok {
		err = ErrNotFound
	}
	if err != nil {
		return Block{}, fmt.Errorf("get block %v: %w", c, err)
	}
	b, err := s.read(c, l)
	if err == nil {
		return b, nil
	}
	// A collection may have moved or dropped the block in between.
	again, ok, findErr := s.find(c)
	switch {
	case findErr != nil:
		return Block{}, fmt.Errorf("get block %v: %w", c, findErr)
	case !ok:
		return Block{}, fmt.Errorf("get block %v: %w", c, ErrNotFound)
	case again != l:
		if b, err = s.read(c, again); err == nil {
			return b, nil
		}
	}
	s.noteDamaged(c)
	return Block{}, fmt.Errorf("get block %v: %w", c, err)
}

// read reads a section and checks that it is c's.
func (s *Segments) read(c CID, l location) (Block, error) {
	f, err := s.files.acquire(l.segment)
	if err != nil {
		return Block{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer s.files.release(f)
	head := carSectionHead(l.size)
	b := make([]byte, head+l.size)
	if n, err := f.ReadAt(b, l.off); n < len(b) {
		return Block{}, fmt.Errorf("read segment %v at %d: %w: %w", l.segment, l.off, ErrDamaged, err)
	}
	got, size, at, err := parseCARSection(b)
	if err != nil || got != c || size != l.size || at != head {
		return Block{}, fmt.Errorf("read segment %v at %d: not the block: %w", l.segment, l.off, ErrDamaged)
	}
	return Block{c, b[head:]}, nil
}

// find looks up where a block is.
func (s *Segments) find(c CID) (location, bool, error) {
	s.mu.RLock()
	l, ok := s.pending[c]
	if !ok {
		l, ok = s.moving[c]
	}
	s.mu.RUnlock()
	if ok {
		return l, true, nil
	}
	return s.indexed(c) // what left moving is in the index
}

// Has implements Store. A block that is known to be damaged is not here.
func (s *Segments) Has(c CID) (bool, error) {
	l, ok, err := s.find(c)
	if err != nil || !ok {
		return false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.usableLocked(c, l), nil
}

// usableLocked reports whether a block is likely to be readable.
func (s *Segments) usableLocked(c CID, l location) bool {
	seg := s.segments[l.segment]
	return seg != nil && l.end() <= seg.size && !s.damage.has(c)
}

// Keys calls fn for every block, in no order. What is put meanwhile may be left out.
func (s *Segments) Keys(fn func(CID) error) error {
	return s.Sizes(func(c CID, _ int) error { return fn(c) })
}

// Sizes is Keys with the blocks' sizes. It reads the index, and no block.
func (s *Segments) Sizes(fn func(c CID, size int) error) error {
	s.mu.RLock()
	recent := make(map[CID]location, len(s.pending)+len(s.moving))
	for _, m := range []map[CID]location{s.moving, s.pending} {
		for c, l := range m {
			recent[c] = l
		}
	}
	s.mu.RUnlock()
	for c, l := range recent {
		if err := fn(c, l.size); err != nil {
			return err
		}
	}
	return s.eachIndexed(func(c CID, l location) error {
		if _, ok := recent[c]; ok {
			return nil
		}
		return fn(c, l.size)
	})
}

// Stats returns how many segments there are, and how many bytes they have.
func (s *Segments) Stats() (segments int, bytes int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, seg := range s.segments {
		segments++
		bytes += seg.size
	}
	return segments, bytes
}

func (s *Segments) path(n segmentNumber) string { return s.st.FS().PathJoin(s.dir, n.file()) }
