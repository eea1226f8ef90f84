package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A History is what happened in one run.
type History struct {
	Seed  uint64
	Trace []byte // a line for everything that happened
	Err   error  // what a check found; nil: nothing
}

// Run replays the history of a seed. Histories are independent of each other, and may run side by side.
func Run(s *Setting, seed uint64) History {
	rnd := rand.New(rand.NewPCG(seed, 0x73696d))
	w := &world{Setting: s, rnd: rnd, plan: drawPlan(rnd), frames: map[eventlog.FrameHash]*eventlog.Frame{}}
	w.plan.again = rand.New(rand.NewPCG(seed, 0x616761696e)).IntN(4) > 0 // by itself: other seeds stay what they were
	w.net.w = w
	w.sequencer = sequencer{w: w, committed: map[eventlog.FrameHash]bool{}}
	err := w.guard(w.live)
	return History{seed, w.trace.Bytes(), err}
}

// guard returns what ended do: a failure, or a panic in what is simulated.
func (w *world) guard(do func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			w.tell("FAILED: %v", p.error)
			err = p.error
		default:
			w.tell("FAILED: panic: %v", p)
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	do()
	return nil
}

// live is the whole history.
func (w *world) live() {
	w.tell("%v", w.plan)
	for i := range w.plan.replicas {
		keyring := w.devices[i]
		r := w.addReplica(string(rune('A'+i)), keyring, vfs.NewCrashableMem(),
			kept{map[eventlog.FrameHash]bool{}, keyring.Incarnation()})
		r.start()
		if i == 0 || w.chance(30) { // others may begin the volume too: it is one
			r.begin()
		}
	}
	w.accidents()
	w.run(w.plan.length)
	w.finish()
	for _, r := range w.replicas {
		r.stop()
	}
}

// begin makes the volume's first event.
func (r *replica) begin() {
	r.handed(r.log.Update(func(tx *eventlog.Tx) error {
		now := r.w.clock()
		tx.Append(eventlog.Event{Time: now, Body: tree.Encode(tree.Begin{Reducer: tree.Name, Time: now})})
		return nil
	}))
}
