package snapshot

import (
	"slices"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// The rule of a directory's search tree: a subtree is a leaf if its entries have maxLeaf bytes at most, or it has just one entry, and
// else a branch. So the shape follows from the entries, and a change of one may split a leaf, or make one of a branch.

// An entry is an entry of a directory, encoded.
type entry struct {
	place
	raw      dagcbor.Raw
	children []ipld.CID
	files    uint64 // what it adds to the counts: itself if it is shown, and what is below
	bytes    uint64
}

// A sum is what is counted over a subtree.
type sum struct{ entries, size, files, bytes uint64 }

func (s *sum) add(o sum) {
	s.entries += o.entries
	s.size += o.size
	s.files += o.files
	s.bytes += o.bytes
}

func sumOf(es []entry) (s sum) {
	for i := range es {
		s.add(sum{1, uint64(len(es[i].raw)), es[i].files, es[i].bytes})
	}
	return s
}

// isLeaf is the rule.
func (s sum) isLeaf() bool { return s.size <= maxLeaf || s.entries <= 1 }

// A subtree is a part of a search tree that is in no block yet: a leaf, or a branch above what is in blocks. It may be empty.
type subtree struct {
	sum
	leaf   []entry
	branch []child
}

// A child is a subtree that is in a block.
type child struct {
	sum
	digit uint8
	link  ipld.Link
}

// A feed hands out entries in the order of their places.
type feed interface {
	// peek returns the next entry and leaves it where it is, or nil at the end.
	peek() (*entry, error)
	take()
}

// A queue is a feed of what is put before another one.
type queue struct {
	first []entry
	rest  feed // nil: nothing
}

func (q *queue) peek() (*entry, error) {
	if len(q.first) > 0 {
		return &q.first[0], nil
	}
	if q.rest == nil {
		return nil, nil
	}
	return q.rest.peek()
}

func (q *queue) take() {
	if len(q.first) > 0 {
		q.first = q.first[1:]
	} else {
		q.rest.take()
	}
}

// grow builds the subtree of a level out of the entries that f has of it. It holds no more of them than a leaf has.
func (w *writer) grow(f *queue, level int) (subtree, error) {
	var t subtree
	first, err := f.peek()
	if err != nil || first == nil {
		return t, err
	}
	at := first.place
	for {
		e, err := f.peek()
		if err != nil {
			return t, err
		}
		if e == nil || !e.together(at, level) {
			return t, nil // all of it is a leaf
		}
		t.leaf = append(t.leaf, *e)
		t.add(sumOf(t.leaf[len(t.leaf)-1:]))
		f.take()
		if !t.isLeaf() {
			break
		}
	}
	f.first = append(t.leaf, f.first...)
	t = subtree{}
	for {
		e, err := f.peek()
		if err != nil {
			return t, err
		}
		if e == nil || !e.together(at, level) {
			return t, nil
		}
		digit := e.digit(level)
		below, err := w.grow(f, level+1)
		if err != nil {
			return t, err
		}
		if err := w.plant(&t, digit, below); err != nil {
			return t, err
		}
	}
}

// plant seals a subtree and makes it a child of t.
func (w *writer) plant(t *subtree, digit uint8, below subtree) error {
	link, err := w.seal(below)
	if err != nil {
		return err
	}
	t.add(below.sum)
	t.branch = append(t.branch, child{below.sum, digit, link})
	return nil
}

// seal writes a subtree that is not empty.
func (w *writer) seal(t subtree) (ipld.Link, error) {
	var n dirNode
	var children []ipld.CID
	for i := range t.leaf {
		n.Leaf = append(n.Leaf, t.leaf[i].raw)
		children = append(children, t.leaf[i].children...)
	}
	for _, c := range t.branch {
		n.Branch = append(n.Branch, childRecord{
			Place: c.digit, Entries: c.entries, Size: c.size, Files: c.files, Bytes: c.bytes, Node: c.link.Key,
		})
		children = append(children, c.link.CID)
	}
	return w.node(&n, children)
}

// A change is what a name has become: its entries, or none.
type change struct {
	place   // of rank 0
	entries []entry
}

// update is the subtree of a level as it is after changes, which are in order. Of a branch it reads the children that change.
func (w *writer) update(t subtree, level int, changes []change) (subtree, error) {
	if len(changes) == 0 {
		return t, nil
	}
	if len(t.branch) == 0 || level >= nameLevels {
		es, err := w.gather(t, level)
		if err != nil {
			return t, err
		}
		return w.grow(&queue{first: merge(es, changes)}, level)
	}
	type part struct {
		child
		grown *subtree // nil: as it was
	}
	var parts []part
	var all sum
	old := t.branch
	for len(old) > 0 || len(changes) > 0 {
		var p part
		if len(old) > 0 && (len(changes) == 0 || old[0].digit <= changes[0].digit(level)) {
			p.child, old = old[0], old[1:]
		} else {
			p.digit = changes[0].digit(level)
		}
		n := 0
		for n < len(changes) && changes[n].digit(level) == p.digit {
			n++
		}
		if n > 0 {
			was, err := w.load(p.child, level+1)
			if err != nil {
				return t, err
			}
			is, err := w.update(was, level+1, changes[:n])
			if err != nil {
				return t, err
			}
			changes = changes[n:]
			p.grown, p.sum = &is, is.sum
		}
		if p.entries > 0 {
			all.add(p.sum)
			parts = append(parts, p)
		}
	}
	is := subtree{}
	if all.isLeaf() {
		for _, p := range parts {
			below := p.grown
			if below == nil {
				was, err := w.load(p.child, level+1)
				if err != nil {
					return t, err
				}
				below = &was
			}
			es, err := w.gather(*below, level+1)
			if err != nil {
				return t, err
			}
			is.leaf = append(is.leaf, es...)
		}
		is.sum = all
		return is, nil
	}
	for _, p := range parts {
		if p.grown != nil {
			if err := w.plant(&is, p.digit, *p.grown); err != nil {
				return t, err
			}
			continue
		}
		is.add(p.sum)
		is.branch = append(is.branch, p.child)
	}
	return is, nil
}

// gather returns all entries of a subtree.
func (w *writer) gather(t subtree, level int) ([]entry, error) {
	if len(t.branch) == 0 {
		return t.leaf, nil
	}
	var all []entry
	for _, c := range t.branch {
		below, err := w.load(c, level+1)
		if err != nil {
			return nil, err
		}
		es, err := w.gather(below, level+1)
		if err != nil {
			return nil, err
		}
		all = append(all, es...)
	}
	return all, nil
}

// merge puts the changed names in the place of what they were. Both are in order.
func merge(es []entry, changes []change) []entry {
	out := make([]entry, 0, len(es)+len(changes))
	for _, c := range changes {
		at := slices.IndexFunc(es, func(e entry) bool { return e.compare(c.place) >= 0 })
		if at < 0 {
			at = len(es)
		}
		out = append(append(out, es[:at]...), c.entries...)
		es = es[at:]
		for len(es) > 0 && string(es[0].name) == string(c.name) {
			es = es[1:]
		}
	}
	return append(out, es...)
}

// load reads a child. A child of nothing is an empty subtree.
func (w *writer) load(c child, level int) (subtree, error) {
	if c.link.IsZero() {
		return subtree{}, nil
	}
	n, err := loadChild(w.st, c, level)
	if err != nil {
		return subtree{}, err
	}
	return n.asSubtree(), nil
}
