package fs

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
)

// Who deletes a large part of a volume at once may not have meant to. It is an edit like any other and happens as it is told; it is noted, so that
// status and log can say how to take it back. Only what this device's programs remove is counted: the device that removes something tells of it.

const (
	// massShare: more than one file in so many is a large part...
	massShare = 5
	// massFrom: ...of a volume of more files than this.
	massFrom = 100
)

// A MassDeletion is a large part of a volume's files that were deleted one after the other, without a pause of a minute.
type MassDeletion struct {
	Volume       identity.VolumeID
	Path         string    // of the volume, from the mount's top; where it last was, if it has been removed
	Since        time.Time // just before it: what to undo
	Began, Ended time.Time
	Removed, Of  int64 // files
}

// A spree is files being removed without a pause.
type spree struct {
	mu       sync.Mutex
	began    int64
	last     int64
	removed  int64 // of the files that there were when it began
	of       int64 // files that there were when it began; 0: not counted
	counting bool
	files    int64 // that there were when they were last counted; 0: never
	noted    int64 // what the record says of removed; 0: there is none
}

// removed takes up that a change took their last names from files that were made at these times. It waits for nothing.
func (v *Volume) removed(made []int64, now int64) {
	s := &v.spree
	s.mu.Lock()
	defer s.mu.Unlock()
	if now-s.last > int64(atOnce) || now < s.last-int64(atOnce) {
		s.began, s.removed, s.of, s.noted = now, 0, 0, 0
	}
	// What was made since the spree began was not there to be lost: programs make and remove files all the time.
	n := int64(0)
	for _, at := range made {
		if at <= s.began {
			n++
		}
	}
	if n == 0 {
		return
	}
	s.removed, s.last = s.removed+n, now
	// Files need counting only if so many are gone that it may matter, by what was counted last, which may be half of it by now.
	if s.of == 0 && !s.counting && s.removed > massFrom/massShare && s.removed > s.files/(2*massShare) {
		s.counting = true
		v.fs.counts.Go(v.countSpree)
	}
}

// countSpree counts how many files there were when the spree began.
func (v *Volume) countSpree() {
	s := &v.spree
	s.mu.Lock()
	began := s.began
	s.mu.Unlock()
	var files int64
	err := v.atTime(time.Unix(0, began-1), func(r eventlog.Reader) error {
		tree.Walk(r, tree.RootID, func(_ [][]byte, d tree.Dirent) bool {
			if d.Kind != tree.Dir && d.Kind != tree.Graft {
				files++
			}
			return true
		})
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counting = false
	if err != nil {
		v.fs.log.Warn("count files", "err", err)
		return
	}
	if s.files = files; s.began == began {
		s.of = files
	}
}

// isMass reports whether the spree is a large part. The caller holds s.mu.
func (s *spree) isMass() bool { return s.of > massFrom && s.removed*massShare > s.of }

// noteSpree writes down what a spree has come to, once nothing has been removed for a moment.
func (v *Volume) noteSpree(now int64) error {
	s := &v.spree
	s.mu.Lock()
	due := s.isMass() && s.removed != s.noted && now-s.last > int64(quietAfter)
	began, last, removed, of := s.began, s.last, s.removed, s.of
	s.mu.Unlock()
	if !due {
		return nil
	}
	err := v.update(func(t *txn) error {
		t.opening = true
		t.SetLocal(massKey(began), encodeMass(last, removed, of))
		return nil
	})
	if err != nil {
		return fmt.Errorf("note that files were deleted: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began == began {
		s.noted = removed
	}
	return nil
}

func massKey(began int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{localMass}, uint64(began))
}

const massSize = 3 * 8

func encodeMass(last, removed, of int64) []byte {
	b := make([]byte, 0, massSize)
	for _, n := range []int64{last, removed, of} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// MassDeletions lists the large parts of volumes that were deleted at once and not brought back since, the latest last.
func (f *FS) MassDeletions() (list []MassDeletion, err error) {
	f.counts.Wait() // of what was removed before
	for _, v := range f.allVolumes() {
		found := map[int64]MassDeletion{}
		err := v.log.Local(func(r eventlog.Reader) {
			r.Scan([]byte{localMass}, nil, func(k, b []byte) bool {
				if len(k) == 9 && len(b) == massSize {
					began := int64(binary.BigEndian.Uint64(k[1:]))
					n := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
					found[began] = massDeletion(began, n(0), n(1), n(2))
				}
				return true
			})
		})
		if err != nil {
			return nil, err
		}
		s := &v.spree
		s.mu.Lock()
		if s.isMass() { // it may go on
			found[s.began] = massDeletion(s.began, s.last, s.removed, s.of)
		}
		s.mu.Unlock()
		for _, m := range found {
			m.Volume, m.Path = v.id, v.lastPath()
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b MassDeletion) int { return a.Began.Compare(b.Began) })
	return list, nil
}

func massDeletion(began, last, removed, of int64) MassDeletion {
	return MassDeletion{
		Since: time.Unix(0, began-1), Began: time.Unix(0, began), Ended: time.Unix(0, last), Removed: removed, Of: of,
	}
}

// lastPath is the path of a volume from the mount's top, or the last that it had.
func (v *Volume) lastPath() string {
	path := v.fs.nameOf(v.home)
	if v == v.home.vol {
		return path
	}
	v.home.vol.view(false, func(r eventlog.Reader) error {
		if ino, ok := tree.GraftOf(r, v.id); ok {
			path += "/" + string(ino.Name)
		}
		return nil
	})
	return path
}

// forgetMass drops what is noted of files that were deleted after a time: they are there again.
func (v *Volume) forgetMass(at int64) error {
	s := &v.spree
	s.mu.Lock()
	if s.began > at {
		s.removed, s.last, s.of, s.noted = 0, 0, 0, 0
	}
	s.mu.Unlock()
	return v.update(func(t *txn) error {
		var keys [][]byte
		t.ScanLocal([]byte{localMass}, massKey(at+1), func(k, _ []byte) bool {
			keys = append(keys, slices.Clone(k))
			return true
		})
		for _, k := range keys {
			t.DeleteLocal(k)
		}
		return nil
	})
}
