package eventlog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// cutBytes is where a frame ends, if it does not end before: a frame's events have at least one and else no more bytes.
const cutBytes = 1 << 20

// Cut puts this device's oldest unframed events into a frame: at most max of them, and none from the first held one
// on. It returns nil if there is none. The state does not change.
//
// The frame is stored when Cut returns, and not on disk: it must not leave the device before the store's Sync has
// returned. Cut returns ErrForked if the feed must not be continued, ErrNoKeys if this log only holds.
func (l *Log) Cut(max int) (*Frame, error) {
	if l.keys == nil {
		return nil, fmt.Errorf("cut volume %v: %w", l.volume, ErrNoKeys)
	}
	l.order.Lock()
	defer l.order.Unlock()
	for {
		if err := l.reload(); err != nil {
			return nil, fmt.Errorf("cut volume %v: %w", l.volume, err)
		}
		f, n, err := l.cut(max)
		if err != nil {
			return nil, fmt.Errorf("cut volume %v: %w", l.volume, errors.Join(err, l.reload()))
		}
		if f != nil || n == 0 {
			return f, nil
		}
	}
}

// cut frames some events, and returns how many. There is no frame if they come to nothing.
func (l *Log) cut(max int) (*Frame, int, error) {
	h := Header{
		Version: frameVersion, Volume: l.volume, Device: l.feed.Device, Incarnation: l.feed.Incarnation,
		Epoch: l.keys.Epoch(),
	}
	if err := l.graph.next(l.feed, &h); err != nil {
		return nil, 0, err
	}
	tail, err := l.cuttable(max)
	if err != nil || len(tail.events) == 0 {
		return nil, 0, err
	}
	es := l.coalesce(tail)
	h.Needs = l.needs(es)
	for len(h.Needs) > MaxNeeds {
		tail.shorten(len(tail.events) / 2)
		es = l.coalesce(tail)
		h.Needs = l.needs(es)
	}
	if invariants {
		l.checkCoalesced(tail, es)
	}
	b := l.db().NewBatch()
	for i := range tail.events {
		n := tail.first + LocalSeq(i)
		b.Delete(l.ks.local(kindUnframed, n), nil)
		b.Delete(l.ks.local(kindUndo, n), nil)
	}
	l.noteUndos(b, tail.first+LocalSeq(len(tail.events))-1, tail.undos)
	if len(es) == 0 {
		return nil, len(tail.events), l.commitCut(b, len(tail.events))
	}
	f, err := l.sealFrame(h, es)
	if err != nil {
		b.Close()
		l.stale = true
		return nil, 0, err
	}
	b.Set(l.ks.hash(kindFrameUndo, f.Hash), mergeUndos(tail.undos).encode(nil), nil)
	if err := l.adopt(b, f); err != nil {
		b.Close()
		l.stale = true
		return nil, 0, err
	}
	return f, len(tail.events), l.commitCut(b, len(tail.events))
}

// A tail is unframed events and what takes them back.
type tail struct {
	first  LocalSeq
	events []Event
	undos  []*undo
	// plain: the events are framed as they are. After a frame of this device came from elsewhere, the store was
	// copied or restored, and the same events may stand in that frame, coalesced otherwise: then the state knows some of the ids that
	// they draw, which Coalesce does not allow for.
	plain bool
}

// coalesce returns what goes into the frame for a tail.
func (l *Log) coalesce(t *tail) []Event {
	if t.plain {
		return t.events
	}
	return l.reducer.Coalesce(t.events)
}

func (t *tail) shorten(n int) { t.events, t.undos = t.events[:max(n, 1)], t.undos[:max(n, 1)] }

// cuttable reads the events that may be framed now.
func (l *Log) cuttable(most int) (*tail, error) {
	l.mu.RLock()
	t := &tail{first: l.marks.First}
	end := l.next
	for n := range l.held {
		end = min(end, n)
	}
	if t.plain = t.first < l.marks.Plain; t.plain {
		end = min(end, l.marks.Plain)
	}
	l.mu.RUnlock()
	// What is not held does not change any more, so it is read without the lock.
	end = min(end, t.first+LocalSeq(min(most, MaxEvents)))
	size := 0
	low, high := l.ks.local(kindUnframed, t.first), l.ks.local(kindUnframed, end)
	err := scanRange(l.db(), low, high, func(key, val []byte) error {
		e, _, err := decodeEventRecord(bytes.Clone(val))
		if n := localSeqOf(key); err != nil || n != t.first+LocalSeq(len(t.events)) {
			return fmt.Errorf("event %d: %w", n, cmp.Or(err, errMissing))
		}
		if size += len(e.Body); size > cutBytes && len(t.events) > 0 {
			return errStop
		}
		t.events = append(t.events, e)
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	low, high = l.ks.local(kindUndo, t.first), l.ks.local(kindUndo, t.first+LocalSeq(len(t.events)))
	err = scanRange(l.db(), low, high, func(_, val []byte) error {
		u, err := decodeUndo(bytes.Clone(val))
		t.undos = append(t.undos, u)
		return err
	})
	if err == nil && len(t.undos) != len(t.events) {
		err = fmt.Errorf("undo of events from %d on: %w", t.first, errMissing)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// needs returns the blocks that es name, each once and ascending.
func (l *Log) needs(es []Event) []ipld.CID {
	var cids []ipld.CID
	for _, e := range es {
		cids = append(cids, l.reducer.Needs(e)...)
	}
	slices.SortFunc(cids, func(a, b ipld.CID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(cids)
}

// adopt puts a frame of one's own at the end of the tentative order, where its events stood already.
func (l *Log) adopt(b *pebble.Batch, f *Frame) error {
	n := newNode(f.Hash, f.Header)
	b.Set(l.ks.frame(n.feed, f.First, f.Hash), f.Raw, nil)
	put(b, l.ks.hash(kindMeta, f.Hash), n.meta(0))
	c := &change{l: l, batch: b}
	if err := c.place(n); err != nil {
		return err
	}
	if ts := l.graph.tentative; len(ts) == 0 || ts[len(ts)-1] != n {
		panic(fmt.Sprintf("eventlog: frame %x, just cut, is not the last in the tentative order", f.Hash))
	}
	return nil
}

// commitCut applies the batch that frames the n oldest events.
func (l *Log) commitCut(b *pebble.Batch, n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.marks
	m.First += LocalSeq(n)
	put(b, l.ks.kind(kindMarks), &m)
	l.time.put(b, l.ks, l.time.last)
	done, err := l.store.Begin(b)
	if err != nil {
		l.stale = true
		return err
	}
	l.marks, l.time.saved = m, true
	return done.Wait(store.Applied)
}
