package fs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rhizome-fs/rhizome/ipld"
)

// A busyMaking is a volume of which a snapshot is being made while all goes that it needs and the state does not: a quiet version is dropped, another
// one is older than what is kept, and garbage is collected.
type busyMaking struct {
	*rig
	open NodeID            // "f", which is being written
	want map[string]string // what the snapshot has
}

const (
	quietText  = 200_000
	closedText = 30_000
)

func newBusyMaking(r *rig) *busyMaking {
	b := &busyMaking{rig: r, want: map[string]string{
		"f": "file " + string(pattern(quietText, 1)), "g": "file " + string(pattern(closedText, 2)), "many": "directory",
	}}
	many, rng, target := r.mkdir(r.vol, "many"), rand.New(rand.NewPCG(1, 2)), make([]byte, 2000)
	for i := range 1024 { // after so many names a snapshot tells how far it is, and some of its own blocks are in the store
		name := fmt.Sprint(i)
		for j := range target {
			target[j] = byte('A' + rng.IntN(58))
		}
		r.must(failure(r.fs.Symlink(many, name, string(target), me)))
		b.want["many/"+name] = "symbolic link"
	}
	b.open = r.create(r.vol, "f")
	r.write(b.open, 0, pattern(quietText, 1))
	r.quiet(2 * time.Second)
	r.put(r.vol, "g", pattern(closedText, 2))
	r.seal()
	r.commit()
	return b
}

// snap makes the snapshot "s".
func (b *busyMaking) snap() Snapshot {
	b.Helper()
	amid := false
	s, err := b.fs.CreateSnapshot(context.Background(), b.volume().id, "s", 0, func(uint64) {
		if amid {
			return
		}
		amid = true
		node, err := b.fs.nodeOf(b.open)
		b.must(err)
		b.write(b.open, 0, pattern(quietText, 3))
		b.must(b.fs.endEdit(node, false)) // drops the quiet version
		b.put(b.vol, "g", pattern(closedText, 4))
		b.seal()
		b.commit()
		b.clock.forward(day)
		_, err = b.fs.Retire(b.clock.now(), false, noPause)
		b.must(err)
		b.collectHard()
	})
	b.must(err)
	if !amid {
		b.Fatal("the snapshot did not tell how far it is")
	}
	return s
}

func (b *busyMaking) has(r *rig, s Snapshot) {
	b.Helper()
	r.sameDump("the blocks of "+s.Name, r.contents(s.Root), b.want)
	then, err := r.at(r.vol, s.Name)
	r.must(err)
	r.same("g in .at", r.get(then, "g"), pattern(closedText, 2))
	r.fs.Forget(then, 1)
}

// A collection does not wait for a snapshot that is being made, and leaves what it needs.
func TestCollectionDuringSnapshot(t *testing.T) {
	t.Parallel()
	b := newBusyMaking(newRig(t))
	s := b.snap()
	b.has(b.rig, s)
	b.collectHard()
	b.reopen()
	b.has(b.rig, s)
	b.must(b.fs.DeleteSnapshot(b.volume().id, "s"))
	if dead, err := b.fs.Garbage(context.Background()); err != nil || dead < quietText/2 {
		t.Errorf("%d bytes are garbage without the snapshot: %v", dead, err)
	}
}

// A collection that begins at the end of a snapshot's making waits for its record, and one that fails leaves nothing behind.
func TestCollectionAfterMoment(t *testing.T) {
	t.Parallel()
	b := newBusyMaking(newRig(t))
	v := b.volume()
	m := v.beginMaking()
	if err := v.madeAndMaking(nil, func(ipld.CID) error { return nil }); err != nil {
		t.Errorf("before the moment: %v", err)
	}
	m.release()
	collected := make(chan error, 2)
	go func() {
		_, err := b.fs.Collect(context.Background())
		collected <- err
	}()
	select {
	case err := <-collected:
		collected <- err
		t.Error("the collection did not wait for the snapshot's record")
	case <-time.After(10 * time.Millisecond):
	}
	v.endMaking(m)
	b.must(<-collected)

	ctx, cancel := context.WithCancel(context.Background())
	_, err := b.fs.CreateSnapshot(ctx, v.id, "s", 0, func(uint64) { cancel() })
	b.wants(err, context.Canceled)
	b.collectHard()
	b.has(b.rig, b.snap())
}

// The machine may die at any write while a snapshot is made amid a collection: there is the whole snapshot or none. By itself it tries some
// writes, with -faults many.
func TestCollectionDuringSnapshotCrash(t *testing.T) {
	t.Parallel()
	seed := seeded(t, 1)
	disk, rng := vfs.NewCrashableMem(), rand.New(rand.NewPCG(seed, 1))
	most, oneIn := 4, 12
	if *faultSeconds > 0 {
		most, oneIn = 24, 2
	}
	var mu sync.Mutex
	var crashed []*vfs.MemFS
	on, writes := false, 0
	r := rigOn(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if on && changes(op) {
			if writes++; rng.IntN(oneIn) == 0 && len(crashed) < most {
				crashed = append(crashed, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}))
			}
		}
		return nil
	})))
	b := newBusyMaking(r)
	r.must(r.fs.Sync())
	mu.Lock()
	on = true
	mu.Unlock()
	b.snap()
	mu.Lock()
	on = false
	crashed = append(crashed, disk.CrashClone(vfs.CrashCloneCfg{}))
	mu.Unlock()
	r.done(b.open)
	r.close()
	whole := 0
	for i, d := range crashed {
		c := &rig{tb: t, disk: d, boot: "one", keys: r.keys, clock: &clock{at: start + int64(3*day)}}
		c.open()
		vol, err := c.lookup(c.home, "notes")
		c.must(err)
		c.vol, c.index = vol, r.index
		list, err := c.fs.Snapshots(c.volume().id)
		c.must(err)
		for _, s := range list {
			whole++
			b.has(c, s)
		}
		c.seal()
		c.collect()
		next := c.snap("next")
		if next.Root != c.fromNothing() || len(c.contents(next.Root)) != len(b.want) {
			t.Fatalf("crash %d: the next snapshot is not as one that is made from nothing", i)
		}
		c.check()
		c.close()
	}
	if whole == 0 {
		t.Error("the snapshot is not on record at the end")
	}
	t.Logf("%d crashes in %d writes, %d with the snapshot", len(crashed), writes, whole)
}
