package eventlog

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// rebase computes the state in the new order on an overlay, from a snapshot of the database and without a lock,
// and swaps it in. What this device appends meanwhile comes last in any order: a chase catches up with it, the last steps of
// it under the lock.
func (c *change) rebase(old, new []*node) (changed [][]byte, err error) {
	l := c.l
	l.mu.Lock()
	snap := l.db().NewSnapshot()
	first, next := l.marks.First, l.next
	past := c.openPast()
	l.rebasing = true
	l.mu.Unlock()
	ch := &chase{c: c, o: newOverlay(newDBState(snap, l.ks.kind(kindState))), next: next, snaps: []*pebble.Snapshot{snap}}
	if countEvents(old)+countEvents(new)+uint64(next-first) >= manyEvents {
		l.brake.on(firstPause)
	}
	defer func() {
		l.brake.off()
		l.mu.Lock()
		l.rebasing, l.patches = false, nil
		l.mu.Unlock()
		ch.close()
	}()
	oldUnits, newUnits, err := c.units(snap, old, new, first, next)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := reorder(ch.o, l.reducer, oldUnits, newUnits); err != nil {
		return nil, err
	}
	l.measure(newUnits, time.Since(start))
	if err := ch.remember(past, newUnits); err != nil {
		return nil, err
	}
	ch.begin(newUnits)
	if err := ch.run(); err != nil { // it takes l.mu
		return nil, err
	}
	defer l.mu.Unlock()
	ch.putChanges()
	ch.note()
	if err := c.apply(); err != nil {
		return nil, err
	}
	l.cache.drop(ch.changed)
	return ch.changed, nil
}

// measuredEvents is how many events make a measurement.
const measuredEvents = 256

// measure notes what applying an event takes.
func (l *Log) measure(units []*unit, took time.Duration) {
	n := 0
	for _, u := range units {
		if u.redo {
			n += len(u.events)
		}
	}
	if n < measuredEvents {
		return
	}
	is := took.Nanoseconds() / int64(n)
	if was := l.replay.Load(); was > 0 {
		is = (was + is) / 2
	}
	l.replay.Store(max(is, 1))
}

func countEvents(nodes []*node) (n uint64) {
	for _, x := range nodes {
		n += x.header.Count
	}
	return n
}

// units returns the units of both orders, this device's unframed events last in each.
func (c *change) units(db pebble.Reader, old, new []*node, first, next LocalSeq) (was, is []*unit, err error) {
	l := c.l
	byHash := make(map[FrameHash]*unit, len(old))
	for _, n := range old {
		u := c.frameUnit(db, n)
		if u.undo, err = l.undoOf(db, l.ks.hash(kindFrameUndo, n.hash)); err != nil {
			return nil, nil, fmt.Errorf("undo of frame %x: %w", n.hash[:4], err)
		}
		byHash[n.hash] = u
		was = append(was, u)
	}
	for _, n := range new {
		u := byHash[n.hash]
		if u == nil {
			u = c.frameUnit(db, n)
			u.redo = true
		}
		is = append(is, u)
	}
	events, err := c.eventUnits(db, first, next)
	return append(was, events...), append(is, events...), err
}

func (c *change) frameUnit(db pebble.Reader, n *node) *unit {
	return &unit{
		author: n.author, hash: n.hash, committed: n.index != 0,
		load: func() ([]Event, error) { return c.eventsOf(db, n) },
	}
}

// eventUnits returns the units of this device's unframed events from first to the one before end.
func (c *change) eventUnits(db pebble.Reader, first, end LocalSeq) ([]*unit, error) {
	author := Author{c.newFeed.ID(), c.newFeed.Device}
	us := make([]*unit, 0, end-first)
	err := scanRange(db, c.l.ks.local(kindUndo, first), c.l.ks.local(kindUndo, end), func(key, val []byte) error {
		n := localSeqOf(key)
		u, err := decodeUndo(bytes.Clone(val))
		if err != nil || n != first+LocalSeq(len(us)) {
			return fmt.Errorf("undo of event %d: %w", n, cmp.Or(err, errMissing))
		}
		us = append(us, &unit{author: author, local: n, undo: u, redo: c.newFeed != c.l.feed, load: func() ([]Event, error) {
			e, _, err := c.l.unframed(db, n)
			return []Event{e}, err
		}})
		return nil
	})
	if err == nil && len(us) != int(end-first) {
		err = fmt.Errorf("undo of events %d to %d: %w", first, end-1, errMissing)
	}
	return us, err
}

func (l *Log) undoOf(db pebble.Reader, key []byte) (*undo, error) {
	rec, ok, err := dbGet(db, key)
	if err == nil && !ok {
		err = errMissing
	}
	if err != nil {
		return nil, err
	}
	return decodeUndo(rec)
}

// putUndo stores the undo record of a unit that was done again. What is committed needs none.
func (c *change) putUndo(u *unit) {
	switch {
	case !u.redo || u.committed:
	case u.local != 0:
		c.batch.Set(c.l.ks.local(kindUndo, u.local), u.undo.encode(nil), nil)
	default:
		c.batch.Set(c.l.ks.hash(kindFrameUndo, u.hash), u.undo.encode(nil), nil)
	}
}
