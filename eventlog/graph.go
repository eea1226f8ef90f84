package eventlog

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// A node is what the order knows of a frame: its place in the graph of what builds on what.
type node struct {
	hash   FrameHash
	feed   FeedID
	author Author
	header Header // without Needs
	index  Index  // 0: not committed
	noKey  bool   // sealed with a key that is not here: it waits
}

func newNode(hash FrameHash, h Header) *node {
	feed := h.Feed().ID()
	h.Needs = nil
	return &node{hash: hash, feed: feed, author: Author{feed, h.Device}, header: h}
}

// names calls fn for the frames that n names, until it returns false.
func (n *node) names(fn func(FrameHash) bool) {
	if n.header.Prev != (FrameHash{}) && !fn(n.header.Prev) {
		return
	}
	for _, h := range n.header.BuildsOn {
		if !fn(h) {
			return
		}
	}
}

// compareNodes is the tentative order. It depends on nothing but the two frames, and puts a frame after all that it
// names, since its depth is greater.
func compareNodes(a, b *node) int {
	return cmp.Or(cmp.Compare(a.header.Depth, b.header.Depth), bytes.Compare(a.feed[:], b.feed[:]),
		bytes.Compare(a.hash[:], b.hash[:]))
}

// A placement is what the graph must know of a frame that it doesn't keep.
type placement struct {
	feed  FeedID
	last  Seq
	depth uint64
}

func (n *node) placement() placement { return placement{n.feed, n.header.Last(), n.header.Depth} }

// A graph puts frames into their order. It holds what is not committed; of committed frames it asks.
//
// INVARIANT: everything that a tentative frame names is tentative or committed.
// INVARIANT: a committed frame names committed frames only.
// INVARIANT: heads are the complete frames that no complete frame of their feed names as its previous one.
type graph struct {
	committed func(FrameHash) (placement, bool, error)

	tentative []*node // sorted by compareNodes
	byHash    map[FrameHash]*node
	recent    map[FrameHash]placement // committed, and not yet known to the function above
	waiting   map[FrameHash]*node
	waiters   map[FrameHash][]*node // what waits for a missing frame (each stands once, under the first it misses)
	heads     map[FrameHash]*Head
}

// A Head is the last frame of a feed, or of one branch of it.
type Head struct {
	Feed  Feed
	Hash  FrameHash
	Last  Seq
	Depth uint64
	Named bool // a frame of another feed builds on it
}

func newGraph(committed func(FrameHash) (placement, bool, error)) *graph {
	return &graph{
		committed: committed,
		byHash:    make(map[FrameHash]*node), recent: make(map[FrameHash]placement),
		waiting: make(map[FrameHash]*node), waiters: make(map[FrameHash][]*node), heads: make(map[FrameHash]*Head),
	}
}

// find returns a complete frame's placement.
func (g *graph) find(h FrameHash) (placement, bool, error) {
	if n := g.byHash[h]; n != nil {
		return n.placement(), true, nil
	}
	if p, ok := g.recent[h]; ok {
		return p, true, nil
	}
	return g.committed(h)
}

// check looks at what n names. If something is not here, missing is its hash, else valid says whether n is as what it
// names demands.
func (g *graph) check(n *node) (missing FrameHash, valid bool, err error) {
	valid = true
	var depth uint64
	n.names(func(h FrameHash) bool {
		var p placement
		var here bool
		if p, here, err = g.find(h); err != nil {
			return false
		}
		if !here {
			missing = h
			return false
		}
		depth = max(depth, p.depth)
		if h == n.header.Prev && (p.feed != n.feed || p.last+1 != n.header.First) {
			valid = false
		}
		return true
	})
	return missing, valid && n.header.Depth == depth+1, err
}

// An arrival says what became of a frame that add looked at.
type arrival struct {
	n       *node
	waited  bool // it waited until now
	waits   bool // something that it names is missing, or its key
	invalid bool // it contradicts what it names: forget it
	headOff []FrameHash
	headOn  []*Head // new or changed
}

// add takes a new frame, and all that waited for it. Of the frames that don't wait, none comes before what it names.
func (g *graph) add(n *node) ([]arrival, error) {
	var as []arrival
	for queue := []*node{n}; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		if n.noKey {
			g.waiting[n.hash] = n
			as = append(as, arrival{n: n, waits: true})
			continue
		}
		missing, valid, err := g.check(n)
		if err != nil {
			return nil, err
		}
		if missing != (FrameHash{}) {
			if g.waiting[n.hash] == nil {
				as = append(as, arrival{n: n, waits: true})
			}
			g.waiting[n.hash] = n
			g.waiters[missing] = append(g.waiters[missing], n)
			continue
		}
		waited := g.waiting[n.hash] != nil
		delete(g.waiting, n.hash)
		if !valid {
			as = append(as, arrival{n: n, waited: waited, invalid: true})
			continue
		}
		a := g.insert(n)
		a.waited = waited
		as = append(as, a)
		queue = append(queue, g.waiters[n.hash]...)
		delete(g.waiters, n.hash)
	}
	return as, nil
}

// insert makes a complete frame tentative, and moves the heads.
func (g *graph) insert(n *node) arrival {
	at, found := slices.BinarySearchFunc(g.tentative, n, compareNodes)
	if found {
		panic(fmt.Sprintf("eventlog: frame %x inserted twice", n.hash))
	}
	g.tentative = slices.Insert(g.tentative, at, n)
	g.byHash[n.hash] = n
	a := arrival{n: n}
	n.names(func(h FrameHash) bool {
		head := g.heads[h]
		switch {
		case head == nil: // somebody of its feed has gone on from it before
		case h == n.header.Prev:
			delete(g.heads, h)
			a.headOff = append(a.headOff, h)
		case !head.Named:
			head.Named = true
			a.headOn = append(a.headOn, head)
		}
		return true
	})
	head := &Head{Feed: n.header.Feed(), Hash: n.hash, Last: n.header.Last(), Depth: n.header.Depth}
	g.heads[n.hash] = head
	a.headOn = append(a.headOn, head)
	return a
}

// commit moves frame h from the tentative suffix to the committed prefix, if it is there and all that it names is
// committed; else it is passed over, and commit returns nil. The caller empties recent when committed
// knows of it.
func (g *graph) commit(h FrameHash) (*node, error) {
	n := g.byHash[h]
	if n == nil {
		return nil, nil
	}
	early := false
	n.names(func(named FrameHash) bool {
		early = g.byHash[named] != nil // what is not tentative is committed
		return !early
	})
	if early {
		return nil, nil
	}
	at, found := slices.BinarySearchFunc(g.tentative, n, compareNodes)
	if !found {
		return nil, fmt.Errorf("commit frame %x: it is lost from the tentative suffix", h[:4])
	}
	g.tentative = slices.Delete(g.tentative, at, at+1)
	delete(g.byHash, h)
	g.recent[h] = n.placement()
	return n, nil
}

// headsOf returns the heads of one feed: more than one if the feed has forked.
func (g *graph) headsOf(f Feed) []*Head {
	var hs []*Head
	for _, h := range g.heads {
		if h.Feed == f {
			hs = append(hs, h)
		}
	}
	slices.SortFunc(hs, func(a, b *Head) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	return hs
}

// next fills in what a frame that feed f begins now must say of its place.
func (g *graph) next(f Feed, h *Header) error {
	mine := g.headsOf(f)
	if len(mine) > 1 {
		return ErrForked
	}
	h.First, h.Prev, h.BuildsOn, h.Depth = 1, FrameHash{}, nil, 1
	if len(mine) == 1 {
		h.First, h.Prev, h.Depth = mine[0].Last+1, mine[0].Hash, mine[0].Depth+1
	}
	tips := make([]*Head, 0, len(g.heads))
	for _, head := range g.heads {
		if !head.Named && head.Feed != f {
			tips = append(tips, head)
		}
	}
	// The deepest must be among them, or else the frame would not come after all that was applied.
	slices.SortFunc(tips, func(a, b *Head) int {
		return cmp.Or(cmp.Compare(b.Depth, a.Depth), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	for _, head := range tips[:min(len(tips), MaxBuildsOn)] {
		h.BuildsOn = append(h.BuildsOn, head.Hash)
		h.Depth = max(h.Depth, head.Depth+1)
	}
	slices.SortFunc(h.BuildsOn, func(a, b FrameHash) int { return bytes.Compare(a[:], b[:]) })
	return nil
}
