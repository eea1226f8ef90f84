package fs

import (
	"container/list"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/store"
)

const (
	spillDir     = "spill"
	spillSuffix  = ".spill"
	maxOpenSpill = 64
)

// A spill is a sparse file in the store's folder "spill" that holds bytes of one edit at their own offsets.
// It is named by a number, keeps no descriptor of its own, and is written to until its edit ends.
type spill struct {
	set *spills
	id  uint64

	syncing sync.Mutex // held while syncing: who finds nothing unsynced must know that it is on disk
	suspect bool       // GUARDED_BY(syncing): a sync failed, and no bytes were written anew since

	sums sums // see there who may touch them

	// Guarded by set.mu.
	file     vfs.File // nil: not open now
	elem     *list.Element
	users    int  // calls that use file now
	unsynced bool // written to since the last sync
	gone     bool
	flow     flow
}

// spills keeps a bounded number of descriptors open over all spill files.
type spills struct {
	st  *store.Store
	mem atomic.Int64 // bytes of edits, and of versions that wait for sealing, which are in memory instead

	flowing sync.WaitGroup // what asks the kernel to write

	mu     sync.Mutex
	next   uint64
	open   *list.List // of *spill, least recently used first
	doomed []*spill   // removed, but a record that a power loss brings back may name them
}

// newSpills begins to count at the microsecond of the start: a record may name a file that is not there, of which the folder
// says nothing, and its number must not come to be another file's, which would go with the record.
func newSpills(st *store.Store, now time.Time) (*spills, error) {
	s := &spills{st: st, open: list.New(), next: uint64(max(now.UnixMicro(), 0))}
	if err := st.FS().MkdirAll(st.Path(spillDir), 0o700); err != nil {
		return nil, fmt.Errorf("make spill folder: %w", err)
	}
	if err := s.syncDir(st.Path()); err != nil {
		return nil, fmt.Errorf("make spill folder: %w", err)
	}
	names, err := st.FS().List(st.Path(spillDir))
	if err != nil {
		return nil, fmt.Errorf("list spill folder: %w", err)
	}
	for _, n := range names {
		if id, ok := spillID(n); ok {
			s.next = max(s.next, id)
		}
	}
	return s, nil
}

func (s *spills) syncDir(path string) error {
	dir, err := s.st.FS().OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func spillID(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, spillSuffix)
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(hex, 16, 64)
	return id, err == nil
}

func (s *spills) path(id uint64) string {
	return s.st.Path(spillDir, fmt.Sprintf("%016x", id)+spillSuffix)
}

func (s *spills) trailPath(id uint64) string {
	return s.st.Path(spillDir, fmt.Sprintf("%016x", id)+trailSuffix)
}

func (s *spills) removeIfThere(path string) error {
	if err := s.st.FS().Remove(path); !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}

// create makes an empty spill file.
func (s *spills) create() (*spill, error) {
	s.mu.Lock()
	s.next++
	id := s.next
	s.mu.Unlock()
	f, err := s.st.FS().Create(s.path(id), vfs.WriteCategoryUnspecified)
	if errors.Is(err, syscall.ENOSPC) && s.st.GiveUpReserve() { // cutting a file works on a full disk
		f, err = s.st.FS().Create(s.path(id), vfs.WriteCategoryUnspecified)
	}
	if err != nil {
		return nil, fmt.Errorf("make spill file: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("make spill file: %w", err)
	}
	p := &spill{set: s, id: id, unsynced: true} // its name, that is
	p.sums.of = map[int64]*sumGroup{}
	return p, nil
}

// hollow names a spill file that holds nothing, and needs not be there.
func (s *spills) hollow() *spill {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	p := &spill{set: s, id: s.next}
	p.sums.of = map[int64]*sumGroup{}
	return p
}

// existing names a spill file that an earlier run left. synced: its record says that it is on disk; else a sync of that run may
// have failed, and none is believed before the bytes were written anew. Its number is not given again, be the file there or not.
func (s *spills) existing(id uint64, synced bool) *spill {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = max(s.next, id)
	return &spill{set: s, id: id, unsynced: true, suspect: !synced}
}

// sweep removes the files that no record names, and all trails: no edit goes on.
func (s *spills) sweep(keep map[uint64]bool) error {
	if err := s.st.Sync(); err != nil {
		return err // a record that a power loss brings back may name them
	}
	names, err := s.st.FS().List(s.st.Path(spillDir))
	if err != nil {
		return fmt.Errorf("list spill folder: %w", err)
	}
	for _, n := range names {
		id, ok := spillID(n)
		if strings.HasSuffix(n, trailSuffix) || ok && !keep[id] {
			if err := s.st.FS().Remove(s.st.Path(spillDir, n)); err != nil {
				return fmt.Errorf("remove spill file: %w", err)
			}
		}
	}
	return nil
}

// use calls fn with the file open; no lock is held meanwhile.
func (p *spill) use(fn func(f vfs.File) error) error {
	s := p.set
	s.mu.Lock()
	if p.gone {
		s.mu.Unlock()
		return errors.New("spill file is gone")
	}
	if p.file == nil {
		f, err := s.st.FS().OpenReadWrite(s.path(p.id), vfs.WriteCategoryUnspecified)
		if err != nil {
			s.mu.Unlock()
			if errors.Is(err, iofs.ErrNotExist) {
				return fmt.Errorf("open spill file %x: %w", p.id, ErrDamaged)
			}
			return fmt.Errorf("open spill file: %w", err)
		}
		p.file = f
		p.elem = s.open.PushBack(p)
		s.closeIdleLocked()
	} else {
		s.open.MoveToBack(p.elem)
	}
	p.users++
	f := p.file
	s.mu.Unlock()

	err := fn(f)

	s.mu.Lock()
	p.users--
	if p.gone && p.users == 0 {
		p.closeLocked()
	}
	s.mu.Unlock()
	return err
}

// closeIdleLocked closes the least recently used files beyond the bound. What is unsynced stays so:
// closing does not sync, and a later sync of the reopened file covers it.
func (s *spills) closeIdleLocked() {
	for e := s.open.Front(); e != nil && s.open.Len() > maxOpenSpill; {
		next := e.Next()
		if p := e.Value.(*spill); p.users == 0 {
			p.closeLocked()
		}
		e = next
	}
}

func (p *spill) closeLocked() {
	if p.file != nil {
		p.file.Close() // nothing is lost: what must be durable was synced with its error seen
		p.file = nil
		p.sums.trail.close()
		p.set.open.Remove(p.elem)
	}
}

func (p *spill) writeAt(b []byte, off int64) error {
	return p.use(func(f vfs.File) error {
		err := p.sums.writeAt(f, b, off)
		p.set.mu.Lock()
		p.unsynced = true
		from, size := p.flow.add(off, int64(len(b)))
		p.set.mu.Unlock()
		if size > 0 {
			p.flowOut(from, size)
		}
		return err
	})
}

// readAt fills b by what was written there, or fails.
func (p *spill) readAt(b []byte, off int64) error {
	return p.use(func(f vfs.File) error { return p.sums.readAt(f, b, off) })
}

// prefetchPart is how much the kernel reads ahead at once.
const prefetchPart = 256 << 10

// prefetch has the kernel read bytes that are about to be read. It is advice: who reads them gets their errors.
func (p *spill) prefetch(from, to int64) {
	_ = p.use(func(f vfs.File) error {
		for ; from < to; from += prefetchPart {
			_ = f.Prefetch(from, min(prefetchPart, to-from))
		}
		return nil
	})
}

// sync makes all that was written durable. The name is durable too: the folder is synced with it. ErrDamaged tells, once, that the
// disk lost some of it; the rest is durable, and who reads what is lost gets that error again.
func (p *spill) sync() error {
	p.syncing.Lock()
	defer p.syncing.Unlock()
	p.set.mu.Lock()
	need := p.unsynced && !p.gone
	p.unsynced = false
	p.set.mu.Unlock()
	if !need {
		return nil
	}
	var lost error
	err := p.use(func(f vfs.File) (err error) {
		if lost, err = p.syncFile(f); err != nil {
			return err
		}
		return p.set.syncDir(p.set.st.Path(spillDir))
	})
	if err != nil {
		p.set.mu.Lock()
		p.unsynced = true
		p.set.mu.Unlock()
		return fmt.Errorf("sync spill file: %w", err)
	}
	return lost
}

// syncFile syncs the file's bytes. After a failure a later sync that succeeds proves nothing, since the kernel calls
// the pages clean that it could not write; but it has them still, if their sums are right. So they are made dirty again at once, by
// writing them anew where they are, and stay so until a sync works. lost says what it has no more.
func (p *spill) syncFile(f vfs.File) (lost, err error) {
	for try := 0; ; try++ {
		if p.suspect {
			if lost, err = rewrite(f, p.sums.check); err != nil {
				return nil, err
			}
			p.suspect = false
		}
		if err = f.SyncData(); err == nil {
			return lost, nil
		}
		p.suspect = true
		if try > 0 {
			lost, again := rewrite(f, p.sums.check)
			p.suspect = again != nil
			return nil, errors.Join(err, again, lost)
		}
	}
}

// holds reports whether the file has bytes up to size: those that were not synced may be lost with the power.
func (p *spill) holds(size int64) (bool, error) {
	info, err := p.set.st.FS().Stat(p.set.path(p.id))
	if errors.Is(err, iofs.ErrNotExist) {
		return size == 0, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at spill file: %w", err)
	}
	return info.Size() >= size, nil
}

func (p *spill) isUnsynced() bool {
	p.set.mu.Lock()
	defer p.set.mu.Unlock()
	return p.unsynced
}

// remove lets the file go. Whoever still uses it now may finish. reap deletes it.
func (p *spill) remove() error {
	p.set.mu.Lock()
	if p.gone {
		p.set.mu.Unlock()
		return nil
	}
	p.gone = true
	if p.users == 0 {
		p.closeLocked()
	}
	p.set.doomed = append(p.set.doomed, p)
	p.set.mu.Unlock()
	return nil
}

// reclaim is reap on a full disk, which does not wait for its turn. It reports whether that made room.
func (s *spills) reclaim() bool {
	s.mu.Lock()
	n := len(s.doomed)
	s.mu.Unlock()
	return n > 0 && s.reap() == nil
}

// reap deletes the files that were let go, once what was written instead of them is on disk.
func (s *spills) reap() error {
	s.mu.Lock()
	list := s.doomed
	s.doomed = nil
	s.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	err := s.st.Sync()
	for i := 0; i < len(list) && err == nil; i++ {
		err = s.removeIfThere(s.path(list[i].id))
		if err == nil && list[i].sums.trail != nil {
			err = s.removeIfThere(s.trailPath(list[i].id))
		}
		if err == nil {
			list[i] = nil
		}
	}
	if err == nil {
		return nil
	}
	s.mu.Lock()
	s.doomed = append(slices.DeleteFunc(list, func(p *spill) bool { return p == nil }), s.doomed...)
	s.mu.Unlock()
	return fmt.Errorf("remove spill files: %w", err)
}
