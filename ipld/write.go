package ipld

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
)

// Write stores the size bytes of r in st and returns where they are. It blocks on r and on st; the
// blocks survive what st's Put says. If it fails, some blocks may have been stored, which the next
// collection drops.
func (s *Sealer) Write(ctx context.Context, st Store, r io.ReaderAt, size int64) (Content, error) {
	return s.Update(ctx, st, Content{}, size, []Range{{0, size}}, r)
}

// Update stores content that differs from old in the dirty ranges and in its size. r reads the whole
// new content. Each byte outside the dirty ranges is as in old, or zero behind its end: so a file that
// grows by truncate, or a sparse file written from nothing, costs what was written and not its size.
// Only chunks that a dirty range touches are read and sealed anew, some of their neighbours until the
// cuts agree again, and the nodes above them. The result is what Write would return for the same bytes.
// Ranges may be in any order, overlap, and reach beyond size. If r is a Holey, sections of zeros are not read either.
func (s *Sealer) Update(ctx context.Context, st Store, old Content, size int64, dirty []Range, r io.ReaderAt) (Content, error) {
	if size < 0 {
		return Content{}, fmt.Errorf("write content: size %d", size)
	}
	if err := old.Check(); err != nil {
		return Content{}, fmt.Errorf("write content: %w", err)
	}
	dirty = changed(dirty, old.Size, size)
	if len(dirty) == 0 && size == old.Size {
		return old, nil
	}
	w := &writer{ctx: ctx, s: s, st: st, r: r, size: size, dirty: dirty}
	w.holey, _ = r.(Holey)
	w.scratch = s.getScratch()
	defer s.scratch.Put(w.scratch)
	c, err := w.content(old)
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		return Content{}, fmt.Errorf("write content: %w", err)
	}
	return c, nil
}

// A Holey knows some zeros of what it reads without reading them.
type Holey interface {
	// IsHole reports whether all n bytes at off are zeros. It says so only if that costs next to nothing.
	IsHole(off, n int64) bool
}

// changed returns what differs: sorted, disjoint, within size. Where the end moved, the chunk at the
// lesser end is cut anew: it ends elsewhere now.
func changed(dirty []Range, oldSize, size int64) []Range {
	ends := make([]Range, 0, len(dirty)+1)
	for _, d := range dirty {
		if d.Len <= 0 {
			continue
		}
		off, end := max(d.Off, 0), d.Off+d.Len
		if end > size || end < d.Off { // the sum may overflow
			end = size
		}
		if off < end {
			ends = append(ends, Range{off, end - off})
		}
	}
	switch {
	case oldSize == 0 || size == 0:
	case size > oldSize:
		// To the end of the section: r's zeros there belong to its chunks.
		end := min(size, (oldSize-1)/SectionSize*SectionSize+SectionSize)
		ends = append(ends, Range{oldSize - 1, end - (oldSize - 1)})
	case size < oldSize:
		ends = append(ends, Range{size - 1, 1})
	}
	slices.SortFunc(ends, func(a, b Range) int { return cmp.Compare(a.Off, b.Off) })
	out := ends[:0]
	for _, d := range ends {
		if n := len(out); n > 0 && d.Off <= out[n-1].Off+out[n-1].Len {
			out[n-1].Len = max(out[n-1].Len, d.Off+d.Len-out[n-1].Off)
			continue
		}
		out = append(out, d)
	}
	return out
}

// A writer makes one Content.
type writer struct {
	ctx   context.Context
	s     *Sealer
	st    Store
	r     io.ReaderAt
	holey Holey // r, if it is one
	size  int64
	dirty []Range
	*scratch
}

// A subtree is a part of the old content: at level 0 a lone leaf of size bytes.
type subtree struct {
	level int
	link  Link
	size  int64 // of the whole old content
}

// content builds the tree over all bytes.
func (w *writer) content(old Content) (Content, error) {
	if w.size == 0 {
		return Content{}, nil
	}
	was := subtree{level: int(old.Depth), link: old.Root, size: old.Size}
	level := levelFor(w.size)
	for was.level > level && !was.link.IsZero() { // the file became smaller: what remains is in the first child
		b, err := w.loadBranch(was)
		if err != nil {
			return Content{}, err
		}
		was = subtree{was.level - 1, b[0], min(was.size, span(was.level-1))}
	}
	c := Content{Size: w.size, Depth: uint8(level)}
	if level == 1 {
		chunks, err := w.section(0, was)
		if err != nil {
			return Content{}, err
		}
		if len(chunks) == 1 {
			return Content{Size: w.size, Root: chunks[0].link}, nil
		}
		c.Root, err = w.sealSection(chunks)
		if err != nil {
			return Content{}, err
		}
	} else {
		var err error
		if c.Root, err = w.tree(level, 0, was); err != nil {
			return Content{}, err
		}
	}
	if c.Root.IsZero() {
		c.Depth = 0
	}
	return c, nil
}

// tree builds the tree of a level that begins at base, from what was there.
func (w *writer) tree(level int, base int64, was subtree) (Link, error) {
	if w.holey != nil && w.holey.IsHole(base, min(w.size-base, span(level))) {
		return Link{}, nil
	}
	if level == 1 {
		chunks, err := w.section(base, was)
		if err != nil {
			return Link{}, err
		}
		return w.sealSection(chunks)
	}
	var b branch
	switch {
	case was.link.IsZero():
	case was.level < level: // the file became larger: what was there is the first child
		b[0] = was.link
	default:
		old, err := w.loadBranch(subtree{level, was.link, min(was.size-base, span(level))})
		if err != nil {
			return Link{}, err
		}
		b = *old
	}
	below := span(level - 1)
	places := childrenFor(level, min(w.size-base, span(level)))
	clear(b[places:])
	for i := range places {
		at := base + int64(i)*below
		// What was there one level or more below must be wrapped, changed or not.
		wrap := i == 0 && was.level < level-1 && !b[0].IsZero()
		if !wrap && !w.touches(at, below) {
			continue
		}
		child := subtree{level - 1, b[i], was.size}
		if i == 0 {
			child.level = min(level-1, was.level)
		}
		var err error
		if b[i], err = w.tree(level-1, at, child); err != nil {
			return Link{}, err
		}
	}
	return w.sealBranch(level, &b)
}

// section returns the chunks of the section at base.
func (w *writer) section(base int64, was subtree) ([]chunk, error) {
	old, err := w.loadSection(base, was)
	if err != nil {
		return nil, err
	}
	n := min(w.size-base, SectionSize)
	cut := cutter{chunker: w.s.chunker, r: w.r, end: base + n, window: &w.window}
	var chunks []chunk
	pos, at := int64(0), int64(0) // old's first chunk began at at, in the section
	for pos < n {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		for len(old) > 0 && at < pos {
			at += old[0].size
			old = old[1:]
		}
		var c chunk
		if len(old) > 0 && at == pos && at+old[0].size <= n && !w.touches(base+at, old[0].size) {
			c = old[0]
		} else if c, err = w.leaf(&cut, base+pos); err != nil {
			return nil, err
		}
		chunks = append(chunks, c)
		pos += c.size
	}
	return chunks, nil
}

// leaf cuts and seals the chunk at off.
func (w *writer) leaf(cut *cutter, off int64) (chunk, error) {
	plain, err := cut.at(off)
	if err != nil {
		return chunk{}, err
	}
	c := chunk{size: int64(len(plain))}
	if isZero(plain) {
		return c, nil
	}
	c.link, err = w.putLeaf(plain)
	return c, err
}

// touches reports whether a dirty range meets the n bytes at off.
func (w *writer) touches(off, n int64) bool {
	end := off + n
	if end < off {
		end = w.size
	}
	i, _ := slices.BinarySearchFunc(w.dirty, off, func(d Range, off int64) int {
		if d.Off+d.Len <= off {
			return -1
		}
		return 1
	})
	return i < len(w.dirty) && w.dirty[i].Off < end
}

func (w *writer) sealSection(chunks []chunk) (Link, error) {
	for _, c := range chunks {
		if !c.link.IsZero() {
			return w.putNode(encodeSection(chunks))
		}
	}
	return Link{}, nil
}

func (w *writer) sealBranch(level int, b *branch) (Link, error) {
	if *b == (branch{}) {
		return Link{}, nil
	}
	return w.putNode(encodeBranch(level, b))
}

// loadSection returns the chunks of an old section; none for a hole, whose cuts are not kept.
func (w *writer) loadSection(base int64, was subtree) ([]chunk, error) {
	if was.link.IsZero() {
		return nil, nil
	}
	if was.level == 0 {
		return []chunk{{was.size, was.link}}, nil
	}
	return loadSection(w.st, was.link, min(was.size-base, SectionSize))
}

func (w *writer) loadBranch(was subtree) (*branch, error) {
	return loadBranch(w.st, was.link, was.level, childrenFor(was.level, was.size))
}
