package fs

import (
	"testing"
	"unsafe"
)

// A number is used again for the same file: whoever still has the old node must not take the new one away.
func TestNumberOfADroppedNode(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "a", []byte("x"))
	id, err := r.lookup(r.vol, "a")
	r.must(err)
	old, err := r.fs.nodeOf(id)
	r.must(err)
	r.fs.Forget(id, 1)
	again, err := r.lookup(r.vol, "a")
	r.must(err)
	if again != id {
		t.Fatalf("number %d, then %d", id, again)
	}
	r.fs.table.dropIdle(old)
	if _, err := r.fs.GetAttr(again); err != nil {
		t.Fatal(err)
	}
	// For the time of a call a node stays, whatever the kernel forgets.
	held := r.volume().hold(old.file, false)
	r.fs.Forget(again, 1)
	if n, err := r.fs.nodeOf(again); err != nil || n != held {
		t.Fatal("a node that is in use was dropped", err)
	}
	r.fs.table.release(held)
	if _, err := r.fs.nodeOf(again); err == nil {
		t.Fatal("a node that nobody knows stays")
	}
}

// A node is what each file costs in memory that the kernel knows: it fits into one of the allocator's sizes.
func TestSizeOfANode(t *testing.T) {
	if n := unsafe.Sizeof(Node{}); n > 112 {
		t.Errorf("%d bytes", n)
	}
}
