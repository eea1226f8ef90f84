package sim

import (
	"bytes"
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seconds = flag.Int("seconds", 0, "how long TestHistories goes on, with every processor; 0: the same few histories each time")
	seed    = flag.Uint64("seed", 0, "the one history that TestHistories replays, and shows")
	from    = flag.Uint64("first", 0, "the seed with which -seconds begins; 0: one that nobody has seen")
)

// everyday is how many histories every run of the tests replays: make sim looks at others.
const everyday = 30

func newSetting(t *testing.T) *Setting {
	t.Helper()
	s, err := NewSetting()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHistories replays histories until the budget is used up.
func TestHistories(t *testing.T) {
	s := newSetting(t)
	if *seed != 0 {
		h := Run(s, *seed)
		t.Logf("%s", h.Trace)
		if h.Err != nil {
			t.Fatal(h.Err)
		}
		return
	}
	// A test run replays the same histories each time, beside other tests; a search (-seconds) has the machine to itself, and
	// looks at new ones, unless it is told where to begin.
	first, workers := max(*from, 1), 1
	last := first + everyday - 1
	if *seconds > 0 {
		last, workers = ^uint64(0), runtime.GOMAXPROCS(0)
		if *from == 0 {
			first = uint64(time.Now().UnixNano())
		}
	}
	begin, budget := time.Now(), time.Duration(*seconds)*time.Second
	var next, done atomic.Uint64
	next.Store(first)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for !t.Failed() && (*seconds == 0 || time.Since(begin) < budget) {
				n := next.Add(1) - 1
				if n > last {
					return
				}
				if h := Run(s, n); h.Err != nil {
					t.Errorf("%s%v\nreplay: go test -run TestHistories ./internal/sim -v -args -seed %d", h.Trace, h.Err, n)
				}
				done.Add(1)
			}
		})
	}
	working.Wait()
	n := done.Load()
	t.Logf("%d histories, %.0f per second", n, float64(n)/time.Since(begin).Seconds())
}

// Histories in which a check once found something.
func TestFoundHistories(t *testing.T) {
	t.Parallel()
	s := newSetting(t)
	for _, seed := range []uint64{
		1795367063010274539, // a copy of a store put an edit into the creation of a file that the other had framed alone
	} {
		if h := Run(s, seed); h.Err != nil {
			t.Errorf("seed %d: %v", seed, h.Err)
		}
	}
}

// One seed gives one history, to the byte.
func TestReplay(t *testing.T) {
	s := newSetting(t)
	for seed := uint64(1000); seed < 1004; seed++ {
		a, b := Run(s, seed), Run(newSetting(t), seed)
		if !bytes.Equal(a.Trace, b.Trace) {
			t.Fatalf("seed %d: one run\n%s\nanother\n%s", seed, a.Trace, b.Trace)
		}
	}
}
