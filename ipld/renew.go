package ipld

import (
	"errors"
	"fmt"
	"slices"
)

// After a failed sync a later one that succeeds proves nothing: the kernel calls the pages clean that it could not
// write. But it still has them, so the blocks that were put since the segment's last sync are read, checked and appended
// anew to another segment. The suspect one keeps what is before its mark.

// errSuspect says that a segment's new blocks may never reach the disk.
var errSuspect = errors.New("a segment could not be synced")

// suspected notes that a segment's sync failed.
func (s *Segments) suspected(n segmentNumber, err error) error {
	s.mu.Lock()
	s.suspect[n] = struct{}{}
	s.mu.Unlock()
	return fmt.Errorf("sync segment %v: %w: %w", n, errSuspect, err)
}

// renewAll writes what is in suspect segments anew. The caller holds syncing.
func (s *Segments) renewAll() error {
	s.mu.RLock()
	var list []segmentNumber
	for n := range s.suspect {
		list = append(list, n)
	}
	s.mu.RUnlock()
	slices.Sort(list)
	for _, n := range list {
		if err := s.renew(n); err != nil {
			return fmt.Errorf("write the blocks of segment %v anew: %w", n, err)
		}
	}
	return nil
}

func (s *Segments) renew(n segmentNumber) error {
	s.appending.Lock()
	if s.tail != nil && s.tail.num == n {
		s.tail.file.Close() // what counts is written anew
		s.tail = nil
	}
	s.appending.Unlock()
	if err := s.copyAnew(n, s.unsyncedIn(n)); err != nil {
		return err
	}
	s.mu.Lock()
	seg := s.segments[n]
	delete(s.suspect, n)
	delete(s.dirty, n)
	if seg == nil {
		s.mu.Unlock()
		return nil
	}
	s.unsynced -= seg.size - seg.mark
	seg.size = seg.mark
	empty := seg.mark == 0
	if empty {
		delete(s.segments, n)
	}
	s.mu.Unlock()
	if empty {
		s.files.drop(n)
		if err := s.st.FS().Remove(s.path(n)); err != nil {
			s.log.Debug("a segment that failed stays until the next start", "segment", n.String(), "err", err)
		}
	}
	return nil
}

// unsyncedIn lists the blocks of a segment that are not in the index yet.
func (s *Segments) unsyncedIn(n segmentNumber) (blocks []located) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c, l := range s.pending {
		if l.segment == n {
			blocks = append(blocks, located{c, l})
		}
	}
	slices.SortFunc(blocks, func(a, b located) int { return int(a.off - b.off) })
	return blocks
}

// copyAnew appends blocks of a segment to another one.
func (s *Segments) copyAnew(n segmentNumber, blocks []located) error {
	var batch []Block
	bytes := 0
	for i, e := range blocks {
		b, err := s.read(e.cid, e.location)
		if err == nil {
			err = b.Verify()
		}
		if err != nil {
			return s.fail(fmt.Errorf("segment %v could not be synced, and is not in memory any more: %w", n, err))
		}
		batch = append(batch, b)
		if bytes += len(b.Data); bytes >= appendBytes || i == len(blocks)-1 {
			if _, _, err := s.put(batch, true); err != nil {
				return err
			}
			batch, bytes = batch[:0], 0
		}
	}
	return nil
}
