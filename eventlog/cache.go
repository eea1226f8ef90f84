package eventlog

import "sync"

// A stateCache keeps what was read and written last, keys that are absent too, and knows some parts of the state as a
// whole. It has two generations: what is put goes to the young one, and when that is full the old one is dropped.
//
// INVARIANT: what it has is what the database has. So it is filled under the log's lock, shared or not, and what
// changes is put or dropped under the exclusive one.
type stateCache struct {
	mu         sync.Mutex
	young, old map[string]cached
	size       int // bytes of young, about
	whole      *wholeKeys
}

type cached struct {
	val []byte
	ok  bool // false: the key is known to be absent
}

const (
	cacheBytes = 4 << 20 // about how much one generation keeps
	cacheValue = 1 << 10 // larger values are content, which is seldom asked for twice and would drive the rest out
)

// cacheOverhead is about what an entry costs beside its key and value.
const cacheOverhead = 96

func newStateCache() *stateCache {
	return &stateCache{young: make(map[string]cached), old: make(map[string]cached), whole: newWholeKeys()}
}

func (c *stateCache) get(key []byte) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[string(key)]
	if !ok {
		v, ok = c.old[string(key)]
	}
	return v, ok || c.whole.absent(key)
}

// unknown returns those of keys about which c has nothing.
func (c *stateCache) unknown(keys [][]byte) (left [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		_, young := c.young[string(key)]
		_, old := c.old[string(key)]
		if !young && !old && !c.whole.absent(key) {
			left = append(left, key)
		}
	}
	return left
}

// put notes what stands behind key. It keeps val and copies key.
func (c *stateCache) put(key, val []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(key, val, ok)
}

func (c *stateCache) putLocked(key, val []byte, ok bool) {
	if len(val) > cacheValue {
		delete(c.young, string(key))
		delete(c.old, string(key))
		return
	}
	if old, known := c.young[string(key)]; known {
		c.size += len(val) - len(old.val)
	} else {
		c.size += len(key) + len(val) + cacheOverhead
	}
	c.young[string(key)] = cached{val, ok}
	if c.size > cacheBytes {
		c.old, c.young, c.size = c.young, make(map[string]cached, len(c.young)), 0
	}
}

// dropAll is how many keys may change before it is quicker to drop all there are.
const dropAll = 1 << 10

// drop takes keys that changed.
func (c *stateCache) drop(keys [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(keys) > dropAll {
		c.young, c.old, c.size = make(map[string]cached), make(map[string]cached), 0
	}
	for _, key := range keys {
		if len(keys) <= dropAll {
			delete(c.young, string(key))
			delete(c.old, string(key))
		}
		c.whole.add(key)
	}
}

// learn takes over what an overlay read and wrote, when that is in the database.
func (c *stateCache) learn(o *overlay) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range o.cells {
		cl := o.cell(i)
		if _, known := c.young[string(cl.key)]; !known || cl.dirty {
			c.putLocked(cl.key, cl.val, cl.ok)
		}
		if cl.dirty && cl.ok {
			c.whole.add(cl.key)
		}
	}
}

// begin says that nothing stands below prefix, as learn did not say otherwise.
func (c *stateCache) begin(prefix []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole.begin(prefix)
}

func (c *stateCache) knows(prefix []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.whole.knows(prefix)
}

// know takes all keys there are below prefix.
func (c *stateCache) know(prefix []byte, keys [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole.begin(prefix)
	for _, key := range keys {
		c.whole.add(key)
	}
}
