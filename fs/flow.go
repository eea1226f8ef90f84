package fs

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// flowBytes is after how many bytes written in order the kernel is asked to bring them to the disk. By itself it begins half a
// minute later, and then the fsync that ends a large copy waits for all of it.
const flowBytes = 8 << 20

// A flow is what is being written in order, and the kernel was not asked for yet.
type flow struct {
	from, end int64
	asking    bool // the kernel is being asked, which takes as long as the disk has no room for more: it is asked for the rest later
}

// add notes a write of n bytes. It returns what is to be brought to the disk, if there is enough of it.
func (w *flow) add(off, n int64) (from, size int64) {
	if off != w.end {
		w.from = off
	}
	w.end = off + n
	if w.end-w.from < flowBytes || w.asking {
		return 0, 0
	}
	from, w.from, w.asking = w.from, w.end, true
	return from, w.end - from
}

// flowOut has the kernel begin to write size bytes to the disk, which makes nothing durable. It does not wait.
func (p *spill) flowOut(from, size int64) {
	p.set.flowing.Go(func() {
		_ = p.use(func(f vfs.File) error {
			store.StartWriteback(f, from, size)
			return nil
		})
		p.set.mu.Lock()
		p.flow.asking = false
		p.set.mu.Unlock()
	})
}
