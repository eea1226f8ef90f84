package snapshot

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A node is an opened node of a search tree: entries, or children.
type node struct {
	entries []Entry
	raw     []dagcbor.Raw // of the entries
	cids    [][]ipld.CID  // children of the entries
	branch  []child
	sum     sum
}

// loadNode reads a node whose root is at level, and checks that it is what a writer writes.
func loadNode(st ipld.Store, link ipld.Link, level int) (*node, error) {
	var rec dirNode
	children, err := open(st, link, &rec)
	if err != nil {
		return nil, err
	}
	n := &node{}
	r := &refs{children: children}
	switch {
	case len(rec.Leaf) > 0 && len(rec.Branch) == 0:
		err = n.readLeaf(r, rec.Leaf, level)
	case len(rec.Branch) > 0 && len(rec.Leaf) == 0:
		err = n.readBranch(r, rec.Branch, level)
	default:
		err = fmt.Errorf("neither a leaf nor a branch: %w", ipld.ErrDamaged)
	}
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, fmt.Errorf("open block %v: %w", link.CID, err)
	}
	return n, nil
}

func (n *node) readLeaf(r *refs, list []dagcbor.Raw, level int) error {
	for _, raw := range list {
		var rec entryRecord
		if err := dagcbor.Decode(raw, &rec); err != nil {
			return fmt.Errorf("%w: %w", ipld.ErrDamaged, err)
		}
		before := r.children
		e := Entry{Name: rec.Name, Rank: int(rec.Rank), Inode: r.inode(&rec.Inode), place: placeOf(rec.Name, rec.Rank)}
		if r.err != nil {
			return r.err
		}
		if !tree.ValidName(e.Name) {
			return fmt.Errorf("a name that is none: %w", ipld.ErrDamaged)
		}
		if k := len(n.entries); k > 0 && (n.entries[k-1].compare(e.place) >= 0 || !e.together(n.entries[0].place, level)) {
			return fmt.Errorf("an entry out of its place: %w", ipld.ErrDamaged)
		}
		n.entries, n.raw = append(n.entries, e), append(n.raw, raw)
		n.cids = append(n.cids, before[:len(before)-len(r.children)])
		n.sum.add(sum{1, uint64(len(raw)), e.files(), e.bytes()})
	}
	if !n.sum.isLeaf() {
		return fmt.Errorf("a leaf of %d bytes: %w", n.sum.size, ipld.ErrDamaged)
	}
	return nil
}

func (n *node) readBranch(r *refs, list []childRecord, level int) error {
	next := uint8(0)
	for _, rec := range list {
		c := child{
			sum:   sum{rec.Entries, rec.Size, rec.Files, rec.Bytes},
			digit: rec.Place, link: r.next(rec.Node, ipld.DagCBOR),
		}
		if c.digit < next || c.digit > 15 || c.entries == 0 || level >= maxLevels {
			return fmt.Errorf("a child out of its place: %w", ipld.ErrDamaged)
		}
		next = c.digit + 1
		n.sum.add(c.sum)
		n.branch = append(n.branch, c)
	}
	if n.sum.isLeaf() {
		return fmt.Errorf("a branch of %d bytes: %w", n.sum.size, ipld.ErrDamaged)
	}
	return nil
}

// loadChild is loadNode for a child whose root is at level, and compares it with what its parent says of it.
func loadChild(st ipld.Store, c child, level int) (*node, error) {
	n, err := loadNode(st, c.link, level)
	if err != nil {
		return nil, err
	}
	if n.sum != c.sum || level > 0 && len(n.entries) > 0 && n.entries[0].digit(level-1) != c.digit {
		return nil, fmt.Errorf("open block %v: not what leads to it says: %w", c.link.CID, ipld.ErrDamaged)
	}
	return n, nil
}

// asSubtree is n for a writer.
func (n *node) asSubtree() subtree {
	t := subtree{sum: n.sum, branch: n.branch}
	for i, e := range n.entries {
		t.leaf = append(t.leaf, entry{place: e.place, raw: n.raw[i], children: n.cids[i], files: e.files(), bytes: e.bytes()})
	}
	return t
}
