package tree

import (
	"bytes"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// Coalesce returns fewer events that leave the same state to the byte, on any state that knows none of the ids that es
// draw. On other states (a store was copied, and both copies framed the same events) it drops no version that a close ended
// either. What becomes one event is what a person sees as one change:
//   - a new file with its content and attributes, a new directory with its attributes;
//   - a directory's attributes that are set after it was filled: with the last thing made in it, as a second op;
//   - successive changes of one file's attributes;
//   - an edit's quiet versions, which its next version drops, with that one;
//   - a file that goes as soon as it was made, and had no content that a close ended.
//
// An op moves only ahead of ops that touch nothing of what it touches, whatever the state; fold.go says what
// two ops become.
func (*Reducer) Coalesce(es []eventlog.Event) []eventlog.Event {
	w := window{made: map[FileID]made{}, last: map[FileID]int{}, dirs: map[string]bool{}}
	for _, e := range es {
		w.add(e)
	}
	out := make([]eventlog.Event, len(w.slots))
	for k, s := range w.slots {
		out[k] = s.e
		if s.changed {
			out[k].Body = Encode(s.ops...)
		}
	}
	return out
}

// A window is the events so far.
//
// What an op touches is known from the ids that it names, with one exception: a new directory can turn out to be
// one that is there already under that name, and so can all directories below it. So ops on new directories move
// only within a run: events that take no name away from anything and that name, besides new files, one directory
// that is not new, in which all of these were made. A directory that was there already is then below
// that one and so not it, and two new ones with different names are two.
type window struct {
	slots []slot
	made  map[FileID]made
	last  map[FileID]int  // the last slot that names a file
	dirs  map[string]bool // names of directories made since taken
	taken int             // the slots from here on take no name away
	run   int             // the slots from here on are a run...
	scope FileID          // ...in this directory
}

// A slot is an event that goes out.
type slot struct {
	e       eventlog.Event
	ops     []Op
	changed bool
}

// made is a file that the window makes.
type made struct {
	slot int
	kind Kind
	root FileID // the directory that is not new in which it was made
}

func (w *window) add(e eventlog.Event) {
	ops, err := Decode(e.Body)
	if err != nil {
		// Nothing here knows what it means: nothing moves ahead of it.
		*w = window{slots: w.slots, made: map[FileID]made{}, last: map[FileID]int{}, dirs: map[string]bool{}}
		w.slots = append(w.slots, slot{e: e})
		w.taken, w.run = len(w.slots), len(w.slots)
		return
	}
	if len(ops) == 1 && w.fold(ops[0]) {
		return
	}
	k := len(w.slots)
	w.slots = append(w.slots, slot{e: e, ops: ops})
	for _, op := range ops {
		w.note(op, k, len(ops) == 1)
	}
}

// note keeps what the op of a new slot names.
func (w *window) note(op Op, k int, alone bool) {
	if c, ok := op.(Create); ok && alone {
		w.noteMade(c, k)
	}
	scope, one := FileID{}, true
	op.visit(func(id FileID) {
		w.last[id] = k
		root := id
		if m, ok := w.new(id); ok {
			root = m.root
		}
		one = one && (scope == FileID{} || scope == root)
		scope = root
	})
	switch {
	case !alone || takes(op):
		clear(w.dirs)
		w.taken, w.run = k+1, k+1
	case !one:
		w.run = k + 1
	case scope != w.scope || w.run > k:
		w.run, w.scope = k, scope
	}
}

func (w *window) noteMade(c Create, k int) {
	root := c.Parent
	if p, ok := w.new(c.Parent); ok {
		root = p.root
	}
	if c.Kind == Dir {
		name := string(c.Parent[:]) + string(c.Name)
		if w.dirs[name] {
			w.taken = k
		}
		w.dirs[name] = true
	}
	w.made[c.ID] = made{slot: k, kind: c.Kind, root: root}
}

// new returns a file made since a name was last taken away.
func (w *window) new(id FileID) (made, bool) {
	m, ok := w.made[id]
	return m, ok && m.slot >= w.taken
}

// takes reports whether an op may take a name away from a file, or make one file of two.
func takes(op Op) bool {
	switch op.(type) {
	case Create, Link, SetContent, SetAttr, SetXattr:
		return false
	}
	return true
}

// fold makes op part of an earlier slot, if it can.
func (w *window) fold(op Op) bool {
	id, ok := subject(op)
	if !ok || len(w.slots) == 0 {
		return false
	}
	at, named := w.last[id]
	m, isNew := w.made[id]
	if !isNew || !named {
		// What else names a file that was there before is not to be known: only what comes right behind.
		return w.foldInto(len(w.slots)-1, op)
	}
	if _, gone := op.(Unlink); gone && at < len(w.slots)-1 {
		return false
	}
	if m.kind.holds() {
		if _, fresh := w.new(id); at < len(w.slots)-1 && !(fresh && at+1 >= w.run && w.scope == m.root) {
			return false
		}
		return w.foldInto(at, op) || m.kind == Dir && w.ride(at, op)
	}
	return w.foldInto(at, op)
}

// subject is the file that op changes and the only one that it touches; or that it removes.
func subject(op Op) (FileID, bool) {
	switch o := op.(type) {
	case SetContent:
		return o.ID, true
	case SetAttr:
		return o.ID, true
	case SetXattr:
		return o.ID, true
	case Unlink:
		return o.ID, true
	}
	return FileID{}, false
}

// foldInto makes op one with the ops of a slot that name its file.
func (w *window) foldInto(at int, op Op) bool {
	s := &w.slots[at]
	id, _ := subject(op)
	for k := len(s.ops) - 1; k >= 0; k-- {
		if !names(s.ops[k], id) {
			continue
		}
		if u, ok := op.(Unlink); ok {
			if len(s.ops) > 1 || !fleeting(s.ops[0], u) {
				return false
			}
			s.ops, s.changed = append(s.ops, u), true
			w.note(u, at, false)
			return true
		}
		folded, ok := fold(s.ops[k], op)
		if ok {
			s.ops[k], s.changed = folded, true
		}
		return ok
	}
	return false
}

// ride lets a directory's attributes go with the last event that made something in it.
func (w *window) ride(at int, op Op) bool {
	s := &w.slots[at]
	switch s.ops[0].(type) {
	case Create, Link:
	default:
		return false
	}
	if _, ok := op.(SetContent); ok || len(s.ops) > 8 {
		return false
	}
	if _, ok := op.(Unlink); ok {
		return false
	}
	s.ops, s.changed = append(s.ops, op), true
	return true
}

func names(op Op, id FileID) (found bool) {
	op.visit(func(v FileID) { found = found || v == id })
	return found
}

// fleeting reports whether u removes what op made, and op made nothing that a close ended.
func fleeting(op Op, u Unlink) bool {
	c, ok := op.(Create)
	return ok && c.ID == u.ID && (c.Version == nil || c.Version.Quiet || c.Version.Size == 0)
}

func equalPaths(a, b Path) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if a[k].Dir != b[k].Dir || !bytes.Equal(a[k].Name, b[k].Name) {
			return false
		}
	}
	return true
}
