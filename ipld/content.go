package ipld

import (
	"fmt"
	"math"
)

// The shape of content is a function of its bytes alone, whatever edits led to them, so equal bytes
// have equal Content under one Sealer:
//
//   - A file lies on a grid of sections of 8 MiB. Within a section chunks are cut one after the other;
//     no chunk crosses the grid, so an edit moves cuts to the end of its section at most.
//   - A tree of level 1 is a section: a node that lists its chunks. A tree of level n+1 is a node that
//     lists up to 256 trees of level n. Its depth is the least level that covers the size.
//   - What is all zeros has no block: a hole in the list, or the zero Root.
//   - Content that is one chunk is that leaf, at depth 0.
const (
	SectionSize = 8 << 20
	fanout      = 256
	fanoutBits  = 8
	maxLevel    = 6 // covers every size that an int64 holds
)

// Content is where a file's bytes are. The zero Content is an empty file's.
type Content struct {
	_     struct{} `cbor:",toarray"`
	Size  int64
	Depth uint8 // 0: Root is a leaf, or the zero Link for zeros
	Root  Link
}

// A Range is a run of a file's bytes.
type Range struct{ Off, Len int64 }

// Check reports whether c can be the Content of any bytes, for what came from elsewhere.
func (c Content) Check() error {
	ok := c.Size >= 0
	switch {
	case c.Root.CID.IsZero():
		ok = ok && c.Depth == 0 && c.Root.IsZero()
	case c.Depth == 0:
		ok = ok && c.Size <= MaxChunk && c.Root.CID.Codec() == Raw
	default:
		ok = ok && int(c.Depth) == levelFor(c.Size) && c.Root.CID.Codec() == DagCBOR
	}
	if !ok {
		return fmt.Errorf("check content of %d bytes, depth %d: no such tree: %w", c.Size, c.Depth, ErrDamaged)
	}
	return nil
}

// Walk calls fn for each block of c once, parents first. It reads the nodes and not the leaves, and
// needs no key.
func (c Content) Walk(st Store, fn func(CID) error) error {
	if c.Root.CID.IsZero() {
		return nil
	}
	return WalkClear(st, c.Root.CID, fn)
}

// span is how many bytes a tree of a level covers.
func span(level int) int64 {
	if level >= maxLevel {
		return math.MaxInt64
	}
	return SectionSize << (fanoutBits * (level - 1))
}

// levelFor is the least level whose tree covers size bytes.
func levelFor(size int64) int {
	level := 1
	for span(level) < size {
		level++
	}
	return level
}

// children is how many trees of the level below a node has places for that covers n bytes.
func childrenFor(level int, n int64) int {
	below := span(level - 1)
	return int((n-1)/below) + 1
}
