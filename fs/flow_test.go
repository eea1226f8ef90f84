package fs

import "testing"

// Each byte that is written in order is handed to the disk once, and what is written here and there is not.
func TestFlow(t *testing.T) {
	var w flow
	const part = 1 << 20
	next := int64(0)
	for off := int64(0); off < 100*part; off += part {
		from, size := w.add(off, part)
		switch {
		case size == 0:
		case from != next || size < flowBytes || size >= flowBytes+part:
			t.Fatalf("%d bytes at %d, want some at %d", size, from, next)
		default:
			next = from + size
			w.asking = false
		}
	}
	if next <= 100*part-flowBytes {
		t.Errorf("only %d bytes were handed over", next)
	}
	for i := range int64(1000) {
		if _, size := w.add(i*7919%1000*part, part/2); size > 0 {
			t.Fatalf("%d bytes written here and there are taken for written in order", size)
		}
	}
}

// While the kernel is being asked for one part nobody asks for the next; later all of it is asked for at once.
func TestFlowAsksOnceAtATime(t *testing.T) {
	var w flow
	const part = 1 << 20
	asked := 0
	for off := int64(0); off < 5*flowBytes; off += part {
		if _, size := w.add(off, part); size > 0 {
			asked++
		}
	}
	if asked != 1 {
		t.Fatalf("the kernel is being asked %d times at once", asked)
	}
	w.asking = false
	if from, size := w.add(5*flowBytes, part); from != flowBytes || size != 4*flowBytes+part {
		t.Errorf("%d bytes at %d, want all that was written meanwhile", size, from)
	}
}
