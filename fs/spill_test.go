package fs

import (
	"testing"
	"time"
)

// The number of a spill file that is not there, and that a record may name, is not given again by a later run.
func TestSpillNumbersAreNotGivenTwice(t *testing.T) {
	r := newRig(t)
	start := time.Unix(1_800_000_000, 0)
	first, err := newSpills(r.st, start)
	r.must(err)
	given := map[uint64]bool{}
	for range 100 {
		given[first.hollow().id] = true
	}
	next, err := newSpills(r.st, start.Add(time.Millisecond))
	r.must(err)
	p, err := next.create()
	r.must(err)
	if given[p.id] {
		t.Errorf("spill file %x has the number of one that an earlier run named", p.id)
	}
	r.must(p.remove())
}
