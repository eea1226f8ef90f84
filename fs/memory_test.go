package fs

import (
	"fmt"
	"testing"
)

// However many files are written to at once, what is in memory of them is bounded; so are the descriptors of the others.
func TestManyDirtyFilesTakeBoundedMemory(t *testing.T) {
	r := newRig(t)
	const size, count = 200_000, 380
	var open []NodeID
	for i := range count {
		n := r.create(r.vol, fmt.Sprint("f", i))
		open = append(open, n)
		r.write(n, 0, pattern(size/2, byte(i)))
	}
	for i, n := range open {
		r.write(n, size/2, pattern(size, byte(i))[size/2:])
		if mem := r.fs.spills.mem.Load(); mem > memTotal+memLimit {
			t.Fatalf("%d bytes in memory", mem)
		}
	}
	if n := r.fs.spills.open.Len(); n > maxOpenSpill {
		t.Errorf("%d spill files are open", n)
	}
	for i, n := range open {
		r.same("open", r.bytesOf(n), pattern(size, byte(i)))
		r.done(n)
	}
	for i := range count {
		r.expect(r.vol, fmt.Sprint("f", i), pattern(size, byte(i)))
	}
	r.seal()
	r.settled()
	r.check()
}
