package fs

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var (
	faultSeconds = flag.Int("faults", 0, "how many seconds each of TestCrashAtAnyChange and TestFaults goes on, with every change to the disk (0: a sample)")
	faultSeed    = flag.Uint64("faults-seed", 0, "what the tests of faults and crashes draw from (0: with -faults a new seed, else the same each time)")
)

// seeded is the seed that a test draws from. Without -faults it is always the everyday one.
func seeded(t *testing.T, everyday uint64) uint64 {
	t.Helper()
	seed := everyday
	switch {
	case *faultSeed != 0:
		seed = *faultSeed
	case *faultSeconds > 0:
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: replay with -args -faults %d -faults-seed %d", seed, *faultSeconds, seed)
	return seed
}

// changes reports whether an operation changes what is on the disk.
func changes(op errorfs.Op) bool {
	return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose && op.Kind != errorfs.OpLock
}

// A crashPoint is what a death within a step left.
type crashPoint struct {
	disk   *vfs.MemFS
	death  death
	from   int // the names are not older than this op's
	change string
}

// TestCrashAtAnyChange has the machine die before each write, sync, rename and removal that store, segments, log and
// file system do in a random history, and holds what is left against what had been promised by then.
func TestCrashAtAnyChange(t *testing.T) {
	seed := seeded(t, 1)
	end := time.Now().Add(time.Duration(*faultSeconds) * time.Second)
	points := 0
	for run := 0; run < 4 || time.Now().Before(end); run++ {
		share := 1.0
		if *faultSeconds == 0 {
			share = 0.3
		}
		t.Run(fmt.Sprint("run ", run), func(t *testing.T) { points += crashAtChanges(t, seed+uint64(run), share) })
		if t.Failed() {
			return
		}
	}
	if points == 0 {
		t.Fatal("nothing crashed")
	}
	t.Logf("%d crashes", points)
}

func crashAtChanges(t *testing.T, seed uint64, share float64) int {
	disk, rng := vfs.NewCrashableMem(), rand.New(rand.NewPCG(seed, 3))
	var mu sync.Mutex
	var within []crashPoint
	ops, onDisk := 0, 0 // before the step that goes on: some changes are made in the background
	c := &crashRun{rng: rand.New(rand.NewPCG(seed, 7)), names: map[string]*crashFile{}}
	before := func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if ops == 0 || !changes(op) || rng.Float64() >= share {
			return nil // ops is 0 while the store is made
		}
		d := death(rng.IntN(3))
		percent := []int{100, 0, rng.IntN(101)}[d]
		p := crashPoint{death: d, from: onDisk, change: fmt.Sprintf("kind %d of %s", op.Kind, op.Path)}
		if d == killed {
			p.from = ops - 1
		}
		p.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
		within = append(within, p)
		return nil
	}
	c.rig = rigOn(t, errorfs.Wrap(disk, errorfs.InjectorFunc(before)))
	c.must(c.fs.Fsync(c.vol))
	c.moments = append(c.moments, map[string]*crashFile{})
	n := 0
	for range 60 {
		mu.Lock()
		ops, onDisk = len(c.moments), c.onDisk
		mu.Unlock()
		c.step()
		mu.Lock()
		list := within
		within = nil
		mu.Unlock()
		for _, p := range list {
			c.did("%v before %s", p.death, p.change)
			c.within = true
			c.survive(p.disk, p.death, p.from)
			c.trace = c.trace[:len(c.trace)-1]
		}
		n += len(list)
	}
	c.close()
	return n
}
