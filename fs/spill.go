package fs

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/store"
)

const (
	spillDir     = "spill"
	maxOpenSpill = 64
)

// A spill is a sparse file in the store's folder "spill" that holds bytes of one edit at their own offsets.
// It is named by a number, keeps no descriptor of its own, and is written to until its edit ends.
type spill struct {
	set *spills
	id  uint64

	// Guarded by set.mu.
	file     vfs.File // nil: not open now
	elem     *list.Element
	users    int  // calls that use file now
	unsynced bool // written to since the last sync
	gone     bool
}

// spills keeps a bounded number of descriptors open over all spill files.
type spills struct {
	st *store.Store

	mu   sync.Mutex
	next uint64
	open *list.List // of *spill, least recently used first
}

func newSpills(st *store.Store) (*spills, error) {
	s := &spills{st: st, open: list.New()}
	if err := st.FS().MkdirAll(st.Path(spillDir), 0o700); err != nil {
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

func spillID(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, ".spill")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(hex, 16, 64)
	return id, err == nil
}

func (s *spills) path(id uint64) string {
	return s.st.Path(spillDir, fmt.Sprintf("%016x.spill", id))
}

// create makes an empty spill file.
func (s *spills) create() (*spill, error) {
	s.mu.Lock()
	s.next++
	id := s.next
	s.mu.Unlock()
	f, err := s.st.FS().Create(s.path(id), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("make spill file: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("make spill file: %w", err)
	}
	return &spill{set: s, id: id}, nil
}

// existing names a spill file that an earlier run left.
func (s *spills) existing(id uint64) *spill { return &spill{set: s, id: id} }

// sweep removes the files that no record names.
func (s *spills) sweep(keep map[uint64]bool) error {
	names, err := s.st.FS().List(s.st.Path(spillDir))
	if err != nil {
		return fmt.Errorf("list spill folder: %w", err)
	}
	for _, n := range names {
		if id, ok := spillID(n); ok && !keep[id] {
			if err := s.st.FS().Remove(s.path(id)); err != nil {
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
		p.set.open.Remove(p.elem)
	}
}

func (p *spill) writeAt(b []byte, off int64) error {
	return p.use(func(f vfs.File) error {
		_, err := f.WriteAt(b, off)
		p.set.mu.Lock()
		p.unsynced = true
		p.set.mu.Unlock()
		return err
	})
}

// readAt fills b; what lies beyond the end of the file is zeros.
func (p *spill) readAt(b []byte, off int64) error {
	return p.use(func(f vfs.File) error {
		n, err := f.ReadAt(b, off)
		if err != nil && err != io.EOF {
			return err
		}
		clear(b[n:])
		return nil
	})
}

// sync makes all that was written durable. The name is durable too: the folder is synced with it.
func (p *spill) sync() error {
	p.set.mu.Lock()
	need := p.unsynced && !p.gone
	p.unsynced = false
	p.set.mu.Unlock()
	if !need {
		return nil
	}
	err := p.use(func(f vfs.File) error {
		if err := f.SyncData(); err != nil {
			return err
		}
		dir, err := p.set.st.FS().OpenDir(p.set.st.Path(spillDir))
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	})
	if err != nil {
		p.set.mu.Lock()
		p.unsynced = true
		p.set.mu.Unlock()
		return fmt.Errorf("sync spill file: %w", err)
	}
	return nil
}

// remove deletes the file. Whoever still uses it now may finish.
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
	p.set.mu.Unlock()
	if err := p.set.st.FS().Remove(p.set.path(p.id)); err != nil {
		return fmt.Errorf("remove spill file: %w", err)
	}
	return nil
}
