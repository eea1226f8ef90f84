package ipld

import (
	"errors"
	"fmt"
	"maps"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// indexBatch bounds how many entries enter the index at once.
const indexBatch = 8192

// Sync returns when every block that was put before is durable, and found after any crash. It costs
// nothing if there is none. If it fails, the blocks are there still, and a later Sync writes anew what may be lost.
func (s *Segments) Sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	err := s.syncHeld()
	if errors.Is(err, errSuspect) {
		err = s.syncHeld() // elsewhere it may work
	}
	err = explain(err)
	s.st.Report(partBlocks, err)
	if err != nil {
		return fmt.Errorf("sync segments: %w", err)
	}
	return nil
}

// partBlocks is what the store calls the segments' troubles.
const partBlocks store.Part = "the blocks"

// syncHeld is Sync for who holds syncing.
func (s *Segments) syncHeld() error {
	if err := s.renewAll(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.failed != nil || len(s.dirty) == 0 {
		defer s.mu.Unlock()
		return s.failed
	}
	s.moving, s.pending = s.pending, map[CID]location{}
	marks := make(map[segmentNumber]int64, len(s.dirty))
	for n := range s.dirty {
		marks[n] = s.segments[n].size
	}
	newFiles := s.newFiles
	s.newFiles = false
	s.mu.Unlock()

	// First the bytes, then the entries that point at them. Whether the entries are on the disk does
	// not matter: behind an older mark they are found again.
	err := s.syncFiles(marks, newFiles)
	if err == nil {
		err = s.enterIndex(s.moving, marks)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		maps.Copy(s.moving, s.pending) // what was put since is newer
		s.pending, s.moving = s.moving, nil
		s.newFiles = s.newFiles || newFiles
		return err
	}
	s.moving = nil
	for n, mark := range marks {
		seg := s.segments[n]
		s.unsynced -= mark - seg.mark
		seg.mark = mark
		if seg.size == mark {
			delete(s.dirty, n)
		}
	}
	return nil
}

func (s *Segments) syncFiles(marks map[segmentNumber]int64, newFiles bool) error {
	for n := range marks {
		f, err := s.files.acquire(n)
		if err != nil {
			return err
		}
		err = f.SyncData()
		s.files.release(f)
		if err != nil {
			return s.suspected(n, err)
		}
	}
	if newFiles {
		return s.syncDir(s.dir)
	}
	return nil
}

func (s *Segments) syncDir(dir string) error {
	d, err := s.st.FS().OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// enterIndex writes where blocks are, and behind that the marks that make it unnecessary to look.
func (s *Segments) enterIndex(blocks map[CID]location, marks map[segmentNumber]int64) error {
	b := s.st.DB().NewBatch()
	for c, l := range blocks {
		if err := b.Set(blockKey(c), l.encode(), nil); err != nil {
			return errors.Join(err, b.Close())
		}
		if b.Count() >= indexBatch {
			if err := s.st.Commit(b, store.Applied); err != nil {
				return err
			}
			b = s.st.DB().NewBatch()
		}
	}
	for n, mark := range marks {
		if err := setRecord(b, n, segmentRecord{Mark: mark}); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return s.st.Commit(b, store.Applied)
}

func setRecord(b *pebble.Batch, n segmentNumber, r segmentRecord) error {
	return b.Set(segmentKey(n), dagcbor.Encode(r), nil)
}
