package ipld

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/store"
)

const (
	blocksCategory vfs.DiskWriteCategory = "rhizome-blocks"

	appendBytes    = 1 << 20 // how much is handed to the kernel at once
	writebackBytes = 8 << 20 // how often the kernel is asked to begin writing to the disk
)

// A tail is the segment that grows.
type tail struct {
	num  segmentNumber
	file vfs.File // a sync goes through a handle of its own: vfs wants one write or sync at a time
	size int64    // with what is on its way in Segments.buf
	torn bool     // a failed write may have left bytes behind the last section
}

// Put implements Store. When it returns, the blocks survive kill -9; Sync makes them survive more. What
// fails leaves what was there.
func (s *Segments) Put(blocks ...Block) error {
	num, size, err := s.put(blocks, false)
	if err != nil {
		return fmt.Errorf("put %d blocks: %w", len(blocks), explain(err))
	}
	if num != 0 {
		s.writeback(num, size)
	}
	s.mu.RLock()
	full := s.unsynced > s.opts.Unsynced
	s.mu.RUnlock()
	if full {
		return s.Sync()
	}
	return nil
}

// put appends the blocks that are not there, or all of them if anew says so. It returns the tail's
// number and size if the kernel should begin to write it.
func (s *Segments) put(blocks []Block, anew bool) (segmentNumber, int64, error) {
	for _, b := range blocks {
		if err := checkPut(b); err != nil {
			return 0, 0, err
		}
	}
	// What the store keeps for removing and renaming is not for new content; what is written anew may use it.
	if sp, ok := s.st.Space(); ok && sp.Free == 0 && !anew {
		return 0, 0, store.ErrNoSpace
	}
	s.appending.Lock()
	defer s.appending.Unlock()
	if err := s.usable(); err != nil {
		return 0, 0, err
	}
	before := int64(0)
	if s.tail != nil {
		before = s.tail.size
	}
	for _, b := range blocks {
		if there, err := s.noteAdded(b.CID); err != nil {
			return 0, 0, s.abandon(err)
		} else if there && !anew {
			continue
		}
		if s.tail == nil || s.tail.size >= s.opts.Size {
			if err := s.rotate(); err != nil {
				return 0, 0, s.abandon(err)
			}
			before = 0
		}
		l := location{s.tail.num, s.tail.size, len(b.Data)}
		s.buf = appendCARSection(s.buf, b)
		s.tail.size = l.end()
		s.adding[b.CID] = l
		if len(s.buf) >= appendBytes {
			if err := s.handOver(); err != nil {
				return 0, 0, s.abandon(err)
			}
		}
	}
	if err := s.handOver(); err != nil {
		return 0, 0, s.abandon(err)
	}
	if s.tail != nil && s.tail.size/writebackBytes > before/writebackBytes {
		return s.tail.num, s.tail.size, nil
	}
	return 0, 0, nil
}

// usable returns why nothing can be put.
func (s *Segments) usable() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	return s.failed
}

// noteAdded reports whether c is there already, and keeps it from a collection in any case.
func (s *Segments) noteAdded(c CID) (bool, error) {
	s.mu.Lock()
	s.young.add(c)
	s.mu.Unlock()
	if _, ok := s.adding[c]; ok {
		return true, nil
	}
	return s.Has(c)
}

// handOver writes what is in buf to the tail.
func (s *Segments) handOver() error {
	if len(s.buf) == 0 {
		return nil
	}
	if _, err := s.tail.file.WriteAt(s.buf, s.tail.size-int64(len(s.buf))); err != nil {
		s.tail.torn = true
		return fmt.Errorf("append to segment %v: %w", s.tail.num, err)
	}
	s.mu.Lock()
	for c, l := range s.adding {
		s.pending[c] = l
		s.damage.healed(c)
	}
	s.grewLocked(s.tail.num, s.tail.size)
	s.mu.Unlock()
	s.buf = s.buf[:0]
	clear(s.adding)
	s.st.FlushSoon()
	return nil
}

// grewLocked notes that a segment has bytes that no sync has seen.
func (s *Segments) grewLocked(n segmentNumber, size int64) {
	seg := s.segments[n]
	s.unsynced += size - seg.size
	seg.size = size
	s.dirty[n] = struct{}{}
}

// abandon forgets what a failed put has not handed over.
func (s *Segments) abandon(err error) error {
	if s.tail != nil {
		s.tail.size -= int64(len(s.buf))
	}
	s.buf = s.buf[:0]
	clear(s.adding)
	return err
}

// rotate closes the tail and begins a new one. Sync makes the old one durable.
func (s *Segments) rotate() error {
	if err := s.handOver(); err != nil {
		return err
	}
	if err := s.closeTail(); err != nil {
		return err
	}
	s.mu.Lock()
	num := s.next
	s.next++
	s.mu.Unlock()
	f, err := s.st.FS().OpenReadWrite(s.path(num), blocksCategory)
	if err != nil {
		return fmt.Errorf("begin segment %v: %w", num, err)
	}
	if _, err = f.WriteAt([]byte(carHeader), 0); err != nil {
		return fmt.Errorf("begin segment %v: %w", num, errors.Join(err, f.Close(), s.st.FS().Remove(s.path(num))))
	}
	s.tail = &tail{num: num, file: f, size: int64(len(carHeader))}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[num] = &segment{}
	s.grewLocked(num, s.tail.size)
	s.newFiles = true
	return nil
}

// closeTail lets go of the segment that grows: it is as a CAR file should be.
func (s *Segments) closeTail() error {
	t := s.tail
	if t == nil {
		return nil
	}
	if t.torn {
		if err := s.cutTail(t); err != nil {
			return err
		}
	}
	s.tail = nil
	return t.file.Close()
}

// writeback asks the kernel to begin writing a segment, so that a sync has less to wait for.
func (s *Segments) writeback(num segmentNumber, size int64) {
	f, err := s.files.acquire(num)
	if err != nil {
		return // it was collected already
	}
	defer s.files.release(f)
	if _, err := f.SyncTo(size); err != nil {
		_ = s.suspected(num, err) // for the next sync
	}
}

// fail remembers that blocks are gone which no sync has made durable. From then on nothing is taken; the next
// start looks at what the disk has, and who put them has what they were made of.
func (s *Segments) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("the segments take no more blocks: %w", err)
		s.log.Error("segments failed", "err", err)
	}
	return s.failed
}

// explain gives a full disk the sentinel that callers ask for.
func explain(err error) error {
	if !errors.Is(err, store.ErrNoSpace) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		return fmt.Errorf("%w (%w)", store.ErrNoSpace, err)
	}
	return err
}
