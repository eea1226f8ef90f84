package eventlog

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
)

// A base is the state that an overlay lies on.
type base interface {
	// get returns a value that may be kept.
	get(key []byte) (val []byte, ok bool, err error)
	scan(prefix, from []byte, fn func(key, val []byte) bool) error
	// getAll calls fn for the values of several keys, which are in order.
	getAll(keys [][]byte, fn func(i int, val []byte, ok bool)) error
}

// A cell is a key that was read or changed through an overlay.
type cell struct {
	hash        uint64
	key         []byte
	orig, val   []byte // in the base, and now. Never changed in place: whoever was given one may keep it
	origOK, ok  bool
	dirty       bool
	unknown     bool   // orig is not what the base has, or will have
	out         bool   // it is in a batch as it is now
	unit        uint32 // the last unit that touched the cell, and what it did:
	read, wrote bool
	author      uint16 // who changed it, in a rebase: see past
	before      []byte
	beforeOK    bool
}

// An overlay is a state that nobody else sees: a base, and changes to it in memory. Between beginUnit
// and endUnit it also notes what is touched. An error of the base is kept in err, and the overlay is
// then good for nothing but to be thrown away.
type overlay struct {
	base base
	err  error

	pages   [][]cell // of pageCells each: a cell stays where it is
	cells   int32    // how many there are
	table   []int32  // open addressing by hash: index of a cell + 1; its length is a power of two
	arena   []byte   // the cells' keys
	sorted  []int32  // dirty cells in the order of their keys
	pending []int32  // dirty cells that are not in sorted yet
	loose   []int32  // INVARIANT: the dirty cells that are in no batch as they are now

	unread bool // the next new cell's key is known to be absent

	unit    uint32 // 0 while no unit has begun
	inUnit  bool
	touched []int32
	scans   []scanMark
}

const (
	minTable  = 64
	pageCells = 64
	maxIdle   = 1 << 10 // cells that an overlay keeps room for
)

func newOverlay(b base) *overlay { return &overlay{base: b, table: make([]int32, minTable)} }

func (o *overlay) cell(i int32) *cell { return &o.pages[i/pageCells][i%pageCells] }

// add makes a cell.
func (o *overlay) add(c cell) (*cell, int32) {
	i := o.cells
	if int(i/pageCells) == len(o.pages) {
		o.pages = append(o.pages, make([]cell, pageCells))
	}
	o.cells++
	at := o.cell(i)
	*at = c
	return at, i
}

// reset empties o, which may then be used on another base.
func (o *overlay) reset(b base) {
	if o.cells > maxIdle {
		*o = *newOverlay(b)
		return
	}
	for i := range o.cells {
		*o.cell(i) = cell{}
	}
	clear(o.table)
	o.base, o.err = b, nil
	o.cells, o.arena = 0, o.arena[:0]
	o.sorted, o.pending, o.loose = o.sorted[:0], o.pending[:0], o.loose[:0]
	o.touched, o.scans = o.touched[:0], o.scans[:0]
	o.unit, o.inUnit = 0, false
}

// revert takes every change back; what was read from the base stays.
func (o *overlay) revert() {
	for i := range o.cells {
		c := o.cell(i)
		c.val, c.ok, c.dirty, c.unit = c.orig, c.origOK, false, 0
	}
	o.sorted, o.pending, o.loose = o.sorted[:0], o.pending[:0], o.loose[:0]
	o.touched, o.scans = o.touched[:0], o.scans[:0]
	o.unit, o.inUnit = 0, false
}

// at returns key's cell, which is read from the base if it is new.
func (o *overlay) at(key []byte) (*cell, int32) {
	h, slot, i := o.place(key)
	if i >= 0 {
		return o.cell(i), i
	}
	var val []byte
	var ok bool
	if !o.unread {
		var err error
		if val, ok, err = o.base.get(key); err != nil && o.err == nil {
			o.err = err
		}
	}
	return o.insert(h, slot, key, val, ok)
}

// place returns where key's cell is or, if i is below 0, in which slot of the table it belongs.
func (o *overlay) place(key []byte) (hash, slot uint64, i int32) {
	hash = keyHash(key)
	mask := uint64(len(o.table) - 1)
	for slot = hash & mask; o.table[slot] != 0; slot = (slot + 1) & mask {
		i := o.table[slot] - 1
		if c := o.cell(i); c.hash == hash && bytes.Equal(c.key, key) {
			return hash, slot, i
		}
	}
	return hash, slot, -1
}

// insert makes the cell of a key that the base has val behind.
func (o *overlay) insert(hash, slot uint64, key, val []byte, ok bool) (*cell, int32) {
	c, i := o.add(cell{hash: hash, key: o.keepKey(key), orig: val, val: val, origOK: ok, ok: ok})
	o.table[slot] = i + 1
	if 2*int(o.cells) > len(o.table) {
		o.grow()
	}
	return c, i
}

// read reads the keys that us changed from the base, all at once: one after the other each costs a search.
func (o *overlay) read(us []*undo) {
	var keys [][]byte
	for _, u := range us {
		for _, im := range u.images {
			if _, _, i := o.place(im.key); i < 0 {
				keys = append(keys, im.key)
			}
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	err := o.base.getAll(keys, func(i int, val []byte, ok bool) {
		h, slot, _ := o.place(keys[i])
		o.insert(h, slot, keys[i], val, ok)
	})
	if err != nil && o.err == nil {
		o.err = err
	}
}

// Absent implements Foreteller: the base has nothing behind key, which is then not looked for.
func (o *overlay) Absent(key []byte) {
	o.unread = true
	c, _ := o.at(key)
	o.unread = false
	if invariants && !c.dirty {
		if val, ok, err := o.base.get(key); err == nil && ok {
			panic(fmt.Sprintf("eventlog: key %x was said to be absent, and is %x", key, val))
		}
	}
}

func (o *overlay) keepKey(key []byte) []byte {
	if cap(o.arena)-len(o.arena) < len(key) {
		o.arena = make([]byte, 0, max(4096, len(key)))
	}
	n := len(o.arena)
	o.arena = append(o.arena, key...)
	return o.arena[n:len(o.arena):len(o.arena)]
}

func (o *overlay) grow() {
	o.table = make([]int32, 2*len(o.table))
	mask := uint64(len(o.table) - 1)
	for i := range o.cells {
		slot := o.cell(i).hash & mask
		for o.table[slot] != 0 {
			slot = (slot + 1) & mask
		}
		o.table[slot] = int32(i) + 1
	}
}

func (o *overlay) beginUnit() {
	o.unit++
	o.inUnit = true
	o.touched, o.scans = o.touched[:0], o.scans[:0]
}

// endUnit fills u, which shares the overlay's memory, with what takes the unit back.
func (o *overlay) endUnit(u *undo) {
	o.inUnit = false
	u.images, u.reads = u.images[:0], u.reads[:0]
	u.scans = append(u.scans[:0], o.scans...)
	for _, i := range o.touched {
		c := o.cell(i)
		// A key that was set to what it was is a read: who changes it must still come before or after.
		if c.wrote && (c.ok != c.beforeOK || !bytes.Equal(c.val, c.before)) {
			u.images = append(u.images, image{c.key, c.before, c.beforeOK})
		} else {
			u.reads = append(u.reads, c.hash)
		}
	}
}

// touch notes that the unit does something with c.
func (o *overlay) touch(c *cell, i int32) {
	if c.unit != o.unit {
		c.unit, c.read, c.wrote = o.unit, false, false
		o.touched = append(o.touched, i)
	}
}

// Get implements Reader.
func (o *overlay) Get(key []byte) ([]byte, bool) {
	c, i := o.at(key)
	if o.inUnit {
		o.touch(c, i)
		c.read = true
	}
	return c.val, c.ok
}

// Set implements State. It copies key and val.
func (o *overlay) Set(key, val []byte) { o.put(key, append(make([]byte, 0, len(val)), val...), true) }

// Delete implements State.
func (o *overlay) Delete(key []byte) { o.put(key, nil, false) }

// overwrite is Set, or Delete if not ok, of a key whose value in the base does not matter: it is not read, and no unit
// takes the change back.
func (o *overlay) overwrite(key, val []byte, ok bool) {
	o.unread = true
	c, _ := o.at(key)
	o.unread = false
	c.unknown = true
	o.put(key, val, ok)
}

func (o *overlay) put(key, val []byte, ok bool) {
	c, i := o.at(key)
	if o.inUnit {
		o.touch(c, i)
		if !c.wrote {
			c.wrote, c.before, c.beforeOK = true, c.val, c.ok
		}
	}
	c.val, c.ok = val, ok
	switch {
	case !c.dirty:
		c.dirty = true
		o.pending = append(o.pending, i)
		o.loose = append(o.loose, i)
	case c.out:
		c.out, c.unknown = false, true
		o.loose = append(o.loose, i)
	}
}

// takeBack undoes u. Whatever came after u and touched the same keys must have been undone before.
func (o *overlay) takeBack(u *undo) {
	for _, im := range u.images {
		o.put(im.key, im.val, im.ok)
	}
}

// Scan implements Reader. It sees the state as it is when Scan is called.
func (o *overlay) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	if o.inUnit {
		m := scanMark{uint16(len(prefix)), keyHash(prefix)}
		if !slices.Contains(o.scans, m) {
			o.scans = append(o.scans, m)
		}
	}
	mine := o.dirtyIn(prefix, from)
	stopped := false
	emit := func(k, v []byte) bool {
		stopped = !fn(k, v)
		return !stopped
	}
	err := o.base.scan(prefix, from, func(key, val []byte) bool {
		for len(mine) > 0 {
			d := bytes.Compare(mine[0].key, key)
			if d > 0 {
				break
			}
			im := mine[0]
			mine = mine[1:]
			if im.ok && !emit(im.key, im.val) {
				return false
			}
			if d == 0 {
				return true
			}
		}
		return emit(key, val)
	})
	if err != nil && o.err == nil {
		o.err = err
	}
	for _, im := range mine {
		if stopped {
			return
		}
		if im.ok {
			emit(im.key, im.val)
		}
	}
}

// dirtyIn returns the changed keys that a scan meets, in order.
func (o *overlay) dirtyIn(prefix, from []byte) []image {
	o.sortDirty()
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	first := sort.Search(len(o.sorted), func(i int) bool { return bytes.Compare(o.cell(o.sorted[i]).key, from) >= 0 })
	var in []image
	for _, i := range o.sorted[first:] {
		c := o.cell(i)
		if !bytes.HasPrefix(c.key, prefix) {
			break
		}
		in = append(in, image{c.key, c.val, c.ok})
	}
	return in
}

func (o *overlay) sortDirty() {
	if len(o.pending) > 16 {
		o.sorted = append(o.sorted, o.pending...)
		slices.SortFunc(o.sorted, func(a, b int32) int { return bytes.Compare(o.cell(a).key, o.cell(b).key) })
	} else {
		for _, i := range o.pending {
			key := o.cell(i).key
			at := sort.Search(len(o.sorted), func(j int) bool { return bytes.Compare(o.cell(o.sorted[j]).key, key) >= 0 })
			o.sorted = slices.Insert(o.sorted, at, i)
		}
	}
	o.pending = o.pending[:0]
}

// renew reads key again from the base, which has changed since, if o has read it and not changed it.
func (o *overlay) renew(key []byte) {
	c := o.find(key)
	if c == nil || c.dirty {
		return
	}
	val, ok, err := o.base.get(key)
	if err != nil && o.err == nil {
		o.err = err
	}
	c.orig, c.val, c.origOK, c.ok = val, val, ok, ok
}

// find returns key's cell, or nil if it was not read or changed yet.
func (o *overlay) find(key []byte) *cell {
	if _, _, i := o.place(key); i >= 0 {
		return o.cell(i)
	}
	return nil
}

// takeBackBelow undoes in the base what o does not see: u is the undo of units that were applied to the base last,
// after o had been begun.
func (o *overlay) takeBackBelow(u *undo) {
	for _, im := range u.images {
		o.unread = true // what the base has does not matter
		c, _ := o.at(im.key)
		o.unread = false
		c.unknown = true
		if !c.dirty {
			o.put(im.key, im.val, im.ok)
		}
	}
}

// changes calls fn for every key whose value is not what the base has.
func (o *overlay) changes(fn func(c *cell)) {
	for i := range o.cells {
		if c := o.cell(i); c.changed() {
			fn(c)
		}
	}
}

func (c *cell) changed() bool {
	return c.dirty && (c.unknown || c.ok != c.origOK || !bytes.Equal(c.val, c.orig))
}

// remember calls fn for the changes that are in no batch yet, and that history is to know.
func (o *overlay) remember(r Reducer, fn func(c *cell)) {
	for _, i := range o.loose {
		if c := o.cell(i); c.changed() && !c.unknown && r.Remembers(c.key, c.origOK) {
			fn(c)
		}
	}
}

// putOut calls fn for the changes that are in no batch as they are now, and takes it that they are in one then.
func (o *overlay) putOut(fn func(c *cell)) {
	kept := o.loose[:0]
	for _, i := range o.loose {
		c := o.cell(i)
		if !c.changed() { // it may be, when the base has changed
			kept = append(kept, i)
			continue
		}
		c.out = true
		fn(c)
	}
	o.loose = kept
}

// sortLoose has putOut go through the changes in the order of their keys: the database takes them in faster.
func (o *overlay) sortLoose() {
	slices.SortFunc(o.loose, func(a, b int32) int { return bytes.Compare(o.cell(a).key, o.cell(b).key) })
}
