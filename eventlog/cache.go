package eventlog

import "sync"

// A stateCache keeps what was read and written last, keys that are absent too: looking for those is what costs the
// database most, since it consults no filter on its last level. It has two generations: what is put goes to the young one,
// and when that is full the old one is dropped.
//
// INVARIANT: what it has is what the database has. So it is filled under the log's lock, shared or not, and what
// changes is put or dropped under the exclusive one.
type stateCache struct {
	mu         sync.Mutex
	young, old map[string]cached
	size       int // bytes of young, about
}

type cached struct {
	val []byte
	ok  bool // false: the key is known to be absent
}

// cacheBytes is about how much one generation keeps.
const cacheBytes = 2 << 20

// cacheOverhead is about what an entry costs beside its key and value.
const cacheOverhead = 96

func newStateCache() *stateCache {
	return &stateCache{young: make(map[string]cached), old: make(map[string]cached)}
}

func (c *stateCache) get(key []byte) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[string(key)]
	if !ok {
		v, ok = c.old[string(key)]
	}
	return v, ok
}

// put notes what stands behind key. It keeps val and copies key.
func (c *stateCache) put(key, val []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(key, val, ok)
}

func (c *stateCache) putLocked(key, val []byte, ok bool) {
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

func (c *stateCache) drop(keys [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		delete(c.young, string(key))
		delete(c.old, string(key))
	}
}

// learn takes over what an overlay read and wrote, when that is in the database.
func (c *stateCache) learn(o *overlay) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range o.cells {
		cl := &o.cells[i]
		if _, known := c.young[string(cl.key)]; !known || cl.dirty {
			c.putLocked(cl.key, cl.val, cl.ok)
		}
	}
}
