package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// A sequencer orders what reaches it, as it is. It is never lost, and always at one place. It reckons by itself what
// its order comes to by the commit rule: INVARIANT: committed, order and hash are those after the last entry.
type sequencer struct {
	w         *world
	index     eventlog.Index
	entries   []entry
	committed map[eventlog.FrameHash]bool
	order     []placed
	hash      [32]byte
}

// An entry has a place in the order.
type entry struct {
	index  eventlog.Index
	frames [][]byte
	hash   [32]byte // the order hash behind it
}

// A placed frame is a committed one.
type placed struct {
	index eventlog.Index
	place uint32
	hash  eventlog.FrameHash
}

// take gives frames the next place. Places that the sequencer needs for itself are left out.
func (s *sequencer) take(frames [][]byte) {
	s.index++
	if s.w.chance(15) {
		s.index += eventlog.Index(s.w.rnd.IntN(3))
	}
	place := uint32(0)
	for _, raw := range frames {
		f, err := eventlog.ParseFrame(raw)
		if err != nil || s.w.frames[f.Hash] == nil || !s.mayCommit(f) {
			continue // nobody made it: it came damaged
		}
		s.committed[f.Hash] = true
		s.order = append(s.order, placed{s.index, place, f.Hash})
		place++
		b := binary.BigEndian.AppendUint64(slices.Clone(s.hash[:]), uint64(s.index))
		s.hash = sha256.Sum256(append(b, f.Hash[:]...))
	}
	s.entries = append(s.entries, entry{s.index, frames, s.hash})
	s.w.tell("sequencer: %d: %s, of which %d are committed", s.index, names(frames), place)
}

// mayCommit is the commit rule: once, and after all that a frame names.
func (s *sequencer) mayCommit(f *eventlog.Frame) bool {
	if s.committed[f.Hash] {
		return false
	}
	for _, h := range named(f) {
		if !s.committed[h] {
			return false
		}
	}
	return true
}

// named lists the frames that one names.
func named(f *eventlog.Frame) []eventlog.FrameHash {
	hs := slices.Clone(f.BuildsOn)
	if f.First > 1 {
		hs = append(hs, f.Prev)
	}
	return hs
}

// behind returns up to n entries behind an index.
func (s *sequencer) behind(i eventlog.Index, n int) []entry {
	at, _ := slices.BinarySearchFunc(s.entries, i+1, func(e entry, i eventlog.Index) int { return int(e.index) - int(i) })
	return s.entries[at:min(at+n, len(s.entries))]
}

// check compares a replica's order with the sequencer's.
func (s *sequencer) check(r *replica) {
	i, hash := r.log.Committed()
	want := [32]byte{}
	if i > 0 {
		at, ok := slices.BinarySearchFunc(s.entries, i, func(e entry, i eventlog.Index) int { return int(e.index) - int(i) })
		if !ok {
			s.w.fail("%s is at %d, which the sequencer never gave", r.name, i)
		}
		want = s.entries[at].hash
	}
	if hash != want {
		s.w.fail("%s has order hash %x at %d; the commit rule gives %x", r.name, hash[:4], i, want[:4])
	}
}
