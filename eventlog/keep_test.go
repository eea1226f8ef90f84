package eventlog

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/ipld"
)

// A watchedBlocks notes in which order blocks are put and synced.
type watchedBlocks struct {
	memBlocks
	did    []string
	failed error
	synced func()
}

func (w *watchedBlocks) Put(bs ...ipld.Block) error {
	w.did = append(w.did, "put")
	return w.memBlocks.Put(bs...)
}

func (w *watchedBlocks) Sync() error {
	w.did = append(w.did, "sync")
	w.synced()
	return w.failed
}

// The record of a kept checkpoint is written once its blocks are on the disk: not before, and not if they don't get there.
func TestKeptOnceItsBlocksAreSynced(t *testing.T) {
	r := memReplica(t, newVolume(t, 1), 0, nil)
	r.append(t, event(opMix, 1, 1))
	r.commit(t, 1, r.cut(t))
	st := &watchedBlocks{memBlocks: newMemBlocks(), failed: errors.New("the disk is gone")}
	kept := func(want int) {
		t.Helper()
		if all, err := r.Kept(); err != nil || len(all) != want {
			t.Fatalf("%d checkpoints are kept, %v, want %d", len(all), err, want)
		}
	}
	st.synced = func() { kept(0) }
	if _, err := r.Keep(context.Background(), st, testSealer(), time.Unix(77, 0), noPause); !errors.Is(err, st.failed) {
		t.Errorf("kept: %v", err)
	}
	kept(0)
	st.failed, st.did = nil, nil
	if _, err := r.Keep(context.Background(), st, testSealer(), time.Unix(77, 0), noPause); err != nil {
		t.Fatal(err)
	}
	kept(1)
	if n := len(st.did); n < 2 || st.did[n-1] != "sync" || slices.Contains(st.did[:n-1], "sync") {
		t.Errorf("it did %q", st.did)
	}
}
