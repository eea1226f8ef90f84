package ipld

import (
	"cmp"
	"fmt"
	"slices"
)

// A Damage is something that is not as it was written. Put heals a block; a missing or cut segment
// heals when a collection finds that nothing that is needed was lost with it.
type Damage struct {
	Segment string // a segment's file name; "" if it is one block
	Block   CID    // zero if it is a segment
	What    string
}

// String is one line for a person.
func (d Damage) String() string {
	if d.Segment != "" {
		return fmt.Sprintf("segment %s: %s", d.Segment, d.What)
	}
	return fmt.Sprintf("block %s: %s", Format(d.Block), d.What)
}

// Damage lists what is known to be damaged: segments that are missing or cut, and blocks that a read
// found to be wrong. Reading any of them gives ErrDamaged; the rest is as it was.
func (s *Segments) Damage() []Damage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Damage
	for n, seg := range s.segments {
		if seg.wrong != "" {
			all = append(all, Damage{Segment: n.file(), What: seg.wrong})
		}
	}
	for c := range s.damage.blocks {
		all = append(all, Damage{Block: c, What: "it is not what was written"})
	}
	slices.SortFunc(all, func(a, b Damage) int {
		return cmp.Or(cmp.Compare(a.Segment, b.Segment), slices.Compare(a.Block[:], b.Block[:]))
	})
	return all
}

// noteDamaged remembers that a block could not be read.
func (s *Segments) noteDamaged(c CID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damage.add(c)
}

// maxDamage bounds how many damaged blocks are remembered: a broken disk has enough of them.
const maxDamage = 10_000

// A damage remembers blocks that could not be read.
type damage struct {
	blocks map[CID]struct{}
}

func (d *damage) add(c CID) {
	if d.blocks == nil {
		d.blocks = map[CID]struct{}{}
	}
	if len(d.blocks) < maxDamage {
		d.blocks[c] = struct{}{}
	}
}

func (d *damage) has(c CID) bool {
	_, ok := d.blocks[c]
	return ok
}

// healed forgets a block that was written again.
func (d *damage) healed(c CID) { delete(d.blocks, c) }
