package eventlog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// rebase computes the state in the new order on an overlay, from a snapshot of the database and without a lock,
// and swaps it in. Events that this device appends meanwhile come last in any order: they are caught up with under the lock.
func (c *change) rebase(old, new []*node) (changed [][]byte, err error) {
	l := c.l
	l.mu.Lock()
	snap := l.db.NewSnapshot()
	first, next := l.marks.First, l.next
	l.rebasing, l.patched = true, make(map[string][]byte)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.rebasing, l.patched = false, nil
		l.mu.Unlock()
		err = errors.Join(err, snap.Close())
	}()

	o := newOverlay(newDBState(snap, l.ks.kind(kindState)))
	oldUnits, newUnits, err := c.units(snap, old, new, first, next)
	if err != nil {
		return nil, err
	}
	if err := reorder(o, l.reducer, oldUnits, newUnits); err != nil {
		return nil, err
	}
	for _, u := range newUnits {
		c.putUndo(u)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := c.catchUp(o, newUnits, next); err != nil {
		return nil, err
	}
	putChanges(c.batch, l.ks.kind(kindState), o)
	o.changes(func(cl *cell) { changed = append(changed, slices.Clone(cl.key)) })
	if err := c.apply(); err != nil {
		return nil, err
	}
	l.cache.drop(changed)
	return changed, nil
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
	for n := first; n < next; n++ {
		u, err := c.eventUnit(db, n)
		if err != nil {
			return nil, nil, err
		}
		was, is = append(was, u), append(is, u)
	}
	return was, is, nil
}

func (c *change) frameUnit(db pebble.Reader, n *node) *unit {
	return &unit{
		author: n.author, hash: n.hash, committed: n.index != 0,
		load: func() ([]Event, error) { return c.eventsOf(db, n) },
	}
}

func (c *change) eventUnit(db pebble.Reader, n LocalSeq) (*unit, error) {
	u := &unit{author: Author{c.newFeed.ID(), c.newFeed.Device}, local: n, redo: c.newFeed != c.l.feed}
	u.load = func() ([]Event, error) {
		e, _, err := c.l.unframed(db, n)
		return []Event{e}, err
	}
	var err error
	if u.undo, err = c.l.undoOf(db, c.l.ks.local(kindUndo, n)); err != nil {
		return nil, fmt.Errorf("undo of event %d: %w", n, err)
	}
	return u, nil
}

func (l *Log) undoOf(db pebble.Reader, key []byte) (*undo, error) {
	rec, ok, err := dbGet(db, key)
	if err == nil && !ok {
		err = errors.New("record is missing")
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

// catchUp brings into o what this device did since the snapshot: state keys that Amend set, and events from next on. l.mu is held.
func (c *change) catchUp(o *overlay, applied []*unit, next LocalSeq) error {
	l := c.l
	o.base = newDBState(l.db, l.ks.kind(kindState))
	for _, key := range sortedKeys(l.patched) {
		if c, _ := o.at([]byte(key)); c.dirty && c.ok {
			o.put([]byte(key), l.patched[key], true)
		}
		o.renew([]byte(key))
	}
	var late []*unit
	for n := next; n < l.next; n++ {
		u, err := c.eventUnit(l.db, n)
		if err != nil {
			return err
		}
		late = append(late, u)
	}
	kept := firstTouched(applied, late)
	for _, u := range late[:kept] {
		for _, im := range u.undo.images {
			o.renew(im.key)
		}
	}
	if kept == len(late) {
		return o.err
	}
	late = late[kept:]
	undos := make([]*undo, len(late))
	for i, u := range late {
		undos[i] = u.undo
	}
	o.takeBackBelow(mergeUndos(undos))
	for _, u := range late {
		u.redo = true
		if err := u.apply(o, l.reducer); err != nil {
			return err
		}
		c.putUndo(u)
	}
	return o.err
}

// firstTouched returns the place of the first late unit that must be done again, and all after it: the first that
// touches a unit which was undone or done again.
func firstTouched(applied, late []*unit) int {
	var undos []*undo
	for _, u := range applied {
		if u.redo {
			undos = append(undos, u.undo)
		}
		if u.redo && u.before != nil {
			undos = append(undos, u.before)
		}
	}
	done := len(undos)
	for _, u := range late {
		undos = append(undos, u.undo)
	}
	fp := &footprints{}
	for _, u := range undos {
		fp.learn(u)
	}
	written, read := make(map[token]bool), make(map[token]bool)
	for _, u := range undos[:done] {
		fp.writes(u, func(t token) { written[t] = true })
		fp.reads(u, func(t token) { read[t] = true })
	}
	for i, u := range late {
		touched := u.redo
		fp.writes(u.undo, func(t token) { touched = touched || read[t] || t.prefix < 0 && written[t] })
		fp.reads(u.undo, func(t token) { touched = touched || written[t] })
		if touched {
			return i
		}
	}
	return len(late)
}
