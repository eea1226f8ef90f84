package backup

import (
	"errors"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// An at does something at one operation on the disk.
type at struct {
	left int
	do   func() error
}

func (a *at) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	if a.left--; a.left == 0 {
		return a.do()
	}
	return nil
}

func (a *at) String() string { return "at" }

// After a crash at any moment of a run the backup is the one before or the one after it, whole; and the next run brings it up to date.
func TestCrash(t *testing.T) {
	d := newDevice(t)
	disk := vfs.NewCrashableMem()
	d.write(d.logs[0], 10, 500, true)
	d.backup(disk)
	was := d.source().AsOf.Add(-1e9)
	d.write(d.logs[1], 30, 500, true)
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; ; n++ {
		run := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
		var after *vfs.MemFS
		hook := &at{left: n, do: func() error {
			after = run.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			return nil
		}}
		res := d.backup(errorfs.Wrap(run, hook))
		ended := after == nil
		if ended { // what a run has said is on disk
			after = run.CrashClone(vfs.CrashCloneCfg{RNG: rng})
			was = res.AsOf
		}
		b, err := Open(after, "backup", d.keys.ID())
		must(t, err)
		if faults, err := b.Check(t.Context(), func(Progress) {}); err != nil || len(faults) > 0 {
			t.Fatalf("crash at %d: %v %v", n, faults, err)
		}
		if !b.AsOf().Equal(was) && !b.AsOf().Equal(res.AsOf) {
			t.Fatalf("crash at %d: as of %v", n, b.AsOf())
		}
		d.recovered(after)
		d.backup(after)
		d.wantSame(d.recovered(after))
		if ended {
			t.Logf("%d operations", n)
			if n < 15 {
				t.Fatal("too few to be true")
			}
			return
		}
	}
}

// A crash of the very first run leaves nothing that passes for a backup, and does not keep the next from making one.
func TestCrashOfTheFirst(t *testing.T) {
	d := newDevice(t)
	d.write(d.logs[0], 10, 500, true)
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; ; n++ {
		run := vfs.NewCrashableMem()
		var after *vfs.MemFS
		d.backup(errorfs.Wrap(run, &at{left: n, do: func() error {
			after = run.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			return nil
		}}))
		ended := after == nil
		if ended {
			after = run.CrashClone(vfs.CrashCloneCfg{RNG: rng})
		}
		b, err := Open(after, "backup", d.keys.ID())
		if ended {
			must(t, err)
		}
		if err == nil {
			faults, err := b.Check(t.Context(), func(Progress) {})
			if err != nil || len(faults) > 0 {
				t.Fatalf("crash at %d: %v %v", n, faults, err)
			}
			d.wantSame(d.recovered(after))
		}
		d.backup(after)
		d.wantSame(d.recovered(after))
		if ended {
			return
		}
	}
}

// An error of the disk at any moment, as when it is full, leaves the backup that was there and nothing beside it.
func TestFullDisk(t *testing.T) {
	d := newDevice(t)
	disk := vfs.NewCrashableMem()
	d.write(d.logs[0], 10, 500, true)
	d.backup(disk)
	before := files(t, disk)
	d.write(d.logs[1], 30, 500, true)
	for n := 1; ; n++ {
		run := disk.CrashClone(vfs.CrashCloneCfg{})
		hook := &at{left: n, do: func() error { return syscall.ENOSPC }}
		res, err := Write(t.Context(), errorfs.Wrap(run, hook), "backup", d.source(), nil)
		if hook.left > 0 {
			must(t, err)
			return
		}
		if err == nil {
			continue // it was one whose failing does no harm
		}
		if !errors.Is(err, syscall.ENOSPC) || !res.AsOf.IsZero() {
			t.Fatalf("operation %d: %v, %+v", n, err, res)
		}
		b, openErr := Open(run, "backup", d.keys.ID())
		must(t, openErr)
		if b.AsOf().Unix() != d.now {
			if after := files(t, run); !slices.Equal(before, after) {
				t.Fatalf("operation %d: the backup is %v, was %v", n, after, before)
			}
		}
		d.backup(run)
		d.wantSame(d.recovered(run))
	}
}
