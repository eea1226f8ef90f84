package ipld

import (
	"container/list"
	"slices"
	"sort"
	"sync"
)

// A Cache keeps opened blocks, the least recently used go first. Readers of any content share it. Its
// methods may be called from any goroutine. It knows a block by its whole link: who lacks the key finds
// nothing.
type Cache struct {
	limit int64

	mu    sync.Mutex
	byKey map[Link]*list.Element // GUARDED_BY(mu)
	order *list.List             // GUARDED_BY(mu); of *cached, the last used in front
	bytes int64                  // GUARDED_BY(mu). INVARIANT: the sum of sizes in order

	loading map[Link]chan struct{} // GUARDED_BY(mu): leaves that somebody is opening; closed when that is over
}

// linkSize is what a Link takes in memory, to count what a cache holds.
const linkSize = int64(len(CID{}) + len(Key{}))

type cached struct {
	link Link
	size int64
	what any // []byte, *section or openedBranch: never changed
}

// A section is a section's chunks, and where each ends in it.
type section struct {
	chunks []chunk
	ends   []int64
}

// at is the number of the chunk that holds the byte at off of the section.
func (s *section) at(off int64) int {
	return sort.Search(len(s.ends), func(i int) bool { return s.ends[i] > off })
}

// An openedBranch is a branch, and as what it was checked.
type openedBranch struct {
	level, places int
	*branch
}

// NewCache returns a cache of at most so many bytes; the block in use counts even if it is larger.
func NewCache(bytes int64) *Cache {
	return &Cache{limit: bytes, byKey: map[Link]*list.Element{}, order: list.New(), loading: map[Link]chan struct{}{}}
}

func (c *Cache) get(link Link) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[link]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).what
}

func (c *Cache) add(link Link, what any, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[link]; ok {
		return // another reader was faster
	}
	c.byKey[link] = c.order.PushFront(&cached{link, size, what})
	c.bytes += size
	for c.bytes > c.limit && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(*cached)
		delete(c.byKey, last.link)
		c.bytes -= last.size
	}
}

// Keep takes the plain bytes of content that is a single chunk, which nobody changes from now on.
func (c *Cache) Keep(link Link, plain []byte) {
	if !link.IsZero() {
		c.add(link, slices.Clip(plain), int64(cap(plain)))
	}
}

// leaf returns a leaf's plain bytes, which nobody changes.
func (c *Cache) leaf(st Store, link Link, size int64) ([]byte, error) {
	if plain, ok := c.get(link).([]byte); ok && int64(len(plain)) == size {
		return plain, nil
	}
	for {
		c.mu.Lock()
		other, busy := c.loading[link]
		if !busy {
			c.loading[link] = make(chan struct{})
		}
		c.mu.Unlock()
		if !busy {
			return c.loadLeaf(st, link, size)
		}
		<-other
		if plain, ok := c.get(link).([]byte); ok && int64(len(plain)) == size {
			return plain, nil
		}
	}
}

// loadLeaf opens a leaf for all who wait for it.
func (c *Cache) loadLeaf(st Store, link Link, size int64) ([]byte, error) {
	plain, err := loadLeaf(st, link, size)
	if err == nil {
		c.add(link, plain, int64(cap(plain)))
	}
	c.mu.Lock()
	close(c.loading[link])
	delete(c.loading, link)
	c.mu.Unlock()
	return plain, err
}

func (c *Cache) section(st Store, link Link, size int64) (*section, error) {
	if s, ok := c.get(link).(*section); ok && s.ends[len(s.ends)-1] == size {
		return s, nil
	}
	chunks, err := loadSection(st, link, size)
	if err != nil {
		return nil, err
	}
	s := &section{chunks: chunks, ends: make([]int64, len(chunks))}
	end := int64(0)
	for i, ch := range chunks {
		end += ch.size
		s.ends[i] = end
	}
	c.add(link, s, int64(len(chunks))*(linkSize+24))
	return s, nil
}

func (c *Cache) branch(st Store, link Link, level, places int) (*branch, error) {
	if b, ok := c.get(link).(openedBranch); ok && b.level == level && b.places == places {
		return b.branch, nil
	}
	b, err := loadBranch(st, link, level, places)
	if err != nil {
		return nil, err
	}
	c.add(link, openedBranch{level, places, b}, fanout*linkSize)
	return b, nil
}
