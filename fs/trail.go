package fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// An fsync that syncs a spill file leaves, beside the record that names it, the checksums of its pages, in the database. The edit
// goes on, and writes over such pages: then the file and these sums differ, and after kill -9 nothing would tell that from damage. So
// before a page that the record has is written again, its sum and the one that it is about to have go into a small file beside the spill
// file, its trail. It is not synced: kill -9 takes nothing from it. After kill -9 a page is as one of its three sums says, or
// damaged. After a loss of power the trail says nothing, since any state of such a page may be on the disk: see settle.
//
// What a record does not have is written without a trail: nobody reads it after a kill.
type trail struct {
	of   *spill
	over extents // the pages that the record has
	file vfs.File
}

const (
	trailSuffix = ".trail"
	trailSlot   = 8 // bytes for each page: the sum that it had, the sum that it has; zeros: it was not written
)

// follow begins a trail for a record that has these ranges of the file, and whose sums are in the database.
func (p *spill) follow(have extents) error {
	t := &trail{of: p, over: pagesOf(have)}
	old := p.sums.trail
	p.sums.trail = t
	if old == nil || old.file == nil {
		return nil
	}
	err := old.file.Close()
	return errors.Join(err, p.set.removeIfThere(p.set.trailPath(p.id)))
}

// pagesOf are the pages that ranges touch.
func pagesOf(have extents) (whole extents) {
	for _, r := range have {
		from, end := r.Off/page*page, (r.Off+r.Len+page-1)/page*page
		whole.add(from, end-from)
	}
	return whole
}

// note leaves what pages from first on have had and are about to have, if the record has any of them.
func (t *trail) note(first int64, had, will []uint32) error {
	return t.over.runs(first*page, int64(len(will))*page, func(off, n int64, in bool) error {
		if !in {
			return nil
		}
		i := off/page - first
		slots := make([]byte, 0, n/page*trailSlot)
		for ; n > 0; i, n = i+1, n-page {
			slots = binary.LittleEndian.AppendUint32(slots, had[i])
			slots = binary.LittleEndian.AppendUint32(slots, will[i])
		}
		return t.write(slots, off/page*trailSlot)
	})
}

func (t *trail) write(slots []byte, off int64) error {
	s := t.of.set
	for try := 0; ; try++ {
		err := t.open()
		if err == nil {
			_, err = t.file.WriteAt(slots, off)
		}
		if err == nil {
			return nil
		}
		if try > 0 || !errors.Is(err, syscall.ENOSPC) || !s.st.GiveUpReserve() {
			return fmt.Errorf("note what is written over: %w", err)
		}
	}
}

func (t *trail) open() (err error) {
	if t.file == nil {
		t.file, err = t.of.set.st.FS().OpenReadWrite(t.of.set.trailPath(t.of.id), vfs.WriteCategoryUnspecified)
	}
	return err
}

func (t *trail) close() {
	if t != nil && t.file != nil {
		t.file.Close() // what was written there is with the kernel
		t.file = nil
	}
}

// A writtenOver says what is known of the pages of an edit that a kill or a loss of power interrupted, which were written after its last fsync.
type writtenOver struct {
	slots     io.ReaderAt // its trail; nil: it has none
	powerLost bool        // since: any page may be as it was at any moment since the fsync
}

// settle puts the sums of an edit that an earlier run left right, those of the pages that it wrote after its last fsync: f is its spill file, have what
// its record says is there. It returns how many pages are believed though nothing says what they should be: that is so after a loss of power only.
func (s *sums) settle(f vfs.File, have extents, w writtenOver) (believed int64, err error) {
	p := make([]byte, page)
	slots := make([]byte, 512*trailSlot)
	for _, r := range pagesOf(have) {
		for off := r.Off; off < r.Off+r.Len; off += int64(len(slots)) / trailSlot * page {
			n := min(int64(len(slots)), (r.Off+r.Len-off)/page*trailSlot)
			if err := w.read(slots[:n], off/page*trailSlot); err != nil {
				return believed, err
			}
			for i := int64(0); i < n; i += trailSlot {
				at := off + i/trailSlot*page
				had, has := binary.LittleEndian.Uint32(slots[i:]), binary.LittleEndian.Uint32(slots[i+4:])
				if !w.powerLost && had|has == 0 {
					continue
				}
				got, whole, err := s.actual(f, p, at, have)
				if err != nil {
					return believed, err
				}
				switch want := s.get(at / page); {
				case !whole || got == want || want == unknown:
				case got == had || got == has || had == unknown || has == unknown:
					s.set(at/page, got)
				case w.powerLost:
					s.set(at/page, got)
					believed++
				}
			}
		}
	}
	return believed, nil
}

// actual is the sum that a page has now. whole: it is there as far as it must be.
func (s *sums) actual(f vfs.File, p []byte, off int64, have extents) (sum uint32, whole bool, err error) {
	n, err := f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, false, err
	}
	clear(p[n:])
	last := have[len(have)-1]
	return sumOf(p), off+int64(n) >= min(off+page, last.Off+last.Len), nil
}

func (w writtenOver) read(slots []byte, off int64) error {
	clear(slots)
	if w.slots == nil {
		return nil
	}
	n, err := w.slots.ReadAt(slots, off)
	if errors.Is(err, io.EOF) {
		clear(slots[n:])
		return nil
	}
	return err
}

// A left is what a run that ended in the midst of an edit has left of its sums.
type left struct {
	rec     editRecord
	local   func(fn func(r eventlog.Reader)) error // the volume's device-local keys
	fs      vfs.FS
	trail   string // its path
	boot    string // the machine's now
	damaged error  // of the sums themselves
}

// load reads the sums that an fsync stored, and settles them with what f, the spill file, has. An edit of an earlier version of this program has
// none: then what the disk has is believed.
func (l *left) load(s *sums, f vfs.File) (believed int64, err error) {
	if l.rec.Summed == "" || len(l.rec.Have) == 0 {
		return 0, nil
	}
	last := l.rec.Have[len(l.rec.Have)-1]
	s.of, s.rest, s.end = map[int64]*sumGroup{}, unknown, last.Off+last.Len
	err = l.local(func(r eventlog.Reader) {
		prefix := sumPrefix(l.rec.Spill)
		r.Scan(prefix, prefix, func(k, v []byte) bool {
			if len(k) != len(prefix)+8 || len(v) != 4*groupPages {
				l.damaged = fmt.Errorf("sums of a spill file: %w", ErrDamaged)
				return false
			}
			s.of[int64(binary.BigEndian.Uint64(k[len(prefix):]))] = parseGroup(v)
			return true
		})
	})
	if err == nil && l.damaged == nil {
		l.damaged = s.lacks(l.rec.Have)
	}
	if s.bad = l.damaged; err != nil || s.bad != nil {
		return 0, err
	}
	w := writtenOver{powerLost: l.rec.Summed != l.boot}
	t, err := l.fs.Open(l.trail)
	if err == nil {
		defer t.Close()
		w.slots = t
	} else if !errors.Is(err, iofs.ErrNotExist) {
		return 0, err
	}
	return s.settle(f, l.rec.Have, w)
}

// lacks tells of a page of ranges that must have a sum, and has none.
func (s *sums) lacks(have extents) error {
	for _, r := range pagesOf(have) {
		for off := r.Off; off < r.Off+r.Len; off += page {
			if g := s.of[off/page/groupPages]; g == nil || g.of[off/page%groupPages] == unwritten {
				return fmt.Errorf("sums of a spill file: there is none at %d: %w", off, ErrDamaged)
			}
		}
	}
	return nil
}

// sumPrefix begins the device-local keys of a spill file's sums, one for each group.
func sumPrefix(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{localSums}, id)
}

// sumUp stores those sums of a spill file that have changed since they were stored last, for a record that has these ranges of it, and begins a trail for
// what comes after it.
func (t *txn) sumUp(p *spill, have extents) {
	if p.sums.of == nil {
		return // an earlier version of this program began the file
	}
	for _, n := range p.sums.fresh {
		key := binary.BigEndian.AppendUint64(sumPrefix(p.id), uint64(n))
		t.SetLocal(key, p.sums.of[n].append(make([]byte, 0, 4*groupPages)))
	}
	t.then(func() {
		p.sums.stored()
		if err := p.follow(have); err != nil {
			t.v.fs.log.Warn("an old trail stays", "err", err)
		}
	})
}

// dropSums drops the stored sums of a spill file that no record will name.
func (t *txn) dropSums(spill uint64) {
	if spill == 0 {
		return
	}
	prefix := sumPrefix(spill)
	var keys [][]byte
	t.ScanLocal(prefix, prefix, func(k, _ []byte) bool {
		keys = append(keys, append([]byte(nil), k...))
		return true
	})
	for _, k := range keys {
		t.DeleteLocal(k)
	}
}
