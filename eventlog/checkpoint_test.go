package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

func noPause() error { return nil }

func testSealer() *ipld.Sealer { return ipld.NewSealer([32]byte{1}, [32]byte{2}) }

func (r *replica) tryCheckpoint(st ipld.Store, memo *table.Memo) (Checkpoint, error) {
	p, err := r.Prefix()
	if err != nil {
		return Checkpoint{}, err
	}
	defer p.Close()
	c, _, err := p.Checkpoint(context.Background(), st, testSealer(), memo, noPause)
	return c, err
}

func (r *replica) checkpointTo(t testing.TB, st ipld.Store, memo *table.Memo) Checkpoint {
	t.Helper()
	c, err := r.tryCheckpoint(st, memo)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// restored returns a replica that goes on from a checkpoint, as device dev.
func restored(t testing.TB, v *volume, dev int, from ipld.Store, k Kept, history *table.Root) *replica {
	t.Helper()
	fs := vfs.NewMem()
	st, err := store.Open("home", store.Options{FS: fs, FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := Restore(v.options(st, dev), from, k, history); err != nil {
		t.Fatal(err)
	}
	if err := Restore(v.options(st, dev), from, k, history); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("restored twice: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return (&replica{fs: fs, o: v.options(nil, dev)}).open(t)
}

// A device that goes on from a checkpoint is, whatever comes, as one that replayed everything: state, order hash, heads, what waits, and the
// checkpoints that it makes itself.
func TestCheckpointEqualsReplay(t *testing.T) {
	for seed := range *seeds {
		checkpointOnce(t, seed)
	}
}

func checkpointOnce(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	v := newVolume(t, 4)
	writers := []*replica{memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)}
	full := memReplica(t, v, 2, nil) // it gets everything, from the beginning
	var late *replica                // it gets a checkpoint, and what follows
	var frames []*Frame
	type entry struct {
		i  Index
		fs []*Frame
	}
	var order []entry
	st := ipld.NewMemory()
	memo := &table.Memo{}
	sent := 0 // how many frames late has been given
	for step := range 160 {
		w := writers[rng.IntN(len(writers))]
		switch rng.IntN(8) {
		case 0, 1, 2:
			w.append(t, event(byte(rng.IntN(opCount_)), byte(rng.IntN(6)), byte(rng.IntN(6)), byte(rng.IntN(256))))
		case 3:
			if f := w.cut(t); f != nil {
				frames = append(frames, f)
			}
		case 4: // one hears of the other, or of something old again
			if len(frames) > 0 {
				w.receive(t, frames[rng.IntN(len(frames))])
			}
		case 5, 6: // the order, sometimes too early or twice
			if len(frames) == 0 {
				break
			}
			e := entry{i: Index(len(order) + 1)}
			for range 1 + rng.IntN(4) {
				e.fs = append(e.fs, frames[rng.IntN(len(frames))])
			}
			order = append(order, e)
			for _, r := range append([]*replica{full}, writers...) {
				r.commit(t, e.i, e.fs...)
			}
			if late != nil {
				late.commit(t, e.i, e.fs...)
			}
		case 7:
			if rng.IntN(3) == 0 {
				full.append(t, event(opMix, 1, byte(step))) // unframed: it is not in the checkpoint
			}
			c, err := full.tryCheckpoint(st, memo)
			if errors.Is(err, ErrUnsettled) { // a frame came too early
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if late == nil {
				late = restored(t, v, 3, st, Kept{Checkpoint: c}, nil)
				sent = len(frames)
				if a, b := fmt.Sprint(full.Heads()), fmt.Sprint(late.Heads()); a != b { // later frames would tell of them
					t.Fatalf("seed %d: restored, the heads are\n%s\nwant\n%s", seed, b, a)
				}
			} else if got := late.checkpointTo(t, st, nil); got != c {
				t.Fatalf("seed %d: the restored device's checkpoint is %+v, want %+v", seed, got, c)
			}
		}
	}
	if late == nil {
		return // full was never settled
	}
	defer func() { late.st.Close() }()
	if rng.IntN(2) == 0 {
		late = late.reopen(t)
	}
	// Now all hear of all frames, also of those that were framed before the checkpoint and have no place yet.
	late.receive(t, frames[:sent]...)
	late.receive(t, frames[sent:]...)
	full.receive(t, frames...)
	for {
		f := full.cut(t)
		if f == nil {
			break
		}
		frames = append(frames, f)
		late.receive(t, f)
	}
	check := func(when string) {
		t.Helper()
		if full.dump() != late.dump() {
			t.Fatalf("seed %d: %s the states are\n%sand restored\n%s", seed, when, full.dump(), late.dump())
		}
		fi, fh := full.Committed()
		li, lh := late.Committed()
		if fi != li || fh != lh {
			t.Fatalf("seed %d: %s the order is %d %x, and restored %d %x", seed, when, fi, fh, li, lh)
		}
		if a, b := fmt.Sprint(full.Heads()), fmt.Sprint(late.Heads()); a != b {
			t.Fatalf("seed %d: %s the heads are\n%s\nand restored\n%s", seed, when, a, b)
		}
	}
	check("at the end")
	for i := Index(len(order) + 1); len(frames) > 0; i++ {
		n := min(len(frames), 5)
		full.commit(t, i, frames[:n]...)
		late.commit(t, i, frames[:n]...)
		frames = frames[n:]
	}
	check("when all is committed")
	if a, b := full.Stats(), late.Stats(); a.CommittedEvents != b.CommittedEvents {
		t.Fatalf("seed %d: %d events are committed, and restored %d", seed, a.CommittedEvents, b.CommittedEvents)
	}
	// The restored device goes on as a member, and shows what came after the checkpoint.
	late.append(t, event(opSet, 1, 1))
	full.receive(t, late.cut(t))
	check("after an edit of the restored device")
	if err := late.Entries(Position{}, func(Entry) bool { return true }); err != nil {
		t.Fatalf("seed %d: entries: %v", seed, err)
	}
	if _, err := full.tryCheckpoint(st, nil); !errors.Is(err, ErrUnsettled) {
		t.Fatalf("seed %d: a checkpoint with a tentative frame: %v", seed, err)
	}
}

// A power cut during a restore leaves nothing that counts, or all.
func TestRestoreCrash(t *testing.T) {
	v := newVolume(t, 2)
	full := memReplica(t, v, 0, nil)
	for i := range byte(40) {
		full.append(t, event(opMix, i%8, i))
	}
	full.commit(t, 1, full.cut(t))
	blocks := ipld.NewMemory()
	c := full.checkpointTo(t, blocks, nil)
	for reads := 0; ; reads++ {
		mem := vfs.NewCrashableMem()
		st, err := store.Open("home", store.Options{FS: mem, FlushEvery: -1})
		if err != nil {
			t.Fatal(err)
		}
		stop := &stoppingStore{Memory: blocks, left: reads}
		first := Restore(v.options(st, 1), stop, Kept{Checkpoint: c}, nil)
		crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(reads), 1))})
		st.Close()
		r := (&replica{fs: crashed, o: v.options(nil, 1)})
		st2, err := store.Open("home", store.Options{FS: crashed, FlushEvery: -1})
		if err != nil {
			t.Fatal(err)
		}
		if err := Restore(v.options(st2, 1), blocks, Kept{Checkpoint: c}, nil); err != nil && !errors.Is(err, ErrNotEmpty) {
			t.Fatal(err)
		}
		if err := st2.Close(); err != nil {
			t.Fatal(err)
		}
		again := r.open(t)
		if again.dump() != full.dump() {
			t.Fatalf("after a crash behind %d reads the state is\n%swant\n%s", reads, again.dump(), full.dump())
		}
		again.st.Close()
		if first == nil {
			break
		}
	}
}

// A stoppingStore fails after some reads.
type stoppingStore struct {
	*ipld.Memory
	left int
}

func (s *stoppingStore) Get(c ipld.CID) (ipld.Block, error) {
	if s.left--; s.left < 0 {
		return ipld.Block{}, ipld.ErrNotFound
	}
	return s.Memory.Get(c)
}
