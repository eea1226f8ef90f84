package eventlog

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A chase brings into a rebase's overlay what this device did since the rebase began: the events that it appended, which
// come last in any order, and what Amend did to the state.
type chase struct {
	c       *change
	o       *overlay
	next    LocalSeq           // the first event that the overlay does not know
	touched touchSet           // by all that was undone or done again
	snaps   []*pebble.Snapshot // that the overlay was based on, one after the other
	changed [][]byte           // the keys of the state that are in the batch
}

const (
	// fewEvents is how many events can be caught up with under the lock.
	fewEvents = 64
	// firstPause is how long writers pause until the pace of the chase is known, if manyEvents or more are to be rebased: what they
	// do meanwhile is to be caught up with.
	firstPause = 200 * time.Microsecond
	manyEvents = 1024
	// maxLaps bounds how often a chase tries to come that near. Since writers are slowed down more with each lap, it takes
	// fewer; then whoever writes must wait.
	maxLaps = 32
)

func (ch *chase) close() {
	for _, s := range ch.snaps {
		ch.c.l.store.CloseSnapshot(s)
	}
}

// begin notes what the rebase did. Most of its batch is written now, without the lock.
func (ch *chase) begin(units []*unit) {
	for _, u := range units {
		if !u.redo {
			continue
		}
		ch.c.putUndo(u)
		ch.touched.add(u.undo)
		if u.before != nil {
			ch.touched.add(u.before)
		}
	}
	ch.o.sortLoose()
	ch.putChanges()
}

// putChanges adds to the batch what the overlay changed, if it was not added before.
func (ch *chase) putChanges() {
	for _, i := range ch.o.loose {
		if c := ch.o.cell(i); c.changed() {
			ch.changed = append(ch.changed, c.key)
		}
	}
	putChanges(ch.c.batch, ch.c.l.ks.kind(kindState), ch.o)
}

// run catches up. If it returns nil, l.mu is held and nothing is missing. Lap by lap it comes nearer, since writers are slowed
// down to less than its own pace: then what is left for the lock is little, however fast they were.
func (ch *chase) run() error {
	l := ch.c.l
	for lap := 0; ; lap++ {
		l.mu.Lock()
		behind := l.next - ch.next
		if lap == maxLaps || behind <= l.few {
			l.logger.Debug("rebase", "laps", lap, "behind", uint64(behind))
			if err := ch.lap(l.db(), l.next, l.patches); err != nil {
				l.mu.Unlock()
				return err
			}
			return nil
		}
		snap, end, patches := l.db().NewSnapshot(), l.next, l.patches
		l.patches = nil
		l.mu.Unlock()
		ch.snaps = append(ch.snaps, snap)
		start := time.Now()
		if err := ch.lap(snap, end, patches); err != nil {
			return err
		}
		l.brake.on(time.Since(start) / time.Duration(behind) << min(lap+2, 16))
	}
}

// lap catches up to event end, as db has it.
func (ch *chase) lap(db pebble.Reader, end LocalSeq, patches []func(State)) error {
	o, l := ch.o, ch.c.l
	o.base = newDBState(db, l.ks.kind(kindState))
	for _, patch := range patches {
		patch(latePatcher{o})
	}
	late, err := ch.c.eventUnits(db, ch.next, end)
	if err != nil {
		return err
	}
	ch.next = end
	alone := 0
	for alone < len(late) && !late[alone].redo && !ch.touched.touches(late[alone].undo) {
		for _, im := range late[alone].undo.images {
			o.renew(im.key)
		}
		alone++
	}
	if err := ch.again(late[alone:]); err != nil {
		return err
	}
	ch.c.correct(late[:alone], late[alone:])
	return nil
}

// A latePatcher is the State of a patch that Amend made while the rebase was under way. What the rebase has changed is
// patched as it is there now; the rest is patched in the base.
type latePatcher struct{ *overlay }

func (p latePatcher) Set(key, val []byte) {
	c := p.find(key)
	switch {
	case c == nil || !c.dirty:
		p.renew(key)
	case c.ok: // else the event has no outcome in the new order
		p.put(key, val, true)
	}
}

// again undoes and does again events that come last: one that touches what the rebase changed, and all behind it.
func (ch *chase) again(late []*unit) error {
	undos := make([]*undo, len(late))
	for i, u := range late {
		undos[i] = u.undo
	}
	ch.o.takeBackBelow(mergeUndos(undos))
	for _, u := range late {
		u.redo, u.before = true, u.undo
		if err := u.apply(ch.o, ch.c.l.reducer); err != nil {
			return err
		}
		ch.c.putUndo(u)
		ch.touched.add(u.before)
		ch.touched.add(u.undo)
	}
	return ch.o.err
}

// A touchSet is what some units touch. The zero touchSet is ready for use.
type touchSet struct {
	fp            footprints
	undos         []*undo
	written, read map[token]bool
}

func (s *touchSet) add(u *undo) {
	s.undos = append(s.undos, u)
	s.learn(u)
	s.note(u)
}

// learn makes sure that the tokens of written keys tell whether u scanned them.
func (s *touchSet) learn(u *undo) {
	known := len(s.fp.lengths)
	s.fp.learn(u)
	if s.written != nil && len(s.fp.lengths) == known {
		return
	}
	s.written, s.read = make(map[token]bool), make(map[token]bool)
	for _, u := range s.undos {
		s.note(u)
	}
}

func (s *touchSet) note(u *undo) {
	s.fp.writes(u, func(t token) { s.written[t] = true })
	s.fp.reads(u, func(t token) { s.read[t] = true })
}

// touches reports whether u touches a unit of the set.
func (s *touchSet) touches(u *undo) bool {
	s.learn(u)
	touched := false
	s.fp.writes(u, func(t token) { touched = touched || s.read[t] || t.isKey() && s.written[t] })
	s.fp.reads(u, func(t token) { touched = touched || s.written[t] })
	return touched
}
