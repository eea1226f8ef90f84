package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/identity"
)

// A Stage is how far an event has come.
type Stage uint8

// The stages, in the order in which their events are applied.
const (
	StageCommitted Stage = iota
	StageTentative
	StageUnframed
)

// A Position is an event's place in the log as it is shown. The zero Position is before the first event, and Positions
// can be compared by Compare. A committed event's Position lasts; others change when the order does.
type Position struct {
	Stage Stage
	Index Index     // committed: the sequencer's place
	Place uint32    // committed: place within the sequencer's entry
	Depth uint64    // tentative
	Feed  FeedID    // tentative
	Hash  FrameHash // tentative
	Local LocalSeq  // unframed
	Event uint32    // place within the frame, from 1
}

// An Entry is an event and where it stands.
type Entry struct {
	Position Position
	Author   Author
	Seq      Seq       // 0: unframed
	Frame    FrameHash // zero: unframed
	Held     bool      // unframed, and may not leave yet
	Event    Event
}

// Entries calls fn for the events behind from, in the order in which they are applied: committed, tentative, unframed; until
// fn returns false. The zero Position is before all. What is shown is one moment, whatever changes meanwhile.
// A log without keys returns ErrNoKeys: Frames lists what it holds. What came before Base it does not show.
func (l *Log) Entries(from Position, fn func(Entry) bool) error { return l.entries(from, false, fn) }

// EntriesBefore is Entries backwards: it begins with the last event before the position. LastPosition is behind all.
func (l *Log) EntriesBefore(before Position, fn func(Entry) bool) error {
	return l.entries(before, true, fn)
}

// LastPosition returns the Position behind every event.
func LastPosition() Position { return Position{Stage: StageUnframed, Local: ^LocalSeq(0)} }

func (l *Log) entries(from Position, back bool, fn func(Entry) bool) error {
	if l.keys == nil {
		return fmt.Errorf("entries of volume %v: %w", l.volume, ErrNoKeys)
	}
	l.mu.RLock()
	snap, self, first := l.db().NewSnapshot(), l.self, l.marks.First
	l.mu.RUnlock()
	stages := []Stage{StageCommitted, StageTentative, StageUnframed}
	if back {
		slices.Reverse(stages)
	}
	base, err := baseIn(snap, l.ks)
	if err != nil {
		l.store.CloseSnapshot(snap)
		return fmt.Errorf("entries of volume %v: %w", l.volume, err)
	}
	walk := &entryWalk{l: l, base: base, db: snap, self: self, first: first, from: from, back: back, fn: fn}
	for _, s := range stages {
		if err == nil && (s == from.Stage || s > from.Stage != back) {
			err = walk.stage(s)
		}
	}
	if errors.Is(err, errStop) {
		err = nil
	}
	l.store.CloseSnapshot(snap)
	if err != nil {
		return fmt.Errorf("entries of volume %v: %w", l.volume, err)
	}
	return nil
}

// An entryWalk goes through the database's records of one stage after the other, in either direction.
type entryWalk struct {
	l     *Log
	db    pebble.Reader
	self  Author   // of the unframed events
	base  Index    // what was committed up to it lacks its frames
	first LocalSeq // of them
	from  Position
	back  bool
	fn    func(Entry) bool
}

// key returns the record in which the walk begins, if it begins in stage s.
func (w *entryWalk) key(s Stage) []byte {
	p := w.from
	switch s {
	case StageCommitted:
		return w.l.ks.committed(p.Index, p.Place)
	case StageTentative:
		return w.l.ks.tentative(p.Depth, p.Feed, p.Hash)
	}
	return w.l.ks.local(kindUnframed, p.Local)
}

func (w *entryWalk) stage(s Stage) error {
	prefix := w.l.ks.kind([]byte{kindCommitted, kindTentative, kindUnframed}[s])
	o := &pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)}
	if s == StageUnframed {
		o.LowerBound = w.l.ks.local(kindUnframed, w.first) // below it are the remains of what was framed
	}
	if s == w.from.Stage && w.back {
		o.UpperBound = append(w.key(s), 0)
	} else if key := w.key(s); s == w.from.Stage && bytes.Compare(key, o.LowerBound) > 0 {
		o.LowerBound = key
	}
	if bytes.Compare(o.LowerBound, o.UpperBound) >= 0 {
		return nil
	}
	it, err := w.db.NewIter(o)
	if err != nil {
		return err
	}
	first, next := it.First, it.Next
	if w.back {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok && err == nil; ok = next() {
		var val []byte
		if val, err = it.ValueAndErr(); err == nil {
			err = w.record(s, it.Key()[len(prefix):], val)
		}
	}
	return errors.Join(err, it.Close())
}

// record shows the events of one record.
func (w *entryWalk) record(s Stage, key, val []byte) error {
	switch s {
	case StageUnframed:
		n := localSeqOf(key)
		e, held, err := decodeEventRecord(bytes.Clone(val))
		if err != nil {
			return err
		}
		return w.show(Entry{Position: Position{Stage: s, Local: n}, Author: w.self, Held: held, Event: e})
	case StageTentative:
		h := hashOf(key)
		return w.frame(h, Position{
			Stage: s, Depth: binary.BigEndian.Uint64(key), Feed: FeedID(key[8:24]), Hash: h,
		})
	}
	return w.frame(FrameHash(val), Position{
		Stage: s, Index: Index(binary.BigEndian.Uint64(key)), Place: binary.BigEndian.Uint32(key[8:]),
	})
}

// frame shows the events of one frame.
func (w *entryWalk) frame(h FrameHash, p Position) error {
	m, ok, err := w.l.meta(h)
	if err == nil && !ok {
		err = ErrNotHere
	}
	var f *Frame
	if err == nil {
		f, err = w.l.frame(w.db, h, m)
	}
	if errors.Is(err, ErrNotHere) && p.Stage == StageCommitted && p.Index <= w.base {
		return nil
	}
	if err != nil {
		return err
	}
	es, err := w.l.openFrame(f)
	if errors.Is(err, identity.ErrNoKey) {
		return err
	}
	// A frame that does not open otherwise has no events, here as in the state.
	feed := f.Feed()
	author := Author{feed.ID(), feed.Device}
	for i := range es {
		if w.back {
			i = len(es) - 1 - i
		}
		p.Event = uint32(i) + 1
		err := w.show(Entry{Position: p, Author: author, Seq: f.First + Seq(i), Frame: h, Event: es[i]})
		if err != nil {
			return err
		}
	}
	return nil
}

// show passes e on, unless it is at the position from which the walk begins, or on its wrong side.
func (w *entryWalk) show(e Entry) error {
	d := e.Position.Compare(w.from)
	if w.back && d >= 0 || !w.back && d <= 0 {
		return nil
	}
	if !w.fn(e) {
		return errStop
	}
	return nil
}
