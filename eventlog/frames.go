package eventlog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// errStop ends a scan early; it does not leave this package.
var errStop = errors.New("stop")

// Heads returns the last complete frame of every feed, and of every branch of a feed that has forked.
func (l *Log) Heads() []Head {
	l.order.Lock()
	defer l.order.Unlock()
	hs := make([]Head, 0, len(l.graph.heads))
	for _, h := range l.graph.heads {
		hs = append(hs, *h)
	}
	slices.SortFunc(hs, func(a, b Head) int {
		fa, fb := a.Feed.ID(), b.Feed.ID()
		return cmp.Or(bytes.Compare(fa[:], fb[:]), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	return hs
}

// Frames calls fn for the frames of a feed whose first event is from or later, in the order of their events, until fn
// returns false: committed, tentative and waiting ones alike. It needs no keys.
func (l *Log) Frames(feed FeedID, from Seq, fn func(f *Frame) bool) error {
	low := l.ks.frame(feed, from, FrameHash{})
	prefix := append(l.ks.kind(kindFrame), feed[:]...)
	it, err := l.db().NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: after(prefix)})
	if err != nil {
		return fmt.Errorf("frames of feed %x: %w", feed, err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var raw []byte
		if raw, err = it.ValueAndErr(); err != nil {
			break
		}
		var f *Frame
		if f, err = ParseFrame(bytes.Clone(raw)); err == nil && !fn(f) {
			break
		}
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return fmt.Errorf("frames of feed %x: %w", feed, err)
	}
	return nil
}

// Feeds returns the feeds of which there is a complete frame.
func (l *Log) Feeds() []Feed {
	var fs []Feed
	for _, h := range l.Heads() { // sorted by feed
		if len(fs) == 0 || fs[len(fs)-1] != h.Feed {
			fs = append(fs, h.Feed)
		}
	}
	return fs
}

// Frame returns a stored frame, or ErrNotHere.
func (l *Log) Frame(h FrameHash) (*Frame, error) {
	m, ok, err := l.meta(h)
	if err == nil && !ok {
		err = fmt.Errorf("frame %x: %w", h[:4], ErrNotHere)
	}
	if err != nil {
		return nil, err
	}
	return l.frame(l.db(), h, m)
}

// Knows reports whether a frame is here, or was and has gone since; see Shorten.
func (l *Log) Knows(h FrameHash) (bool, error) {
	_, ok, err := l.meta(h)
	return ok, err
}

// Uncommitted calls fn for the tentative frames in their order, until it returns false: those that the sequencer has not
// ordered, or passed over as early. Proposed in this order none is early.
func (l *Log) Uncommitted(fn func(f *Frame) bool) error {
	l.order.Lock()
	nodes := slices.Clone(l.graph.tentative)
	l.order.Unlock()
	for _, n := range nodes {
		f, err := l.frame(l.db(), n.hash, n.meta(0))
		if err != nil {
			return fmt.Errorf("uncommitted: %w", err)
		}
		if !fn(f) {
			break
		}
	}
	return nil
}

// Committed returns the last place that the sequencer gave, and the order hash there.
func (l *Log) Committed() (Index, [32]byte) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.marks.Index, l.marks.OrderHash
}

// Stats count what a log holds.
type Stats struct {
	Index           Index
	CommittedFrames uint64
	CommittedEvents uint64
	TentativeFrames uint64
	TentativeEvents uint64
	UnframedEvents  uint64
	HeldEvents      uint64
	WaitingFrames   uint64 // for frames that they build on, or for keys
	Forked          bool   // this device's feed
	// Replay is what applying an event has taken of late, when frames came from elsewhere or changed their places; 0: not known.
	Replay time.Duration
}

// Stats returns the log's counts. They cost no I/O.
func (l *Log) Stats() Stats {
	l.order.Lock()
	defer l.order.Unlock()
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := Stats{
		Index: l.marks.Index, CommittedFrames: l.marks.Frames, CommittedEvents: l.marks.Events,
		TentativeFrames: uint64(len(l.graph.tentative)), WaitingFrames: uint64(len(l.graph.waiting)),
		UnframedEvents: uint64(l.next - l.marks.First), HeldEvents: uint64(len(l.held)),
		Forked: len(l.graph.headsOf(l.feed)) > 1, Replay: time.Duration(l.replay.Load()),
	}
	for _, n := range l.graph.tentative {
		s.TentativeEvents += n.header.Count
	}
	return s
}

// Pending returns how many of this device.s events are in no frame, and how many of them are held. Unlike Stats it never
// waits for a rebase.
func (l *Log) Pending() (unframed, held int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return int(l.next - l.marks.First), len(l.held)
}
