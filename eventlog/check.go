package eventlog

import (
	"bytes"
	"fmt"
)

// checkCoalesced panics unless coalesced events, applied where the events of t were, lead to the same state, and touch
// nothing that those did not touch.
func (l *Log) checkCoalesced(t *tail, es []Event) {
	l.mu.RLock()
	snap, next, self := l.db().NewSnapshot(), l.next, l.self
	l.mu.RUnlock()
	defer l.store.CloseSnapshot(snap)
	plain, short := newOverlay(newDBState(snap, l.txState.prefix)), newOverlay(newDBState(snap, l.txState.prefix))
	for n := next - 1; n >= t.first; n-- {
		u, err := l.undoOf(snap, l.ks.local(kindUndo, n))
		if err != nil {
			panic(err)
		}
		plain.takeBack(u)
		short.takeBack(u)
	}
	var a, b undo
	apply := func(o *overlay, es []Event, u *undo) {
		o.beginUnit()
		for _, e := range es {
			l.reducer.Apply(o, self, e)
		}
		o.endUnit(u)
	}
	apply(plain, t.events, &a)
	apply(short, es, &b)
	mustEqual(plain, short)
	mustEqual(short, plain)
	merged := mergeUndos(t.undos)
	known := make(map[token]bool)
	fp := &footprints{}
	fp.learn(merged)
	fp.writes(merged, func(t token) { known[t] = true })
	fp.reads(merged, func(t token) { known[t] = true })
	check := func(t token) {
		if !known[t] {
			panic("eventlog: coalesced events touch what the events did not")
		}
	}
	fp.learn(&b)
	fp.reads(&b, check)
}

// mustEqual panics if a key that a changed has another value in b.
func mustEqual(a, b *overlay) {
	for i := range a.cells {
		c := a.cell(i)
		other, _ := b.at(c.key)
		if c.ok != other.ok || !bytes.Equal(c.val, other.val) {
			panic(fmt.Sprintf("eventlog: key %x is %x one way and %x the other", c.key, c.val, other.val))
		}
	}
}

// checkReordered panics unless the state in o is what the units of old, undone all, and those of new, applied all, lead to.
func checkReordered(o *overlay, r Reducer, old, new []*unit) {
	whole := newOverlay(o.base)
	for i := len(old) - 1; i >= 0; i-- {
		whole.takeBack(old[i].before)
	}
	for _, u := range new {
		again := *u
		if err := again.apply(whole, r); err != nil {
			panic(err)
		}
	}
	mustEqual(o, whole)
	mustEqual(whole, o)
}
