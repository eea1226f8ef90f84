package fs

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A start that has a file go back from a version that a power loss took may die at any moment itself, by kill -9 or by another power loss: the next
// one still knows what is lost.
func TestCrashWhileGoingBack(t *testing.T) {
	t.Parallel()
	old := pattern(3*memLimit, 1)
	first := vfs.NewCrashableMem()
	r := rigOn(t, first)
	r.put(r.vol, "f", old)
	r.seal()
	r.put(r.vol, "f", pattern(3*memLimit, 2))
	r.put(r.vol, "f", pattern(3*memLimit, 3))
	rng := rand.New(rand.NewPCG(1, 1))
	disk := first.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
	r.close()

	var mu sync.Mutex
	var left []crashPoint
	opening := true
	before := func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if !opening || !changes(op) || !strings.Contains(op.Path, "/wal/") { // what is found at a start is what the log has
			return nil
		}
		for _, d := range []death{killed, power} {
			after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{killed: 100, power: 0}[d], RNG: rng})
			left = append(left, crashPoint{death: d, change: op.Path, disk: after})
		}
		return nil
	}
	start := func(t *testing.T, on vfs.FS) *rig {
		after := &rig{tb: t, boot: "two", keys: r.keys, clock: r.clock, disk: on}
		after.open()
		after.expect(after.vol, "f", old)
		return after
	}
	after := start(t, errorfs.Wrap(disk, errorfs.InjectorFunc(before)))
	mu.Lock()
	opening = false
	mu.Unlock()
	after.close()
	if len(left) < 4 {
		t.Fatalf("the start made %d changes", len(left))
	}
	for n, p := range left {
		t.Run(fmt.Sprintf("%d, %v before a change of %s", n, p.death, p.change), func(t *testing.T) { start(t, p.disk).close() })
	}
}
