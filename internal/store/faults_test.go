package store

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var (
	faultSeconds = flag.Int("faults", 0, "how many seconds TestFaults goes on (0: a sample)")
	faultSeed    = flag.Uint64("faults-seed", 0, "what TestFaults draws from (0: with -faults a new seed, else the same each time)")
)

// A sickDisk fails where it is told to.
type sickDisk struct {
	*vfs.MemFS
	ops   atomic.Int64 // changes so far
	fails atomic.Pointer[func(op errorfs.Op, n int64) error]
}

func newSickDisk() (*sickDisk, vfs.FS) {
	d := &sickDisk{MemFS: vfs.NewCrashableMem()}
	return d, errorfs.Wrap(d.MemFS, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose || op.Kind == errorfs.OpLock {
			return nil
		}
		n := d.ops.Add(1)
		if fails := d.fails.Load(); fails != nil {
			return (*fails)(op, n)
		}
		return nil
	}))
}

func (d *sickDisk) fail(fn func(op errorfs.Op, n int64) error) { d.fails.Store(&fn) }
func (d *sickDisk) heal()                                      { d.fails.Store(nil) }

// power is what is left when the power goes now.
func (d *sickDisk) power() *vfs.MemFS { return d.CrashClone(vfs.CrashCloneCfg{}) }

func openSick(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open("home", Options{FS: fs, FlushEvery: -1, segmentSize: smallSegment, again: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// try is put, for a disk that may fail.
func try(s *Store, n int, d Durability, size int) error {
	b := s.DB().NewBatch()
	val := make([]byte, 8+size)
	val[4], val[5], val[6], val[7] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	if err := errors.Join(b.Set(key(n), val, nil), b.Set([]byte("xlast"), val[:8], nil)); err != nil {
		return err
	}
	return s.Commit(b, d)
}

// well waits until the store says that all is well.
func well(t *testing.T, s *Store) {
	t.Helper()
	for tries := 0; s.Health() != nil; time.Sleep(time.Millisecond) {
		if tries++; tries > 60_000 { // tries, not time, in which the machine may have stood still
			t.Fatalf("the store does not get well: %v", s.Health())
		}
	}
}

// A failed sync of the log is made good by the tables, so that nobody notices; if these fail too, it is told, and
// nothing more is taken until the disk works again. Then all goes on, and what was acknowledged is there.
func TestFailedSync(t *testing.T) {
	disk, fs := newSickDisk()
	s := openSick(t, fs)
	put(t, s, 1, OnDisk, 10)
	once := func(suffix string, kinds ...errorfs.OpKind) {
		var done atomic.Bool
		disk.fail(func(op errorfs.Op, _ int64) error {
			for _, k := range kinds {
				if op.Kind == k && strings.HasSuffix(op.Path, suffix) && done.CompareAndSwap(false, true) {
					return syscall.EIO
				}
			}
			return nil
		})
	}
	once(".wal", errorfs.OpFileSync, errorfs.OpFileSyncData)
	put(t, s, 2, OnDisk, 10)
	once(".wal", errorfs.OpFileWriteAt)
	put(t, s, 3, OnDisk, 10)
	if n := survives(t, disk.power()); n != 3 {
		t.Fatalf("%d of 3 batches are on the disk", n)
	}
	put(t, s, 4, Handed, 10)
	disk.fail(func(op errorfs.Op, _ int64) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
			return syscall.EIO
		}
		return nil
	})
	if err := try(s, 5, OnDisk, 10); !errors.Is(err, syscall.EIO) || s.Health() == nil {
		t.Fatal(err, s.Health())
	}
	if err := try(s, 6, Applied, 10); !errors.Is(err, syscall.EIO) {
		t.Fatal("something was taken though nothing could be synced:", err)
	}
	if err := s.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal("a later sync says that all is well:", err)
	}
	disk.heal()
	well(t, s)
	if n := survives(t, disk.power()); n != 5 {
		t.Fatalf("%d of 5 batches are on the disk", n)
	}
	put(t, s, 6, OnDisk, 10)
	if n := survives(t, disk.power()); n != 6 {
		t.Fatalf("%d of 6 batches are on the disk", n)
	}
	mustClose(t, s)
}

func survives(t *testing.T, fs vfs.FS) int {
	t.Helper()
	s := mustOpen(t, "home", fs)
	defer mustClose(t, s)
	return history(t, s)
}

// A full disk refuses a batch and hurts nothing.
func TestNoSpaceForARecord(t *testing.T) {
	disk, fs := newSickDisk()
	s := openSick(t, fs)
	put(t, s, 1, OnDisk, 10)
	disk.fail(func(op errorfs.Op, _ int64) error {
		if op.Kind == errorfs.OpFileWriteAt && strings.HasSuffix(op.Path, ".wal") {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := try(s, 2, OnDisk, 10); !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if n := history(t, s); n != 1 {
		t.Fatal(n)
	}
	disk.heal()
	put(t, s, 2, OnDisk, 10)
	if n := survives(t, disk.power()); n != 2 {
		t.Fatal(n)
	}
	mustClose(t, s)
}

// A store whose disk fails for good can be closed, and the next start finds everything.
func TestCloseOnASickDisk(t *testing.T) {
	disk, fs := newSickDisk()
	s := openSick(t, fs)
	for n := range 20 {
		put(t, s, n+1, OnDisk, smallSegment/4)
	}
	disk.fail(func(op errorfs.Op, _ int64) error {
		if strings.Contains(op.Path, "/db/") {
			return syscall.EIO
		}
		return nil
	})
	if _, err := s.DB().AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	put(t, s, 21, Handed, 10) // the log is well
	mustClose(t, s)
	disk.heal()
	if n := survives(t, disk.power()); n != 21 {
		t.Fatalf("%d of 21 batches", n)
	}
}

// TestFaults has every kind of change to the disk fail, once, a few times or for long. Whatever was acknowledged
// stays, and when the disk works again so does the store.
func TestFaults(t *testing.T) {
	seed := uint64(1)
	switch {
	case *faultSeed != 0:
		seed = *faultSeed
	case *faultSeconds > 0:
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: replay with -args -faults %d -faults-seed %d", seed, *faultSeconds, seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	end := time.Now().Add(time.Duration(*faultSeconds) * time.Second)
	for i := 0; i < 20 || time.Now().Before(end); i++ {
		t.Run(fmt.Sprint(i), func(t *testing.T) { oneFault(t, rand.New(rand.NewPCG(rng.Uint64(), 1))) })
		if t.Failed() {
			return
		}
	}
}

func oneFault(t *testing.T, rng *rand.Rand) {
	disk, fs := newSickDisk()
	s := openSick(t, fs)
	errno := []syscall.Errno{syscall.ENOSPC, syscall.EIO}[rng.IntN(2)]
	first := disk.ops.Load() + rng.Int64N(200)
	last := first + []int64{1, 1, 4, 40, 1 << 40}[rng.IntN(5)]
	var hit atomic.Value
	disk.fail(func(op errorfs.Op, n int64) error {
		if n < first || n >= last {
			return nil
		}
		hit.CompareAndSwap(nil, fmt.Sprintf("op %d, kind %d of %s, %v, %d times", n, op.Kind, op.Path, errno, last-first))
		return errno
	})
	n, onDisk := 0, 0
	for range 60 {
		size := rng.IntN(100)
		if rng.IntN(3) == 0 {
			size = rng.IntN(smallSegment)
		}
		d := Durability(rng.IntN(3))
		err := try(s, n+1, d, size)
		if err != nil && !errors.Is(err, errno) {
			t.Fatalf("%v: %v", hit.Load(), err)
		}
		if _, closer, look := s.DB().Get(key(n + 1)); look == nil { // a failed sync leaves it applied
			n++
			_ = closer.Close()
		} else if err == nil {
			t.Fatalf("%v: batch %d was taken, and is not there", hit.Load(), n+1)
		}
		if err == nil && d == OnDisk {
			onDisk = n
		}
		if rng.IntN(10) == 0 {
			if _, err := s.DB().AsyncFlush(); err != nil {
				t.Fatal(err)
			}
		}
		if rng.IntN(15) == 0 {
			if got := survives(t, disk.power()); got < onDisk {
				t.Fatalf("%v: %d batches survive, %d were on disk", hit.Load(), got, onDisk)
			}
		}
	}
	disk.heal()
	well(t, s)
	put(t, s, n+1, OnDisk, 10)
	if got := survives(t, disk.power()); got != n+1 {
		t.Fatalf("%v: %d of %d batches survive", hit.Load(), got, n+1)
	}
	mustClose(t, s)
	if got := survives(t, disk.power()); got != n+1 {
		t.Fatalf("%v: %d of %d batches survive a clean end", hit.Load(), got, n+1)
	}
}

// A start does not believe a sync of what an earlier run wrote, and could not sync perhaps: it writes it anew.
func TestAStartWritesTheLogAnew(t *testing.T) {
	disk, fs := newSickDisk()
	s := openSick(t, fs)
	put(t, s, 1, Handed, 10)
	killed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	mustClose(t, s)
	var ops []errorfs.OpKind
	var of string // the first segment that was changed
	s = mustOpen(t, "home", errorfs.Wrap(killed, errorfs.InjectorFunc(func(op errorfs.Op) error {
		written := op.Kind == errorfs.OpFileWriteAt || op.Kind == errorfs.OpFileSyncData
		if written && strings.HasSuffix(op.Path, ".wal") && (of == "" || of == op.Path) {
			of = op.Path
			ops = append(ops, op.Kind)
		}
		return nil
	})))
	if n := history(t, s); n != 1 {
		t.Fatal(n, "batches")
	}
	mustClose(t, s)
	if !slices.Equal(ops, []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpFileSyncData}) {
		t.Fatal(of, ops)
	}
}
