package daemon

import (
	"math"
	"sort"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/internal/compaction"
)

// What a policy costs on a recorded workload, in seconds of work: the checkpoints that it makes, holding what came since each, and ten times as much for
// what is beyond the targets.

// A tally is what a policy cost.
type tally struct {
	cost        float64
	checkpoints int
}

// play plays a workload: every second, as the compactor does, due is asked whether to make a checkpoint, and told what is known then.
func (w *recorded) play(due func(now time.Time, r compaction.Rates, l compaction.Load) bool) (sum tally) {
	t := compaction.DefaultTargets(256 << 20)
	began := time.Unix(1e9, 0)
	known := compaction.Rates{PerEvent: time.Duration(w.Replay)}
	var last time.Duration   // what the last checkpoint cost, as the compactor knows it
	var events, bytes uint64 // that it has
	at := 0                  // in the trace
	each := w.anew()
	for s := 1; s <= w.Seconds; s++ {
		var e, b uint64
		e, b, at = w.cameBy(uint64(s)*1000, at)
		l := compaction.Load{Events: e - events, Bytes: b - bytes}
		sum.cost += compaction.Cost(t, known, l, time.Second)
		if over := time.Duration(l.Events)*known.PerEvent - t.Replay; over > 0 {
			sum.cost += 10 * over.Seconds() / t.Period.Seconds()
		}
		known.Make = grown(last, events, e)
		if due(began.Add(time.Duration(s)*time.Second), known, l) {
			last = w.again(e)
			sum.cost += last.Seconds() + each*float64(l.Events)/1e9
			sum.checkpoints++
			events, bytes = e, b
		}
	}
	return sum
}

// cameBy is what had come by a time. The search begins at a place of the trace, and tells the next one's.
func (w *recorded) cameBy(ms uint64, from int) (events, bytes uint64, at int) {
	for at = from; at+1 < len(w.Trace) && w.Trace[at+1][0] <= ms; at++ {
	}
	a := w.Trace[at]
	if at+1 == len(w.Trace) || ms <= a[0] {
		return a[1], a[2], at
	}
	b := w.Trace[at+1]
	part := float64(ms-a[0]) / float64(b[0]-a[0])
	return a[1] + uint64(part*float64(b[1]-a[1])), a[2] + uint64(part*float64(b[2]-a[2])), at
}

// again is what going over what is there costs when so many events have come: as it was measured, and evenly in between.
func (w *recorded) again(events uint64) time.Duration {
	k := sort.Search(len(w.Makes), func(k int) bool { return w.Makes[k].Events >= events })
	b := w.Makes[min(k, len(w.Makes)-1)]
	a := w.Makes[max(k-1, 0)]
	cost := float64(b.Took - b.Anew)
	if a.Events < events && events < b.Events {
		part := float64(events-a.Events) / float64(b.Events-a.Events)
		cost = part*cost + (1-part)*float64(a.Took-a.Anew)
	}
	return time.Duration(cost)
}

// anew is what each event since the last checkpoint adds to the next.
func (w *recorded) anew() float64 {
	var ns, events float64
	for _, m := range w.Makes {
		ns += float64(m.Anew)
		events += float64(m.Since)
	}
	return ns / events
}

func (w *recorded) fixed(every uint64) tally {
	return w.play(func(_ time.Time, _ compaction.Rates, l compaction.Load) bool { return l.Events >= every })
}

func (w *recorded) modelled() tally {
	m := &compaction.Model{}
	t := compaction.DefaultTargets(256 << 20)
	return w.play(func(now time.Time, r compaction.Rates, l compaction.Load) bool {
		if m.Look(now, t, r, l) == "" {
			return false
		}
		m.Made(compaction.Load{})
		return true
	})
}

// intervals are those that are tried, in events.
func intervals() (list []uint64) {
	for e := 1.0; e < 1e6; e *= 1.1 {
		list = append(list, uint64(math.Ceil(e)))
	}
	return list
}

// best is the fixed interval that costs least, which nobody knows before.
func (w *recorded) best() (cost float64, every uint64) {
	cost = math.Inf(1)
	for _, e := range intervals() {
		if c := w.fixed(e).cost; c < cost {
			cost, every = c, e
		}
	}
	return cost, every
}

// The model costs at most a tenth more than the best fixed interval of each workload, and no single interval is better on all of them together.
func TestNearTheBestInterval(t *testing.T) {
	t.Parallel()
	tried := intervals()
	sums := make([]float64, len(tried))
	var mine float64
	for _, load := range workloads {
		w := loadWorkload(t, load.name)
		best, at := math.Inf(1), uint64(0)
		for i, e := range tried {
			c := w.fixed(e).cost
			sums[i] += c
			if c < best {
				best, at = c, e
			}
		}
		is := w.modelled()
		mine += is.cost
		t.Logf("%-8s cost %.3f s with %d checkpoints; best interval %d events: %.3f s", load.name, is.cost, is.checkpoints, at, best)
		if is.cost > 1.1*best {
			t.Errorf("%s: the model costs %.3f s, the best interval (%d events) %.3f", load.name, is.cost, at, best)
		}
	}
	best, at := math.Inf(1), uint64(0)
	for i, c := range sums {
		if c < best {
			best, at = c, tried[i]
		}
	}
	t.Logf("all: %.3f s; best single interval %d events: %.3f s", mine, at, best)
	if mine > best {
		t.Errorf("all together: the model costs %.3f s, an interval of %d events %.3f", mine, at, best)
	}
}
