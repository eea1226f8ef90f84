package compaction

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// A workload is what comes in each second, and how many records the state has then.
type workload struct {
	name    string
	seconds int
	come    func(s int) (events, records int)
	bytes   uint64 // of an event in the order's log
}

// The loads of each: events and bytes of the order as they were counted when the same was done on a mount (docs/PERFORMANCE.md), on a clock that is
// simulated.
var workloads = []workload{
	{"untar", 2 * 3600, func(s int) (int, int) { // Go's source tree, every quarter of an hour
		if s%900 < 4 {
			return 3240, 3240 * 5
		}
		return 0, 0
	}, 350},
	{"editor's day", 8 * 3600, func(s int) (int, int) { // a save every 20 s for 40 min, then 20 min of something else
		if s%3600 < 2400 && s%20 == 0 {
			return 2, 2
		}
		return 0, 0
	}, 185},
	{"SQLite", 2 * 3600, func(s int) (int, int) { return 18, 18 }, 200},        // four inserts a second, each by a program of its own
	{"churn of one file", 3600, func(s int) (int, int) { return 20, 20 }, 940}, // written anew ten times a second
	{"move of 100,000 files", 2 * 3600, func(s int) (int, int) { // made in four minutes, moved ten minutes later in one
		switch {
		case s < 240:
			return 420, 420 * 5
		case s >= 840 && s < 900:
			return 1667, 1667
		}
		return 0, 0
	}, 20},
}

// measured are rates of one machine, see BenchmarkCheckpoint and BenchmarkRebase: what a checkpoint costs grows with the records that it
// goes over.
const perEvent = 60 * time.Microsecond

func makeCost(records int) time.Duration {
	return 5*time.Millisecond + time.Duration(records)*1500*time.Nanosecond
}

func targets() Targets { return DefaultTargets(256 << 20) }

// run plays a workload, and returns what a policy cost: making checkpoints, holding what came, and ten times as much for what is beyond
// the targets.
func run(w workload, due func(now time.Time, r Rates, l Load) bool, made func()) (cost float64, checkpoints int) {
	t := targets()
	records := 50_000
	var l Load
	now := time.Unix(1e9, 0)
	for s := range w.seconds {
		e, rec := w.come(s)
		l.Events += uint64(e)
		l.Bytes += uint64(e) * w.bytes
		records += rec
		now = now.Add(time.Second)
		r := Rates{PerEvent: perEvent, Make: makeCost(records)}
		cost += Cost(t, r, l, time.Second)
		if over := time.Duration(l.Events)*perEvent - t.Replay; over > 0 {
			cost += 10 * over.Seconds() / t.Period.Seconds()
		}
		if due(now, r, l) {
			cost += r.Make.Seconds()
			checkpoints++
			l = Load{}
			made()
		}
	}
	return cost, checkpoints
}

func fixed(w workload, every uint64) (float64, int) {
	return run(w, func(_ time.Time, _ Rates, l Load) bool { return l.Events >= every }, func() {})
}

func modelled(w workload) (float64, int) {
	m := &Model{}
	return run(w, func(now time.Time, r Rates, l Load) bool { return m.Look(now, targets(), r, l) != "" }, func() { m.Made(Load{}) })
}

// The model costs at most a tenth more than the best fixed interval of each workload, which nobody knows before, and no single interval is
// better on all of them together.
func TestNearTheBestInterval(t *testing.T) {
	var intervals []uint64
	for e := 1.0; e < 2e6; e *= 1.1 {
		intervals = append(intervals, uint64(math.Ceil(e)))
	}
	sums := make([]float64, len(intervals))
	var mine float64
	for _, w := range workloads {
		best, at := math.Inf(1), uint64(0)
		for i, e := range intervals {
			c, _ := fixed(w, e)
			sums[i] += c
			if c < best {
				best, at = c, e
			}
		}
		c, n := modelled(w)
		mine += c
		t.Logf("%-22s cost %.3f s with %d checkpoints; best interval %d events: %.3f s", w.name, c, n, at, best)
		if c > 1.1*best {
			t.Errorf("%s: the model costs %.3f s, the best interval (%d events) %.3f", w.name, c, at, best)
		}
	}
	best, at := math.Inf(1), uint64(0)
	for i, c := range sums {
		if c < best {
			best, at = c, intervals[i]
		}
	}
	t.Logf("all: %.3f s; best single interval %d events: %.3f s", mine, at, best)
	if mine > best {
		t.Errorf("all together: the model costs %.3f s, an interval of %d events %.3f", mine, at, best)
	}
}

func ExampleModel() {
	m := &Model{}
	t, r := DefaultTargets(64<<20), Rates{PerEvent: 50 * time.Microsecond, Make: 100 * time.Millisecond}
	now := time.Unix(0, 0)
	for _, events := range []uint64{0, 100, 50_000} {
		now = now.Add(time.Second)
		fmt.Printf("%q\n", m.Look(now, t, r, Load{Events: events}))
	}
	// Output:
	// ""
	// ""
	// "what a device would have to replay has come to the target"
}
