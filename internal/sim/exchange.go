package sim

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/ipld"
)

// peer draws another replica.
func (r *replica) peer() *replica {
	k := r.w.rnd.IntN(len(r.w.replicas) - 1)
	if k >= r.n {
		k++
	}
	return r.w.replicas[k]
}

// sendFrames sends frames to a replica, a few in each message.
func (r *replica) sendFrames(to *replica, raws [][]byte) {
	for len(raws) > 0 {
		n := min(len(raws), 1+r.w.rnd.IntN(8))
		part, spoilt := r.w.spoil(raws[:n])
		raws = raws[n:]
		r.w.net.send(r.n, to.n, func() { to.receive(part, spoilt) })
	}
}

// offer sends the newest frames to everybody.
func (r *replica) offer() {
	var raws [][]byte
	for _, f := range r.uncommitted() {
		if f.Device == r.keyring.Device() {
			raws = append(raws, f.Raw)
		}
	}
	raws = raws[max(0, len(raws)-4):]
	for _, to := range r.w.replicas {
		if to != r {
			r.sendFrames(to, raws)
		}
	}
}

// uncommitted lists the tentative frames that may leave.
func (r *replica) uncommitted() (fs []*eventlog.Frame) {
	r.w.must("uncommitted", r.log.Uncommitted(func(f *eventlog.Frame) bool {
		if !r.private[f.Hash] {
			fs = append(fs, f)
		}
		return true
	}))
	return fs
}

// receive takes frames from the network.
func (r *replica) receive(raws [][]byte, spoilt bool) {
	if !r.up() {
		return
	}
	defer r.disturb()()
	n, err := r.log.ReceiveAll(raws)
	if spoilt {
		bad := errors.Is(err, eventlog.ErrBadFrame) || errors.Is(err, eventlog.ErrRefused) ||
			errors.Is(err, eventlog.ErrVersion) || errors.Is(err, eventlog.ErrTooBig)
		if !bad {
			r.w.fail("%s took a damaged frame: %v", r.name, err)
		}
		return
	}
	r.w.must(r.name+" receives", err)
	if n > 0 {
		r.w.tell("%s receives %s, %d new", r.name, names(raws), n)
	}
	r.note(raws)
}

// note remembers frames that the log took.
func (r *replica) note(raws [][]byte) {
	for _, raw := range raws {
		f, err := eventlog.ParseFrame(raw)
		if err == nil && r.w.frames[f.Hash] != nil {
			r.know(f)
		}
	}
	r.settle()
}

// disturb lets somebody do something in the middle of the next rebase, sometimes.
func (r *replica) disturb() func() {
	if !r.w.quiet && r.w.chance(25) {
		r.meddle = func() {
			r.w.tell("%s: in the middle of a rebase", r.name)
			r.edit()
			r.seal()
		}
	}
	return func() {
		r.meddle = nil
		r.look()
	}
}

// gossip asks a peer for what it has and this replica has not.
func (r *replica) gossip() {
	to := r.peer()
	heads := r.log.Heads()
	r.w.net.send(r.n, to.n, func() {
		if to.up() {
			to.sendFrames(r, to.missing(heads))
		}
	})
}

// missing returns the frames that are here and not behind heads, each after those that it continues.
func (r *replica) missing(theirs []eventlog.Head) (raws [][]byte) {
	has := map[eventlog.FrameHash]bool{}
	for _, h := range theirs {
		// What is behind a head that is known here is there.
		for f := r.frame(h.Hash); f != nil && !has[f.Hash]; f = r.frame(f.Prev) {
			has[f.Hash] = true
		}
	}
	for _, h := range r.log.Heads() {
		var line [][]byte
		for f := r.frame(h.Hash); f != nil && !has[f.Hash]; f = r.frame(f.Prev) {
			has[f.Hash] = true
			if !r.private[f.Hash] {
				line = append(line, f.Raw)
			}
		}
		slices.Reverse(line)
		raws = append(raws, line...)
	}
	return raws
}

// frame returns a frame that is here, or nil.
func (r *replica) frame(h eventlog.FrameHash) *eventlog.Frame {
	if !r.known[h] {
		return nil
	}
	return r.w.frames[h]
}

// stored reads a frame from the log; nil: it is not there.
func (r *replica) stored(h eventlog.FrameHash) *eventlog.Frame {
	f, err := r.log.Frame(h)
	if errors.Is(err, eventlog.ErrNotHere) {
		return nil
	}
	r.w.must("frame", err)
	return f
}

// propose sends tentative frames to the sequencer, sometimes too many, too few, or in a wrong order.
func (r *replica) propose() {
	w := r.w
	fs := slices.DeleteFunc(r.uncommitted(), func(f *eventlog.Frame) bool {
		at, ok := r.proposed[f.Hash]
		return ok && w.now-at < 2*time.Second
	})
	if len(fs) > 0 && !w.quiet && w.chance(w.plan.wild) {
		switch w.rnd.IntN(3) {
		case 0:
			w.rnd.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
		case 1:
			k := w.rnd.IntN(len(fs))
			fs = fs[k : k+1]
		case 2:
			fs = slices.DeleteFunc(fs, func(*eventlog.Frame) bool { return w.chance(30) })
		}
	}
	var raws [][]byte
	for _, f := range fs[:min(len(fs), 30)] {
		raws = append(raws, f.Raw)
		r.proposed[f.Hash] = w.now
	}
	if len(raws) == 0 {
		return
	}
	raws, _ = w.spoil(raws)
	w.net.send(r.n, thePlace, func() { w.sequencer.take(raws) })
}

// follow asks the sequencer for what it ordered since.
func (r *replica) follow() {
	w := r.w
	from, _ := r.log.Committed()
	most := 1 + w.rnd.IntN(12)
	w.net.send(r.n, thePlace, func() {
		entries := w.sequencer.behind(from, most)
		if len(entries) > 0 {
			w.net.send(thePlace, r.n, func() { r.commit(from, entries) })
		}
	})
}

// commit takes entries of the order that follow an index, unless some before them are missing.
func (r *replica) commit(from eventlog.Index, entries []entry) {
	if !r.up() {
		return
	}
	at, _ := r.log.Committed()
	if from > at || entries[len(entries)-1].index <= at && !r.w.chance(20) {
		return
	}
	defer r.disturb()()
	if r.w.chance(50) {
		var all []eventlog.Ordered
		for _, e := range entries {
			all = append(all, eventlog.Ordered{Index: e.index, Frames: e.frames})
		}
		r.w.must(r.name+" commits", r.log.CommitAll(all))
	} else {
		for _, e := range entries {
			r.w.must(r.name+" commits", r.log.Commit(e.index, e.frames...))
		}
	}
	for _, e := range entries {
		if e.index > at {
			r.note(e.frames)
		}
	}
	i, hash := r.log.Committed()
	r.w.tell("%s follows to %d, order %x", r.name, i, hash[:4])
	r.w.sequencer.check(r)
}

// want asks a peer for blocks that frames name and that are not here.
func (r *replica) want() {
	missing := r.missingBlocks(20)
	if len(missing) == 0 {
		return
	}
	to := r.peer()
	r.w.net.send(r.n, to.n, func() {
		if !to.up() {
			return
		}
		var got []ipld.Block
		for _, c := range missing {
			b, err := to.blocks.Get(c)
			if err == nil {
				got = append(got, b)
			} else if !errors.Is(err, ipld.ErrNotFound) {
				r.w.must("get block", err)
			}
		}
		if len(got) > 0 {
			r.w.net.send(to.n, r.n, func() { r.takeBlocks(got) })
		}
	})
}

func (r *replica) takeBlocks(bs []ipld.Block) {
	if !r.up() {
		return
	}
	for _, b := range bs {
		r.w.must("verify block", b.Verify())
	}
	r.w.must("put blocks", r.blocks.Put(bs...))
	r.changed = r.w.now
	r.settle()
}

// missingBlocks lists a few blocks that are not here.
func (r *replica) missingBlocks(most int) (missing []ipld.CID) {
	var roots []ipld.CID
	for c := range r.roots {
		roots = append(roots, c)
	}
	slices.SortFunc(roots, func(a, b ipld.CID) int { return bytes.Compare(a[:], b[:]) })
	for _, root := range roots {
		n := len(missing)
		missing = append(missing, r.missingBelow(root)...)
		if len(missing) == n {
			delete(r.roots, root)
		}
		if len(missing) >= most {
			return missing[:most]
		}
	}
	return missing
}

// missingBelow lists the blocks of a tree that are not here, as far as can be known.
func (r *replica) missingBelow(root ipld.CID) (missing []ipld.CID) {
	has, err := r.blocks.Has(root)
	r.w.must("has block", err)
	if !has {
		return []ipld.CID{root}
	}
	if root.Codec() == ipld.Raw {
		return nil
	}
	b, err := r.blocks.Get(root)
	r.w.must("get block", err)
	children, err := ipld.Children(b)
	r.w.must("children", err)
	for _, c := range children {
		missing = append(missing, r.missingBelow(c)...)
	}
	return missing
}
