package fs

import (
	"sync/atomic"
)

// Read fills p with the file's bytes at off, and returns how many there are.
func (f *FS) Read(id NodeID, p []byte, off int64) (int, error) {
	k, _, err := f.read(id, p, off, false)
	return k, err
}

// ReadReady is Read for bytes that are in memory; ok is false if they are not.
func (f *FS) ReadReady(id NodeID, p []byte, off int64) (k int, ok bool, err error) {
	return f.read(id, p, off, true)
}

func (f *FS) read(id NodeID, p []byte, off int64, ready bool) (k int, ok bool, err error) {
	n, err := f.nodeOf(id)
	if err != nil {
		return 0, true, err
	}
	n.mu.Lock()
	if n.buf != nil {
		defer n.mu.Unlock()
		if ready && n.buf.mem == nil {
			return 0, false, nil
		}
		k, err := n.buf.read(p, off)
		return k, true, f.damaged(n, err)
	}
	var c content
	ino, err := n.inodeLocked()
	if err != nil {
		n.mu.Unlock()
		return 0, true, err
	}
	c, err = n.contentLocked(ino)
	h := n.handles.Load()
	n.mu.Unlock() // content does not change: nobody waits for this read
	if err != nil {
		return 0, true, f.damaged(n, err)
	}
	if c == nil || off >= c.Size() {
		return 0, true, nil
	}
	p = p[:min(int64(len(p)), c.Size()-off)]
	s, isSealed := sealedOf(c)
	switch _, isInline := c.(inline); {
	case !ready, isInline:
		if err := readFull(c, p, off); err != nil {
			return 0, true, f.damaged(n, err)
		}
	case !isSealed, !s.ReadCached(p, off):
		return 0, false, nil
	}
	if isSealed && h != nil && s.Size() >= aheadFrom {
		f.openAhead(&h.ahead, s, off, off+int64(len(p)))
	}
	return len(p), true, nil
}

// sealedOf is c if it is read from the block store, as a version is that was still pending when it was opened.
func sealedOf(c content) (sealed, bool) {
	if p, ok := c.(*pending); ok {
		p.mu.RLock()
		c = p.now
		p.mu.RUnlock()
	}
	s, ok := c.(sealed)
	return s, ok
}

const (
	aheadFrom   = 1 << 20   // smaller files the kernel's own reading ahead does for
	aheadWindow = 2 << 20   // how much is opened ahead of who reads a file from its beginning to its end
	aheadSlack  = 512 << 10 // the kernel asks for several pieces at once, in any order
)

// ahead is how far a file is being read and opened.
type ahead struct {
	end  atomic.Int64 // of the last read
	to   atomic.Int64 // what lies before is in the cache, or was
	busy atomic.Bool
}

// openAhead opens what follows in the background once a file is read in order: opening blocks takes a core, and the
// program that reads has another one.
func (f *FS) openAhead(a *ahead, s sealed, off, end int64) {
	last := a.end.Swap(end)
	if jump := off - last; jump < -aheadSlack || jump > aheadSlack {
		a.to.Store(end)
		return
	}
	from := max(a.to.Load(), end)
	to := min(end+aheadWindow, s.Size())
	if to-from < aheadWindow/2 && to < s.Size() || from >= to || !a.busy.CompareAndSwap(false, true) {
		return
	}
	f.aheads.Go(func() {
		s.Prefetch(from, to)
		a.to.Store(to)
		a.busy.Store(false)
	})
}
