package fs

import (
	"math"
	"slices"

	"github.com/rhizome-fs/rhizome/ipld"
)

// extents is a set of byte ranges: sorted, not empty, neither overlapping nor touching.
type extents []ipld.Range

// valid reports whether it is a set: ranges of some bytes each, ascending, none in another. One that was read may be damaged.
func (e extents) valid() bool {
	end := int64(0)
	for _, r := range e {
		if r.Off < end || r.Len <= 0 || r.Off > math.MaxInt64-r.Len {
			return false
		}
		end = r.Off + r.Len
	}
	return true
}

// add puts [off, off+n) into the set, and returns how many of these bytes were not in it.
func (e *extents) add(off, n int64) (grown int64) {
	if n <= 0 {
		return 0
	}
	end := off + n
	s := *e
	// The common case: behind or at the end of the last one.
	if k := len(s); k > 0 && off >= s[k-1].Off {
		last := &s[k-1]
		if off <= last.Off+last.Len {
			was := last.Len
			last.Len = max(last.Len, end-last.Off)
			return last.Len - was
		}
		*e = append(s, ipld.Range{Off: off, Len: n})
		return n
	}
	i, _ := slices.BinarySearchFunc(s, off, func(r ipld.Range, off int64) int {
		if r.Off+r.Len < off {
			return -1
		}
		return 1
	})
	j := i
	for j < len(s) && s[j].Off <= end {
		off = min(off, s[j].Off)
		end = max(end, s[j].Off+s[j].Len)
		grown -= s[j].Len
		j++
	}
	*e = slices.Replace(s, i, j, ipld.Range{Off: off, Len: end - off})
	return grown + end - off
}

// remove takes [off, off+n) out of the set, and returns how many of these bytes were in it.
func (e *extents) remove(off, n int64) (shrunk int64) {
	if n <= 0 || len(*e) == 0 {
		return 0
	}
	end := off + n
	s := *e
	i, _ := slices.BinarySearchFunc(s, off, func(r ipld.Range, off int64) int {
		if r.Off+r.Len <= off {
			return -1
		}
		return 1
	})
	var rest []ipld.Range // of those that the range cuts
	j := i
	for ; j < len(s) && s[j].Off < end; j++ {
		r := s[j]
		shrunk += r.Len
		if r.Off < off {
			rest = append(rest, ipld.Range{Off: r.Off, Len: off - r.Off})
			shrunk -= off - r.Off
		}
		if over := r.Off + r.Len - end; over > 0 {
			rest = append(rest, ipld.Range{Off: end, Len: over})
			shrunk -= over
		}
	}
	if j > i {
		*e = slices.Replace(s, i, j, rest...)
	}
	return shrunk
}

// cut removes everything from size on, and returns how many bytes that were.
func (e *extents) cut(size int64) (shrunk int64) {
	s := *e
	for len(s) > 0 {
		last := &s[len(s)-1]
		if last.Off+last.Len <= size {
			break
		}
		if last.Off < size {
			shrunk += last.Off + last.Len - size
			last.Len = size - last.Off
			break
		}
		shrunk += last.Len
		s = s[:len(s)-1]
	}
	*e = s
	return shrunk
}

// run says whether off is in the set, and where that changes, end at the latest.
func (e extents) run(off, end int64) (int64, bool) {
	i, _ := slices.BinarySearchFunc(e, off, func(r ipld.Range, off int64) int {
		if r.Off+r.Len <= off {
			return -1
		}
		return 1
	})
	switch {
	case i == len(e):
		return end, false
	case e[i].Off > off:
		return min(end, e[i].Off), false
	}
	return min(end, e[i].Off+e[i].Len), true
}

// total is the number of bytes in the set.
func (e extents) total() int64 {
	var n int64
	for _, r := range e {
		n += r.Len
	}
	return n
}

// runs splits [off, off+n) at the borders of the set and calls fn for each part in order.
func (e extents) runs(off, n int64, fn func(off, n int64, in bool) error) error {
	end := off + n
	i, _ := slices.BinarySearchFunc(e, off, func(r ipld.Range, off int64) int {
		if r.Off+r.Len <= off {
			return -1
		}
		return 1
	})
	for off < end {
		if i == len(e) || e[i].Off >= end {
			return fn(off, end-off, false)
		}
		if e[i].Off > off {
			if err := fn(off, e[i].Off-off, false); err != nil {
				return err
			}
			off = e[i].Off
		}
		stop := min(end, e[i].Off+e[i].Len)
		if err := fn(off, stop-off, true); err != nil {
			return err
		}
		off = stop
		i++
	}
	return nil
}
