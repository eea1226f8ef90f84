package fs

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The set agrees with one flag a byte, and keeps its form.
func TestExtentsAgreeWithFlags(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e extents
		var flags [200]bool
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			off := rapid.IntRange(0, 199).Draw(t, "off")
			n := rapid.IntRange(0, 200-off).Draw(t, "n")
			before, told := e.total(), int64(0)
			what := rapid.IntRange(0, 6).Draw(t, "what")
			switch what {
			case 0:
				told, n = -e.cut(int64(off)), 200-off
			case 1, 2:
				told = -e.remove(int64(off), int64(n))
			default:
				told = e.add(int64(off), int64(n))
			}
			for i := off; i < off+n; i++ {
				flags[i] = what > 2
			}
			if e.total() != before+told {
				t.Fatalf("%d bytes became %d, and it said %+d", before, e.total(), told)
			}
		}
		for i, r := range e {
			if r.Len <= 0 || i > 0 && e[i-1].Off+e[i-1].Len >= r.Off {
				t.Fatalf("form: %v", e)
			}
		}
		off := rapid.Int64Range(0, 199).Draw(t, "from")
		n := rapid.Int64Range(0, 200-off).Draw(t, "len")
		next := off
		err := e.runs(off, n, func(o, l int64, in bool) error {
			if o != next || l <= 0 {
				t.Fatalf("run %d+%d, want from %d", o, l, next)
			}
			next = o + l
			for i := o; i < o+l; i++ {
				if flags[i] != in {
					t.Fatalf("byte %d: %v, want %v in %v", i, in, flags[i], e)
				}
			}
			return nil
		})
		if err != nil || next != off+n {
			t.Fatalf("runs ended at %d, want %d: %v", next, off+n, err)
		}
	})
}

// What is no set is not taken for one.
func TestExtentsValid(t *testing.T) {
	for _, e := range []extents{nil, {{Off: 0, Len: 1}}, {{Off: 0, Len: 5}, {Off: 9, Len: 1}}} {
		if !e.valid() {
			t.Errorf("%v is refused", e)
		}
	}
	for _, e := range []extents{
		{{Off: -1, Len: 1}}, {{Off: 0, Len: 0}}, {{Off: 3, Len: -1}}, {{Off: 0, Len: 5}, {Off: 4, Len: 1}}, {{Off: 9, Len: 1}, {Off: 0, Len: 5}},
		{{Off: 1, Len: math.MaxInt64}},
	} {
		if e.valid() {
			t.Errorf("%v is taken for a set", e)
		}
	}
}
