package fs

import (
	"io"
	"slices"

	"github.com/rhizome-fs/rhizome/ipld"
)

// layered is the bytes of an edit: in memory, or in a spill file over the version it began with.
// While its edit goes on only the buffer changes it; after that nobody does.
type layered struct {
	size int64
	mem  []byte // all the bytes, if spill is nil

	spill *spill
	have  extents // what the spill file holds
	// holes are zeros over the base. INVARIANT: they lie before below, and meet nothing of have.
	holes extents

	base  content // below the spill; nil: zeros
	below int64   // how much of base still shows: less than its size after a truncation
}

func (l *layered) Size() int64 { return l.size }

// ReadAt reads the bytes of the edit. Holes are zeros.
func (l *layered) ReadAt(b []byte, off int64) (int, error) {
	if off >= l.size {
		return 0, io.EOF
	}
	var short error
	if int64(len(b)) > l.size-off {
		b = b[:l.size-off]
		short = io.EOF
	}
	if l.spill == nil {
		if int64(len(l.mem)) < l.size {
			return 0, ErrDamaged // a record lost its bytes
		}
		return copy(b, l.mem[off:]), short
	}
	err := l.have.runs(off, int64(len(b)), func(o, n int64, in bool) error {
		if in {
			return l.spill.readAt(b[o-off:o-off+n], o)
		}
		return l.holes.runs(o, n, func(o, n int64, in bool) error {
			part := b[o-off : o-off+n]
			if in {
				clear(part)
				return nil
			}
			return readBelow(l.base, l.below, part, o)
		})
	})
	if err != nil {
		return 0, err
	}
	return len(b), short
}

// page is the unit in which holes are looked for in memory.
const page = 4 << 10

// extent says what is at off, as content.
func (l *layered) extent(off int64) (end int64, data bool, err error) {
	if l.spill == nil {
		if int64(len(l.mem)) < l.size {
			return 0, false, ErrDamaged
		}
		end = min(l.size, off/page*page+page)
		return end, !isZero(l.mem[off:end]), nil
	}
	if end, in := l.have.run(off, l.size); in {
		return end, true, nil
	} else if hole, in := l.holes.run(off, end); in {
		return hole, false, nil
	} else {
		return extentBelow(l.base, l.below, off, hole)
	}
}

// extentBelow is extent of base's first limit bytes and zeros behind them, up to end.
func extentBelow(base content, limit, off, end int64) (int64, bool, error) {
	if base == nil || off >= limit {
		return end, false, nil
	}
	e, data, err := base.extent(off)
	return min(e, limit, end), data, err
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// IsHole reports whether all of [off, off+n) is known to be zeros without reading it: sealing skips it then.
func (l *layered) IsHole(off, n int64) bool {
	for end := off + n; off < end; {
		next, data, err := l.extent(off)
		if err != nil || data {
			return false
		}
		off = next
	}
	return true
}

// isUnsynced reports whether some of the bytes may be gone after a power cut.
func (l *layered) isUnsynced() bool {
	if l.spill == nil {
		return false
	}
	if p, ok := l.base.(*pending); ok && l.below > 0 && p.unsynced() {
		return true
	}
	return l.spill.isUnsynced()
}

// dirty is what differs from base, for an update that cuts only what changed.
func (l *layered) dirty() []ipld.Range {
	d := slices.Concat(l.have, l.holes)
	if l.base != nil && l.below < l.base.Size() {
		d = append(d, ipld.Range{Off: l.below, Len: l.base.Size() - l.below})
	}
	return d
}

// punch makes [off, off+n) a hole. It is not for bytes in memory.
func (l *layered) punch(off, n int64) (dropped int64) {
	dropped = l.have.remove(off, n)
	l.holes.add(off, min(n, l.below-off))
	return dropped
}

// sparse counts the bytes in holes; base has baseHoles. What it costs depends on what was changed, not on the size. It is
// right to a few chunks for each change of content that was sealed since: its holes are then those between chunks.
func (l *layered) sparse(baseHoles int64) (int64, error) {
	if l.spill == nil {
		return 0, nil
	}
	gone := slices.Concat(l.have, l.holes) // of the base
	holes := l.holes.total() + max(0, l.size-l.below)
	for _, r := range l.have {
		holes -= max(0, min(r.Len, r.Off+r.Len-l.below))
	}
	if baseHoles == 0 || l.base == nil {
		return holes, nil
	}
	if rest := l.base.Size() - l.below; rest > 0 {
		gone = append(gone, ipld.Range{Off: l.below, Len: rest})
	}
	for _, r := range gone {
		n, err := holesIn(l.base, r.Off, min(r.Off+r.Len, l.base.Size()))
		if err != nil {
			return 0, err
		}
		baseHoles -= n
	}
	return min(l.size, holes+max(0, baseHoles)), nil
}

// holesIn counts the bytes of holes in [off, end).
func holesIn(c content, off, end int64) (n int64, err error) {
	for off < end {
		next, data, err := c.extent(off)
		if err != nil {
			return 0, err
		}
		next = min(next, end)
		if !data {
			n += next - off
		}
		off = next
	}
	return n, nil
}
