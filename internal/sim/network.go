package sim

import (
	"bytes"
	"time"
)

// A network carries messages between places: replicas by their number, and the sequencer.
type network struct {
	w      *world
	away   map[int]bool // on the other side of the partition
	halved bool         // there is a partition
}

// thePlace is the sequencer's.
const thePlace = -1

// reaches reports whether two places are on one side.
func (n *network) reaches(a, b int) bool { return !n.halved || n.away[a] == n.away[b] }

// send lets deliver happen after a while, or never, or twice.
func (n *network) send(from, to int, deliver func()) {
	w := n.w
	times := 1
	if !w.quiet && w.chance(w.plan.twice) {
		times = 2
	}
	for range times {
		if !n.reaches(from, to) || !w.quiet && w.chance(w.plan.loss) {
			continue
		}
		delay := w.between(time.Millisecond, w.plan.delay)
		if w.quiet {
			delay = w.between(time.Millisecond, 20*time.Millisecond)
		}
		w.after(delay, func() {
			if n.reaches(from, to) {
				deliver()
			}
		})
	}
}

// part cuts the network in two for a while.
func (n *network) part() {
	w := n.w
	if w.quiet || n.halved {
		return
	}
	n.halved, n.away = true, map[int]bool{thePlace: w.chance(50)}
	for i := range w.replicas {
		n.away[i] = w.chance(50)
	}
	w.tell("partition: %v", n.away)
	w.after(w.between(time.Second, w.plan.length/2), n.heal)
}

func (n *network) heal() {
	if n.halved {
		n.halved = false
		n.w.tell("the partition is over")
	}
}

// spoil flips a bit of some frames.
func (w *world) spoil(raws [][]byte) (out [][]byte, spoilt bool) {
	if w.quiet || len(raws) == 0 || !w.chance(w.plan.damage) {
		return raws, false
	}
	out = append(out, raws...)
	k := w.rnd.IntN(len(out))
	out[k] = bytes.Clone(out[k])
	out[k][w.rnd.IntN(len(out[k]))] ^= 1 << w.rnd.IntN(8)
	return out, true
}
