package sim

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// A world is one history under way.
type world struct {
	*Setting
	rnd   *rand.Rand
	plan  plan
	now   time.Duration // since the beginning
	queue queue
	made  uint64 // happenings that were queued
	trace bytes.Buffer

	replicas  []*replica
	net       network
	sequencer sequencer
	frames    map[eventlog.FrameHash]*eventlog.Frame // all that were ever made
	closed    []*closed
	quiet     bool // nobody edits any more, and nothing breaks
	copied    bool // a store was copied or restored
}

// epoch is the time of day at which every history begins.
const epoch = int64(1_700_000_000_000_000_000)

// clock is the time of day in ns, as all devices have it.
func (w *world) clock() int64 { return epoch + int64(w.now) }

// A happening is something that will happen.
type happening struct {
	at time.Duration
	n  uint64 // of two at the same moment the one that was queued first
	do func()
}

type queue []happening

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(happening)) }

func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].n < q[j].n
}

func (q *queue) Pop() any {
	h := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return h
}

// after lets do happen d from now.
func (w *world) after(d time.Duration, do func()) {
	w.made++
	heap.Push(&w.queue, happening{w.now + d, w.made, do})
}

// run lets everything happen up to a moment.
func (w *world) run(until time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= until {
		h := heap.Pop(&w.queue).(happening)
		w.now = h.at
		h.do()
	}
	w.now = until
}

// between draws a duration.
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rnd.Int64N(int64(hi-lo)+1))
}

// chance is true in percent of all cases.
func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

// tell adds a line to the trace.
func (w *world) tell(format string, args ...any) {
	fmt.Fprintf(&w.trace, "%9.3f ", w.now.Seconds())
	fmt.Fprintf(&w.trace, format, args...)
	w.trace.WriteByte('\n')
}

// A failure ends a history: a check found something.
type failure struct{ error }

// fail ends the history.
func (w *world) fail(format string, args ...any) {
	panic(failure{fmt.Errorf(format, args...)})
}

// must ends the history on an error that cannot be in it.
func (w *world) must(what string, err error) {
	if err != nil {
		w.fail("%s: %w", what, err)
	}
}
