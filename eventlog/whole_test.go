package eventlog

import (
	"fmt"
	"testing"
)

func TestWholeKeys(t *testing.T) {
	w := newWholeKeys()
	name := func(dir, i int) []byte { return fmt.Appendf(nil, "d%03d/%d", dir, i) }
	if w.absent(name(1, 1)) {
		t.Error("a key is absent before anything is known")
	}
	w.begin([]byte("d001"))
	w.add(name(1, 1))
	w.add(name(2, 1))
	if w.absent(name(1, 1)) || w.absent(name(2, 1)) || w.absent(name(2, 2)) {
		t.Error("what is there, or not known, is absent")
	}
	if !w.absent(name(1, 2)) {
		t.Error("what is known to be absent is not")
	}
	w.begin([]byte("d001")) // known already: nothing may get lost
	if w.absent(name(1, 1)) {
		t.Error("what is there is absent after a second begin")
	}
}

func TestWholeKeysAreBounded(t *testing.T) {
	w := newWholeKeys()
	for dir := range 2 * wholeLimit / setCost {
		w.begin(fmt.Appendf(nil, "d%09d", dir))
	}
	if w.count > wholeLimit || len(w.sets) != len(w.order) {
		t.Errorf("%d counted, %d sets, %d in order", w.count, len(w.sets), len(w.order))
	}
	last := fmt.Appendf(nil, "d%09d", 2*wholeLimit/setCost-1)
	for i := range wholeLimit {
		w.add(fmt.Appendf(last[:len(last):len(last)], "%d", i))
	}
	if w.count > wholeLimit {
		t.Errorf("%d counted", w.count)
	}
	if w.knows(last) {
		t.Error("one set may outgrow all limits")
	}
	if w.count != 0 || len(w.sets) != 0 {
		t.Errorf("%d counted in %d sets when all were given up", w.count, len(w.sets))
	}
}
