package eventlog

import "slices"

// A unit is what is undone and redone as a whole: a frame, or an unframed event of this device.
type unit struct {
	author Author
	hash   FrameHash // of a frame
	local  LocalSeq  // of an unframed event
	load   func() ([]Event, error)
	undo   *undo // of the order in which it was last applied; nil if it never was
	before *undo // of the old order
	is     int   // place in the new order
	redo   bool  // it is to be undone, if it was applied, and applied (again) in the new order

	committed bool // for the caller: nobody will take it back

	events []Event
	loaded bool
}

func (u *unit) apply(o *overlay, r Reducer) error {
	if !u.loaded {
		es, err := u.load()
		if err != nil {
			return err
		}
		u.events, u.loaded = es, true
	}
	o.beginUnit()
	for _, e := range u.events {
		r.Apply(o, u.author, e)
	}
	next := &undo{}
	if u.undo != nil {
		next.moment = u.undo.moment
	}
	u.undo = next
	o.endUnit(u.undo)
	return o.err
}

// maxRounds bounds the attempts to leave alone what is not touched. After them everything is done again.
const maxRounds = 4

// reorder changes the state on which the units of old were applied, one after the other, into the one on which those of
// new are. All of old are in new; units that are in new alone were not applied before, and have redo set. A unit that was applied
// and has redo set is done again too (its author changed). When reorder returns, redo says which units were (re)applied, and these have a new undo.
//
// What is left alone is what commutes: two units whose footprints don't touch (neither changed what the other read or changed) can be
// swapped, and neither they nor their before-images change. So the new order is reached if (1) of the units that are
// left alone, any two that touch keep their order, (2) whatever came after an undone unit and touches it is undone too, and
// (3) whatever comes after a unit that is done again, and touches it, is done again too. What a unit touches in its new
// place is known only when it was applied there; so (3) is established in rounds.
func reorder(o *overlay, r Reducer, old, new []*unit) error {
	for i, u := range new {
		u.is = i
	}
	fp := &footprints{}
	for _, u := range old {
		u.before = u.undo
		fp.learn(u.before)
	}
	fp.redoInverted(old)
	read := make([]bool, len(old)) // what they changed
	for round := 0; ; round++ {
		fp.redoAfterUndone(old)
		o.revert()
		var unread []*undo
		for i, u := range old {
			if u.redo && !read[i] {
				read[i], unread = true, append(unread, u.before)
			}
		}
		o.read(unread)
		for i := len(old) - 1; i >= 0; i-- {
			if old[i].redo {
				o.takeBack(old[i].before)
			}
		}
		for _, u := range new {
			if u.redo {
				if err := u.apply(o, r); err != nil {
					return err
				}
			}
		}
		if o.err != nil {
			return o.err
		}
		if !fp.redoTouched(old, new) {
			if invariants {
				checkReordered(o, r, old, new)
			}
			return nil
		}
		if round == maxRounds {
			for _, u := range old {
				u.redo = true
			}
		}
	}
}

// footprints answers which units touch each other. Keys and scanned prefixes become tokens: two units touch if one writes
// a token that the other reads, or both write a key's. A written key has a token for itself and one for each length of prefix that
// was scanned by anybody.
type footprints struct {
	lengths []uint16 // of the prefixes that anybody scanned
}

// learn notes the lengths of the prefixes that u scanned.
func (fp *footprints) learn(u *undo) {
	for _, s := range u.scans {
		if !slices.Contains(fp.lengths, s.length) {
			fp.lengths = append(fp.lengths, s.length)
		}
	}
}

// A token stands for a key, or for all keys with a prefix: the hash of either, of a prefix with its length mixed in. Its last
// bit says which. That two have the same by chance only makes units touch that don't.
type token uint64

func keyToken(hash uint64) token { return token(hash | 1) }

func prefixToken(s scanMark) token { return token((s.hash + uint64(s.length)*0x9e3779b97f4a7c15) &^ 1) }

func (t token) isKey() bool { return t&1 == 1 }

func (fp *footprints) writes(u *undo, fn func(t token)) {
	for _, im := range u.images {
		fn(keyToken(keyHash(im.key)))
		for _, n := range fp.lengths {
			if int(n) <= len(im.key) {
				fn(prefixToken(scanMark{n, keyHash(im.key[:n])}))
			}
		}
	}
}

func (fp *footprints) reads(u *undo, fn func(t token)) {
	for _, h := range u.reads {
		fn(keyToken(h))
	}
	for _, s := range u.scans {
		fn(prefixToken(s))
	}
}

// An access is one unit's reading or writing of a token.
type access struct {
	u     *unit
	write bool
}

// redoInverted sets redo where two units of the old order that touch stand the other way round in the new one.
func (fp *footprints) redoInverted(old []*unit) {
	if slices.IsSortedFunc(old, func(a, b *unit) int { return a.is - b.is }) {
		return
	}
	byToken := make(map[token][]access)
	for _, u := range old {
		fp.writes(u.before, func(t token) { byToken[t] = append(byToken[t], access{u, true}) })
		fp.reads(u.before, func(t token) { byToken[t] = append(byToken[t], access{u, false}) })
	}
	for t, as := range byToken {
		for _, a := range as[firstInverted(as, t.isKey()):] {
			a.u.redo = true
		}
	}
}

// firstInverted returns the first access that touches a later one which is to come before it; len(as) if there is none.
// Two writes touch if the token is a key.
func firstInverted(as []access, key bool) int {
	const never = int(^uint(0) >> 1)
	write, read := never, never // the earliest new places of the accesses behind
	first := len(as)
	for i := len(as) - 1; i >= 0; i-- {
		a := as[i]
		if a.u.is > write && (!a.write || key) || a.u.is > read && a.write {
			first = i
		}
		if a.write {
			write = min(write, a.u.is)
		} else {
			read = min(read, a.u.is)
		}
	}
	return first
}

// redoAfterUndone sets redo for every unit that was applied after one with redo and touches it.
func (fp *footprints) redoAfterUndone(old []*unit) {
	written, read := make(map[token]bool), make(map[token]bool)
	for _, u := range old {
		if !u.redo {
			fp.writes(u.before, func(t token) { u.redo = u.redo || read[t] || t.isKey() && written[t] })
			fp.reads(u.before, func(t token) { u.redo = u.redo || written[t] })
		}
		if u.redo {
			fp.writes(u.before, func(t token) { written[t] = true })
			fp.reads(u.before, func(t token) { read[t] = true })
		}
	}
}

// redoTouched sets redo for every unit that was left alone, and touches one which was applied in an earlier place. It reports whether
// another round is needed.
func (fp *footprints) redoTouched(old, new []*unit) bool {
	again := false
	for _, u := range new {
		if u.redo {
			fp.learn(u.undo)
		}
	}
	written, read := make(map[token]int), make(map[token]int) // the earliest new place
	note := func(m map[token]int, t token, is int) {
		if at, ok := m[t]; !ok || is < at {
			m[t] = is
		}
	}
	for _, u := range new {
		if u.redo {
			fp.writes(u.undo, func(t token) { note(written, t, u.is) })
			fp.reads(u.undo, func(t token) { note(read, t, u.is) })
		}
	}
	earlier := func(m map[token]int, t token, is int) bool {
		at, ok := m[t]
		return ok && at < is
	}
	for _, u := range old {
		if u.redo {
			continue
		}
		touched := false
		fp.writes(u.before, func(t token) {
			touched = touched || earlier(read, t, u.is) || t.isKey() && earlier(written, t, u.is)
		})
		fp.reads(u.before, func(t token) { touched = touched || earlier(written, t, u.is) })
		if touched {
			u.redo, again = true, true
		}
	}
	return again
}
