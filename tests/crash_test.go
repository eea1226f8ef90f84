package tests

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	crashSeconds = flag.Int("crash", 0, "how many seconds TestCrash goes on (0: a few rounds)")
	crashSeed    = flag.Uint64("crash-seed", 0, "what its operations are drawn from (0: with -crash a new seed, else the same each time)")
)

// TestCrash kills the daemon with SIGKILL while programs work, again and again, and holds what is there after the next
// start against what was acknowledged before: promises 1 and 2. A run of `make crash` goes on for as long as it is told.
func TestCrash(t *testing.T) {
	t.Parallel()
	budget := time.Duration(*crashSeconds) * time.Second
	seed := seeded(t, "crash", 1, *crashSeed, *crashSeconds)
	c := newCrash(t, seed)
	start, rounds := time.Now(), 0
	for ; rounds < 2 || time.Since(start) < budget; rounds++ {
		c.round()
		if t.Failed() {
			return
		}
	}
	c.stop()
	c.start()
	c.check("a clean unmount")
	calls := 0
	for _, w := range c.workers {
		calls += w.calls
	}
	t.Logf("%d rounds, %d calls, %d atomic saves in %v; the slowest start took %v",
		rounds, calls, c.saver.saved, time.Since(start).Round(time.Millisecond), c.slowest.Round(time.Millisecond))
}

// A crash is a mount and those who work on it.
type crash struct {
	*rig
	rand    *rand.Rand
	workers []*worker
	saver   *saver
	slowest time.Duration
}

func newCrash(t *testing.T, seed uint64) *crash {
	c := &crash{rig: newRig(t), rand: rand.New(rand.NewPCG(seed, 0))}
	c.start()
	for i := range 4 {
		w := &worker{acked: model{}, rand: rand.New(rand.NewPCG(seed, uint64(i+1)))}
		switch i {
		case 0: // volumes are made and removed in an identity's directory
			if res := c.rhizome("identity", "new", "other"); res.err != nil {
				t.Fatal(res.stderr)
			}
			w.root, w.flat = c.mnt+"/other", true
		default:
			w.root = c.me(fmt.Sprintf("w%d", min(i, 2))) + "/" // two share a volume
			if err := os.MkdirAll(w.root, 0o755); err != nil {
				t.Fatal(err)
			}
			w.root += fmt.Sprintf("in%d", i)
			if err := os.Mkdir(w.root, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		c.workers = append(c.workers, w)
	}
	c.saver = newSaver(t, c.me("w1"), rand.New(rand.NewPCG(seed, 99)))
	return c
}

func (c *crash) start() {
	c.t.Helper()
	began := time.Now()
	c.rig.start()
	c.slowest = max(c.slowest, time.Since(began))
}

// round lets everybody work for a moment, kills the daemon in the midst, starts it again and looks.
func (c *crash) round() {
	c.t.Helper()
	stop := make(chan struct{})
	var working, watching sync.WaitGroup
	for _, w := range c.workers {
		working.Go(func() { w.work(stop) })
	}
	working.Go(func() { c.saver.work(stop) })
	watching.Go(func() { c.saver.watch(stop) })
	load := time.NewTimer(time.Duration(10+c.rand.IntN(900)) * time.Millisecond)
	<-load.C
	killed := time.Now()
	c.kill()
	close(stop)
	working.Wait()
	watching.Wait()
	for _, w := range c.workers {
		if w.err != nil && (!gone(w.err) || w.ended.Before(killed)) {
			c.t.Errorf("%s, %v after the kill: %v", w.root, w.ended.Sub(killed), w.err)
		}
	}
	c.start()
	c.check("a kill")
}

func (c *crash) check(after string) {
	c.t.Helper()
	for _, w := range c.workers {
		if err := w.check(); err != nil {
			c.t.Errorf("%s after %s: %v", w.root, after, err)
		}
	}
	if err := c.saver.check(); err != nil {
		c.t.Errorf("after %s: %v", after, err)
	}
	if s := c.status(); len(s.Damage) > 0 || len(s.Health) > 0 {
		c.t.Errorf("after %s: %v %v", after, s.Damage, s.Health)
	}
}

// gone reports whether a call failed because nobody serves the mount any more. A long write that was cut short says EIO.
func gone(err error) bool {
	return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EIO)
}
