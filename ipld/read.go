package ipld

import (
	"fmt"
	"io"
)

// A Reader reads content. Its methods may be called from any goroutine.
type Reader struct {
	st    Store
	c     Content
	cache *Cache
}

// OpenContent returns a Reader of c with a small cache of its own. Nothing is read yet.
func OpenContent(st Store, c Content) *Reader { return NewReader(st, c, NewCache(4*MaxChunk)) }

// NewReader returns a Reader of c that shares a cache with others. Nothing is read yet.
func NewReader(st Store, c Content, cache *Cache) *Reader { return &Reader{st, c, cache} }

// Size returns how many bytes the content has.
func (r *Reader) Size() int64 { return r.c.Size }

// ReadAt implements io.ReaderAt. The error is io.EOF at the end, ErrNotFound for a block that is not
// here, ErrDamaged for one that is not what it was; the bytes before it are right.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if err := r.c.Check(); err != nil {
		return 0, fmt.Errorf("read content: %w", err)
	}
	if off < 0 {
		return 0, fmt.Errorf("read content at %d: the offset is negative", off)
	}
	for n < len(p) {
		if off >= r.c.Size {
			return n, io.EOF
		}
		m, err := r.readSome(p[n:], off)
		if err != nil {
			return n, fmt.Errorf("read content at %d: %w", off, err)
		}
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// readSome reads up to the end of a chunk or a hole.
func (r *Reader) readSome(p []byte, off int64) (int, error) {
	at, err := r.place(off)
	if err != nil {
		return 0, err
	}
	if at.link.IsZero() {
		return zeros(p, at.end-off), nil
	}
	plain, err := r.cache.leaf(r.st, at.link, at.end-at.start)
	if err != nil {
		return 0, err
	}
	return copy(p, plain[off-at.start:]), nil
}

// ReadCached is ReadAt for bytes that are all in the cache, and reports whether they are. It waits for nothing.
func (r *Reader) ReadCached(p []byte, off int64) bool {
	cached := Reader{noStore{}, r.c, r.cache}
	for len(p) > 0 {
		at, err := cached.place(off)
		if err != nil {
			return false
		}
		n := 0
		if at.link.IsZero() {
			n = zeros(p, at.end-off)
		} else {
			plain, ok := r.cache.get(at.link).([]byte)
			if !ok || int64(len(plain)) != at.end-at.start {
				return false
			}
			n = copy(p, plain[off-at.start:])
		}
		p, off = p[n:], off+int64(n)
	}
	return true
}

// Prefetch opens what lies from off on and before end, and leaves it in the cache. What can't be read is left to who
// asks for it.
func (r *Reader) Prefetch(off, end int64) {
	for off < end {
		at, err := r.place(off)
		if err == nil && !at.link.IsZero() {
			_, err = r.cache.leaf(r.st, at.link, at.end-at.start)
		}
		if err != nil {
			return
		}
		off = at.end
	}
}

// noStore is the store of who takes only what is in a cache.
type noStore struct{ Store }

func (noStore) Get(CID) (Block, error) { return Block{}, ErrNotFound }

// A place is where a chunk or a hole lies in content; the link of a hole is zero.
type place struct {
	link       Link
	start, end int64
}

// place finds what is at off.
func (r *Reader) place(off int64) (place, error) {
	if off < 0 || off >= r.c.Size {
		return place{}, io.EOF
	}
	if r.c.Depth == 0 {
		return place{r.c.Root, 0, r.c.Size}, nil
	}
	s, base, end, err := r.find(off)
	if err != nil || s == nil {
		return place{start: base, end: end}, err
	}
	i := s.at(off - base)
	return place{s.chunks[i].link, base + s.ends[i] - s.chunks[i].size, base + s.ends[i]}, nil
}

// find returns the section that off lies in, and where it begins; or nil, and where the hole ends that off lies in.
func (r *Reader) find(off int64) (s *section, base, end int64, err error) {
	link := r.c.Root
	for level := int(r.c.Depth); level > 1; level-- {
		b, err := r.cache.branch(r.st, link, level, childrenFor(level, min(r.c.Size-base, span(level))))
		if err != nil {
			return nil, 0, 0, err
		}
		below := span(level - 1)
		i := (off - base) / below
		base += i * below
		link = b[i]
		if link.IsZero() {
			return nil, base, base + min(below, r.c.Size-base), nil
		}
	}
	s, err = r.cache.section(r.st, link, min(r.c.Size-base, SectionSize))
	return s, base, 0, err
}

// Extent tells what is at off, which lies before the end: data, or a hole, and where that run of chunks ends. What
// follows may be of the same kind. It reads nodes and no leaves.
func (r *Reader) Extent(off int64) (end int64, data bool, err error) {
	if err := r.c.Check(); err != nil {
		return 0, false, fmt.Errorf("look for holes: %w", err)
	}
	if off < 0 || off >= r.c.Size {
		return 0, false, fmt.Errorf("look for holes at %d of %d bytes: %w", off, r.c.Size, io.EOF)
	}
	if r.c.Depth == 0 {
		return r.c.Size, !r.c.Root.IsZero(), nil
	}
	s, base, end, err := r.find(off)
	if err != nil {
		return 0, false, fmt.Errorf("look for holes at %d: %w", off, err)
	}
	if s == nil {
		return end, false, nil
	}
	i := s.at(off - base)
	hole := s.chunks[i].link.IsZero()
	for i+1 < len(s.chunks) && s.chunks[i+1].link.IsZero() == hole {
		i++
	}
	return base + s.ends[i], !hole, nil
}

func zeros(p []byte, n int64) int {
	n = min(n, int64(len(p)))
	clear(p[:n])
	return int(n)
}

// loadSection reads a section's node; it must hold size bytes.
func loadSection(st Store, link Link, size int64) ([]chunk, error) {
	plain, children, err := load(st, link)
	if err != nil {
		return nil, err
	}
	chunks, err := decodeSection(plain, children, size)
	if err != nil {
		return nil, fmt.Errorf("open block %v: %w", link.CID, err)
	}
	return chunks, nil
}

// loadBranch reads a branch's node of a level, which has so many places.
func loadBranch(st Store, link Link, level, places int) (*branch, error) {
	plain, children, err := load(st, link)
	if err != nil {
		return nil, err
	}
	b, err := decodeBranch(plain, children, level, places)
	if err != nil {
		return nil, fmt.Errorf("open block %v: %w", link.CID, err)
	}
	return b, nil
}

// load reads and opens a node.
func load(st Store, link Link) (plain []byte, children []CID, err error) {
	b, err := getSealed(st, link.CID)
	if err != nil {
		return nil, nil, err
	}
	if plain, children, err = Open(b, link.Key); err != nil {
		return nil, nil, blame(st, link.CID, err)
	}
	return plain, children, nil
}

// loadLeaf reads a leaf that must hold size bytes.
func loadLeaf(st Store, link Link, size int64) ([]byte, error) {
	b, err := getSealed(st, link.CID)
	if err != nil {
		return nil, err
	}
	plain, err := openInPlace(b, link.Key)
	if err != nil {
		return nil, blame(st, link.CID, err)
	}
	if int64(len(plain)) != size {
		return nil, fmt.Errorf("open block %v: %d bytes instead of %d: %w", link.CID, len(plain), size, ErrDamaged)
	}
	return plain, nil
}

// blame finds out why a block did not open: Get compares it with its CID, and a store that keeps a list
// of damage then puts it there. If the block is what it should be, it is the link that is wrong.
func blame(st Store, c CID, opening error) error {
	if _, err := st.Get(c); err != nil {
		return err
	}
	return opening
}
