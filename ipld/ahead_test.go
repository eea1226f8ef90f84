package ipld

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
)

// counting counts what is read, by block.
type counting struct {
	*Memory
	gets atomic.Int64
}

func (c *counting) Get(id CID) (Block, error) {
	c.gets.Add(1)
	return c.Memory.Get(id)
}

func TestReadCached(t *testing.T) {
	for _, size := range []int{1, 10_000, 3 << 20, SectionSize + 1<<20} {
		st := &counting{Memory: NewMemory()}
		data := noise(uint64(size), size)
		clear(data[size/2 : size/2+size/4]) // a hole, if it is large
		r := NewReader(st, mustWrite(t, testSealer(), st, data), NewCache(64<<20))
		p := make([]byte, size)
		if r.ReadCached(p, 0) {
			t.Fatalf("%d bytes are read from an empty cache", size)
		}
		r.Prefetch(0, int64(size))
		before := st.gets.Load()
		if !r.ReadCached(p, 0) || !bytes.Equal(p, data) {
			t.Fatalf("%d bytes are not read from the cache, or not as they are", size)
		}
		if r.ReadCached(make([]byte, 2), int64(size)-1) {
			t.Fatal("more is read than there is")
		}
		if st.gets.Load() != before {
			t.Fatal("a read from the cache asked the store")
		}
	}
}

// Who asks for a block that somebody else is opening waits for it.
func TestOneOpensForAll(t *testing.T) {
	st := &counting{Memory: NewMemory()}
	data := noise(1, 2<<20)
	c := mustWrite(t, testSealer(), st, data)
	cache := NewCache(64 << 20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			p := make([]byte, len(data))
			if _, err := NewReader(st, c, cache).ReadAt(p, 0); err != nil || !bytes.Equal(p, data) {
				t.Error("read", err)
			}
		})
	}
	wg.Wait()
	alone := &counting{Memory: st.Memory}
	if _, err := NewReader(alone, c, NewCache(64<<20)).ReadAt(make([]byte, len(data)), 0); err != nil {
		t.Fatal(err)
	}
	// Nodes may be opened by each, leaves only once.
	if got, once := st.gets.Load(), alone.gets.Load(); got > once+8 {
		t.Errorf("%d blocks were read, one reader needs %d", got, once)
	}
	if len(cache.loading) != 0 {
		t.Error("something is being opened for ever")
	}
}
