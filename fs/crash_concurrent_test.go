package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The machine dies at any moment while files are saved, sealed and collected: what an fsync had acknowledged before is there, and a
// file that is saved by renaming is a whole one.
func TestCrashWhileAllRuns(t *testing.T) {
	disk := vfs.NewCrashableMem()
	r := rigOn(t, disk)
	r.must(r.fs.Fsync(r.vol))
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = r.fs.Run(ctx) })
	loop := func(fn func()) {
		all.Go(func() {
			for ctx.Err() == nil {
				fn()
			}
		})
	}
	loop(func() { r.clock.forward(time.Second); r.fs.endQuiet(r.clock.now()) })
	loop(func() { _, _ = r.fs.Collect(ctx); r.commit() })
	loop(func() { _ = r.fs.syncPending(); _ = r.st.Sync(); _ = r.fs.spills.reap() })

	const writers = 3
	sizes := []int{3000, 100_000, 400_000}
	var begun, onDisk, handed [writers]atomic.Int64
	for w := range writers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 11))
			for i := 1; ctx.Err() == nil && !t.Failed(); i++ {
				begun[w].Store(int64(i))
				err := func() error {
					tmp := fmt.Sprintf("w%d.tmp", w)
					e, err := r.fs.Create(r.vol, tmp, 0o644, true, me)
					if err != nil {
						return err
					}
					defer func() {
						r.fs.Release(e.Node, true)
						handed[w].Store(int64(i)) // what is not closed was promised to nobody
						r.fs.Forget(e.Node, 1)
					}()
					b := generation(sizes[rng.IntN(len(sizes))], i)
					for off := 0; off < len(b); off += 64 << 10 {
						if _, err := r.fs.Write(e.Node, b[off:min(off+64<<10, len(b))], int64(off)); err != nil {
							return err
						}
					}
					fsync := rng.IntN(2) == 0
					if fsync {
						if err := r.fs.Fsync(e.Node); err != nil {
							return err
						}
					}
					if err := r.fs.Rename(r.vol, tmp, r.vol, fmt.Sprint("w", w), 0); err != nil {
						return err
					}
					if fsync {
						if err := r.fs.Fsync(r.vol); err != nil {
							return err
						}
						onDisk[w].Store(int64(i))
					}
					return nil
				}()
				if err != nil {
					t.Errorf("writer %d, round %d: %v", w, i, err)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 1))
	deaths := 3
	if *faultSeconds > 0 && !raced {
		deaths = 12
	}
	for k := range deaths {
		for until := onDisk[k%writers].Load() + 3; onDisk[k%writers].Load() < until && !t.Failed(); {
			_ = r.st.Sync()
		}
		var low [writers]int64
		percent := 0
		for w := range writers {
			low[w] = onDisk[w].Load()
			if k%3 == 0 {
				low[w] = handed[w].Load()
			}
		}
		if k%3 == 0 {
			percent = 100
		}
		died := &rig{tb: t, disk: disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), keys: r.keys, clock: r.clock, boot: "two"}
		if percent == 100 {
			died.boot = r.boot
		}
		var high [writers]int64
		for w := range writers {
			high[w] = begun[w].Load()
		}
		died.open()
		for range 2 {
			for w := range writers {
				name := fmt.Sprint("w", w)
				b, err := died.tryGet(died.vol, name)
				if errors.Is(err, ErrNotExist) && low[w] == 0 {
					continue // its writer had not come to promise anything
				}
				if err != nil {
					t.Errorf("death %d, %d%%: %s: %v", k, percent, name, err)
					continue
				}
				ok := false
				for i := low[w]; i <= high[w] && !ok; i++ {
					ok = slices.ContainsFunc(sizes, func(n int) bool { return bytes.Equal(b, generation(n, int(i))) })
				}
				if !ok {
					t.Errorf("death %d, %d%%: %s is no whole version from %d to %d: %d bytes, beginning %q", k, percent, name, low[w], high[w], len(b), b[:min(20, len(b))])
				}
			}
			died.check()
			died.seal()
			died.settled()
			died.collect()
		}
		died.close()
	}
	stop()
	all.Wait()
	r.close()
}

// generation is bytes that say which they are, in every 4 KiB.
func generation(n, i int) []byte {
	b := pattern(n, byte(i))
	for off := 0; off+20 < n; off += 4096 {
		copy(b[off:], fmt.Sprintf("%010d.%06d", i, off/4096))
	}
	return b
}
