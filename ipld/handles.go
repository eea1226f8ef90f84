package ipld

import (
	"container/list"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// handles keeps some segments open for reading, the least recently used go first.
type handles struct {
	open  func(segmentNumber) (vfs.File, error)
	limit int

	mu    sync.Mutex
	byNum map[segmentNumber]*list.Element // GUARDED_BY(mu)
	order *list.List                      // GUARDED_BY(mu); of *handle, the last used in front
}

// A handle is an open segment. It is closed when nobody uses it and handles has let go of it.
type handle struct {
	vfs.File
	num   segmentNumber
	users int  // GUARDED_BY(handles.mu)
	gone  bool // GUARDED_BY(handles.mu): handles has let go of it
}

func newHandles(limit int, open func(segmentNumber) (vfs.File, error)) *handles {
	return &handles{open: open, limit: limit, byNum: map[segmentNumber]*list.Element{}, order: list.New()}
}

// acquire opens a segment for reading; release must follow.
func (h *handles) acquire(n segmentNumber) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.byNum[n]; ok {
		h.order.MoveToFront(e)
		f := e.Value.(*handle)
		f.users++
		return f, nil
	}
	file, err := h.open(n)
	if err != nil {
		return nil, fmt.Errorf("open segment %v: %w", n, err)
	}
	f := &handle{File: file, num: n, users: 1}
	h.byNum[n] = h.order.PushFront(f)
	for h.order.Len() > h.limit {
		h.dropLocked(h.order.Back())
	}
	return f, nil
}

func (h *handles) release(f *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.users--
	if f.gone && f.users == 0 {
		f.Close() // it was read only: nothing can be lost
	}
}

// drop lets go of a segment that is about to be removed or replaced.
func (h *handles) drop(n segmentNumber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.byNum[n]; ok {
		h.dropLocked(e)
	}
}

func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.order.Len() > 0 {
		h.dropLocked(h.order.Back())
	}
}

func (h *handles) dropLocked(e *list.Element) {
	f := h.order.Remove(e).(*handle)
	delete(h.byNum, f.num)
	f.gone = true
	if f.users == 0 {
		f.Close()
	}
}
