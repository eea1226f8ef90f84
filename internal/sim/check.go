package sim

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// open reads a version's content from a replica's blocks.
func (w *world) open(r *replica, v tree.Version) *ipld.Reader {
	return ipld.OpenContent(r.blocks, v.Content)
}

// checkPromises looks at what a replica must have after a start.
func (r *replica) checkPromises() {
	for h := range r.kept.frames {
		if !r.known[h] {
			r.w.fail("%s lost frame %s, which was on its disk", r.name, name(h))
		}
	}
	for _, v := range r.w.closed {
		if v.by == r && v.due && !v.away && !v.lost {
			r.checkVersion(v)
		}
	}
	r.checkState()
}

// checkVersion looks whether a version is there, with its bytes.
func (r *replica) checkVersion(v *closed) {
	data, err := r.read(v.id)
	if err != nil {
		r.w.fail("%s lost version %x, which %s had closed: %w", r.name, v.id[:4], v.by.name, err)
	}
	if sha256.Sum256(data) != v.sum {
		r.w.fail("%s shows other bytes in version %x than %s had closed", r.name, v.id[:4], v.by.name)
	}
}

// checkState compares a replica's state with what its log leads to, and its log with the order that it must have.
func (r *replica) checkState() {
	s, entries := r.folded()
	if d := r.dump().differ(s); d != "" {
		r.w.fail("%s: the state is not what its log leads to: %s", r.name, d)
	}
	r.w.must(r.name, tree.Check(s))
	r.checkOrder(entries)
}

// look checks a replica's state now and then.
func (r *replica) look() {
	if r.w.chance(1) {
		r.checkState()
	}
}

// checkOrder looks at the frames of a replica in the order in which it applied them.
func (r *replica) checkOrder(entries []eventlog.Entry) {
	seq := &r.w.sequencer
	at, _ := r.log.Committed()
	n := 0
	var suffix []*eventlog.Frame
	for _, e := range entries {
		p := e.Position
		switch p.Stage {
		case eventlog.StageCommitted:
			if n == len(seq.order) || seq.order[n] != (placed{p.Index, p.Place, e.Frame}) {
				r.w.fail("%s has committed frame %s at %d/%d, the %d-th; the commit rule gives another", r.name, name(e.Frame),
					p.Index, p.Place, n)
			}
			n++
		case eventlog.StageTentative:
			suffix = append(suffix, r.w.frames[e.Frame])
		}
	}
	if n < len(seq.order) && seq.order[n].index <= at {
		r.w.fail("%s is at %d and has not committed frame %s", r.name, at, name(seq.order[n].hash))
	}
	if !slices.IsSortedFunc(suffix, func(a, b *eventlog.Frame) int {
		fa, fb := a.Feed().ID(), b.Feed().ID()
		return cmp.Or(cmp.Compare(a.Depth, b.Depth), bytes.Compare(fa[:], fb[:]), bytes.Compare(a.Hash[:], b.Hash[:]))
	}) {
		r.w.fail("%s has applied its tentative frames in another order than by depth, feed and hash", r.name)
	}
}

// finish heals everything, waits until nothing moves any more, and checks.
func (w *world) finish() {
	w.quiet = true
	w.net.heal()
	w.tell("everything heals")
	for _, r := range w.replicas {
		r.start()
	}
	for still := 0; still < 2; {
		w.run(w.now + 2*time.Second)
		why := w.unsettled()
		if still++; why != "" {
			still = 0
		}
		if w.now > w.plan.length+3*time.Minute {
			w.fail("after three minutes of peace: %s", why)
		}
	}
	w.tell("nothing moves")
	w.check()
}

// unsettled says what is still under way.
func (w *world) unsettled() string {
	for _, r := range w.replicas {
		s := r.log.Stats()
		if s.TentativeFrames > 0 || s.UnframedEvents > 0 || len(r.private) > 0 {
			return fmt.Sprintf("%s: %+v", r.name, s)
		}
		if es := w.sequencer.entries; len(es) > 0 && s.Index != es[len(es)-1].index {
			return fmt.Sprintf("%s has followed to %d", r.name, s.Index)
		}
		for _, c := range r.missingBlocks(1 << 10) {
			for _, other := range w.replicas {
				if has, err := other.blocks.Has(c); err != nil || has {
					return fmt.Sprintf("%s wants block %v, which %s has", r.name, c, other.name)
				}
			}
		}
		why := ""
		w.must("view", r.log.View(func(s eventlog.Reader) {
			tree.Unmerged(s, func(c tree.Conflict) bool {
				why = fmt.Sprintf("%s: conflict of %v, name %+v", r.name, c.File, c.Name)
				return false
			})
		}))
		if why != "" {
			return why
		}
	}
	return ""
}

// check looks at everything in the end.
func (w *world) check() {
	first := w.replicas[0].dump()
	for _, r := range w.replicas {
		if d := r.dump().differ(first); d != "" {
			w.fail("%s and %s have different trees: %s", r.name, w.replicas[0].name, d)
		}
		w.sequencer.check(r)
		r.checkState()
		for _, v := range w.closed {
			if v.due && !v.lost {
				r.checkVersion(v)
			}
		}
	}
	w.checkFrames()
	w.checkSnapshots()
	w.checkRestored()
	sum := sha256.New()
	for _, k := range first.keys {
		fmt.Fprintf(sum, "%q%q", k, first.vals[k])
	}
	due := 0
	for _, v := range w.closed {
		if v.due && !v.lost {
			due++
		}
	}
	w.tell("all have the state %x of %d keys, %d versions, %d frames", sum.Sum(nil)[:8], len(first.keys), due,
		len(w.sequencer.order))
}

// checkFrames looks for every frame that anybody has promised on every replica, committed if all that it
// needs is anywhere.
func (w *world) checkFrames() {
	here := map[eventlog.FrameHash]bool{}
	for _, r := range w.replicas {
		r.eachFrame(func(f *eventlog.Frame) { here[f.Hash] = true })
		for h := range r.kept.frames {
			if r.stored(h) == nil {
				w.fail("%s lost frame %s in the end", r.name, name(h))
			}
		}
	}
	whole := map[eventlog.FrameHash]bool{}
	for again := true; again; {
		again = false
		for h := range here {
			if !whole[h] && !slices.ContainsFunc(named(w.frames[h]), func(n eventlog.FrameHash) bool { return !whole[n] }) {
				whole[h], again = true, true
			}
		}
	}
	for h := range whole {
		if !w.sequencer.committed[h] {
			w.fail("frame %s is not committed in the end", name(h))
		}
	}
	if !w.copied && len(whole) != len(here) {
		w.fail("%d frames wait for others that are nowhere", len(here)-len(whole))
	}
}
