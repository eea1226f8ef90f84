package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// recordBytes is how many bytes the records of a store have whose daemon has ended: events, frames, the order, the state.
func (r *rig) recordBytes() (n int) {
	r.t.Helper()
	st, err := store.Open(r.home, store.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer st.Close()
	it, err := st.DB().NewIter(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		n += len(it.Key()) + len(it.Value())
	}
	if err := it.Error(); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// stopOrdered ends the daemon when all events stand in the order, so that nothing is left to be stored once more.
func (r *rig) stopOrdered() {
	r.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for began := time.Now(); ; <-look.C {
		e := r.status().Events
		if e.Unframed+e.Tentative == 0 {
			break
		}
		if time.Since(began) > commandBound {
			r.t.Fatalf("the order does not end: %+v", e)
		}
	}
	r.stop()
}

// TestRestoreTakesNoRoom brings small files back to what they were: the store grows by what tells of that, and not by their bytes, which each
// edit stores several times: in its event and frame, in the order, in the state.
func TestRestoreTakesNoRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	from := rand.NewChaCha8([32]byte{9})
	const files, size = 100, 4096
	fill := func() (all [][]byte) {
		for i := range files {
			b := noise(from, size)
			write(t, r.me("notes", fmt.Sprint("f", i)), b)
			all = append(all, b)
		}
		return all
	}
	if err := os.Mkdir(r.me("notes"), 0o755); err != nil {
		t.Fatal(err)
	}
	old := fill()
	const tick = 20 * time.Millisecond // more than the daemon's clock has
	time.Sleep(tick)
	then := time.Now().Format(time.RFC3339Nano)
	time.Sleep(tick)
	fill()
	r.stopOrdered()
	before := r.recordBytes()
	r.start()
	r.rhizome("restore", r.me("notes")+"@"+then)
	for i, b := range old {
		wantFile(t, r.me("notes", fmt.Sprint("f", i)), b)
	}
	r.stopOrdered()
	grown := r.recordBytes() - before
	t.Logf("the restore of %d bytes in small files took %d", files*size, grown)
	if grown > files*size/2 {
		t.Errorf("the restore of %d bytes took %d", files*size, grown)
	}
}
