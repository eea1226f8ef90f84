package ipld

import (
	"context"
	"errors"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// A ContentCheck opens content, each block once however many files have it.
type ContentCheck struct {
	st   Store
	seen map[uint64]struct{} // by the digest's beginning
	deep bool
	r    *report.Report

	Wanted map[CID]struct{} // blocks that are damaged or missing are added here; nil: they are not
}

// mostSeen bounds how many blocks are remembered: some 80 MB.
const mostSeen = 4 << 20

// NewContentCheck returns one over the blocks in st. deep: leaves are opened too, and not only looked for.
func NewContentCheck(st Store, deep bool, r *report.Report) *ContentCheck {
	return &ContentCheck{st: st, seen: map[uint64]struct{}{}, deep: deep, r: r}
}

// Check opens what c reaches under the keys of its links, and tells what is missing, damaged, or opens to something else. where names c for
// people; it is asked only if there is something to tell.
func (k *ContentCheck) Check(ctx context.Context, c Content, where func() string) error {
	k.r.Checked(report.Link, 1)
	if err := c.Check(); err != nil {
		k.r.Bad(report.Link, where(), report.Nothing, "%v", err)
		return nil
	}
	if c.Root.IsZero() {
		return nil
	}
	return k.tree(ctx, c.Root, int(c.Depth), c.Size, where)
}

// Store is where the blocks are that Check opens.
func (k *ContentCheck) Store() Store { return k.st }

// tree checks a tree of a level that holds size bytes.
func (k *ContentCheck) tree(ctx context.Context, link Link, level int, size int64, where func() string) error {
	if _, ok := k.seen[fingerprint(link.CID)]; ok {
		return nil
	}
	if len(k.seen) >= mostSeen { // then a block is opened again
		clear(k.seen)
	}
	k.seen[fingerprint(link.CID)] = struct{}{}
	if err := ctx.Err(); err != nil {
		return err
	}
	if level == 0 {
		return k.leaf(link, size, where)
	}
	if level == 1 {
		chunks, err := loadSection(k.st, link, size)
		if err != nil {
			return k.blame(link.CID, where, err)
		}
		for _, ch := range chunks {
			if ch.link.IsZero() {
				continue
			}
			if err := k.tree(ctx, ch.link, 0, ch.size, where); err != nil {
				return err
			}
		}
		return k.r.Read(0)
	}
	b, err := loadBranch(k.st, link, level, childrenFor(level, size))
	if err != nil {
		return k.blame(link.CID, where, err)
	}
	below := span(level - 1)
	for i, child := range b {
		if child.IsZero() {
			continue
		}
		if err := k.tree(ctx, child, level-1, min(below, size-int64(i)*below), where); err != nil {
			return err
		}
	}
	return nil
}

func (k *ContentCheck) leaf(link Link, size int64, where func() string) error {
	if !k.deep {
		ok, err := k.st.Has(link.CID)
		if err == nil && !ok {
			err = ErrNotFound
		}
		return k.blame(link.CID, where, err)
	}
	if _, err := loadLeaf(k.st, link, size); err != nil {
		return k.blame(link.CID, where, err)
	}
	return k.r.Read(size)
}

// blame tells of a block that is not to be had.
func (k *ContentCheck) blame(c CID, where func() string, err error) error {
	if k.Wanted != nil && (errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged)) {
		k.Wanted[c] = struct{}{}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound):
		k.r.Bad(report.Link, where(), report.Copy, "block %s is not here", Format(c))
	case errors.Is(err, ErrDamaged):
		k.r.Bad(report.Link, where(), report.Copy, "block %s: %v", Format(c), err)
	default:
		return err
	}
	return nil
}
