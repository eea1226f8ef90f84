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
	if id.IsPast() {
		return f.past.read(id, p, off, ready)
	}
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
	var a *ahead
	if h != nil {
		a = &h.ahead
	}
	k, ok, err = f.readContent(c, a, p, off, ready)
	return k, ok, f.damaged(n, err)
}

// readContent fills p with c's bytes at off. ready: only if that is not likely to wait for anything; else it reports false. a is nil if
// nobody has the file open.
func (f *FS) readContent(c content, a *ahead, p []byte, off int64, ready bool) (k int, ok bool, err error) {
	if c == nil || off >= c.Size() {
		return 0, true, nil
	}
	p = p[:min(int64(len(p)), c.Size()-off)]
	if done, err := fillFrom(c, a, p, off, ready); !done || err != nil {
		return 0, done, err
	}
	if near, ok := c.(prefetcher); ok && a != nil && c.Size() >= aheadFrom {
		f.readAhead(a, near, c.Size(), off, off+int64(len(p)))
	}
	return len(p), true, nil
}

func fillFrom(c content, a *ahead, p []byte, off int64, ready bool) (bool, error) {
	if ready {
		if s, ok := sealedOf(c); ok {
			return s.ReadCached(p, off), nil
		}
		_, inMemory := c.(inline)
		if !inMemory && (a == nil || !a.has(off, off+int64(len(p)))) {
			return false, nil
		}
	}
	return true, readFull(c, p, off)
}

// A prefetcher is a content that can be brought nearer before it is read.
type prefetcher interface{ Prefetch(from, to int64) }

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

// Prefetch implements prefetcher.
func (p *pending) Prefetch(from, to int64) {
	p.mu.RLock()
	now, spill := p.now, p.bytes.spill
	if now == nil && spill != nil {
		spill.prefetch(from, to) // under the lock: else the file may go meanwhile
	}
	p.mu.RUnlock()
	if a, ok := now.(prefetcher); ok {
		a.Prefetch(from, to)
	}
}

const (
	aheadFrom   = 1 << 20   // smaller files the kernel's own reading ahead does for
	aheadWindow = 2 << 20   // how much is brought nearer ahead of who reads a file from its beginning to its end
	aheadSlack  = 512 << 10 // the kernel asks for several pieces at once, in any order
)

// ahead is how far a file is being read and brought nearer.
type ahead struct {
	end  atomic.Int64 // of the last read
	from atomic.Int64 // what lies from here on
	to   atomic.Int64 // and before there is near, or was
	busy atomic.Bool
}

func (a *ahead) has(from, to int64) bool { return from >= a.from.Load() && to <= a.to.Load() }

// readAhead brings nearer what follows, in the background, once a file is read in order: opening blocks takes a core, and the
// program that reads has another one; a spill file comes from the disk in larger pieces than the kernel asks for.
func (f *FS) readAhead(a *ahead, c prefetcher, size, off, end int64) {
	last := a.end.Swap(end)
	if jump := off - last; jump < -aheadSlack || jump > aheadSlack {
		a.to.Store(end)
		a.from.Store(end)
		return
	}
	from := max(a.to.Load(), end)
	to := min(end+aheadWindow, size)
	if to-from < aheadWindow/2 && to < size || from >= to || !a.busy.CompareAndSwap(false, true) {
		return
	}
	f.aheads.Go(func() {
		c.Prefetch(from, to)
		a.to.Store(to)
		a.busy.Store(false)
	})
}
