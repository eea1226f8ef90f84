package store

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// A shadow shows a file system as it is, and keeps every change of it in memory: who looks at a store through one sees what a
// start would make of it, and the disk stays as it is. A file that is changed is held in memory as a whole.
type shadow struct {
	base vfs.FS
	mem  *vfs.MemFS // what was made or changed

	mu   sync.Mutex
	gone map[string]bool // GUARDED_BY(mu): removed, and not in mem
}

func newShadow(base vfs.FS) *shadow {
	return &shadow{base: base, mem: vfs.NewMem(), gone: map[string]bool{}}
}

// where tells where a file is: in memory, or in the base.
func (s *shadow) where(name string) (mem, base bool) {
	if _, err := s.mem.Stat(name); err == nil {
		return true, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[name] {
		return false, false
	}
	_, err := s.base.Stat(name)
	return false, err == nil
}

func (s *shadow) hide(name string, hidden bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone[name] = hidden
}

func notThere(op, name string) error { return &os.PathError{Op: op, Path: name, Err: os.ErrNotExist} }

// Create implements vfs.FS.
func (s *shadow) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.mem.MkdirAll(s.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return s.mem.Create(name, c)
}

// Open implements vfs.FS.
func (s *shadow) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	switch mem, base := s.where(name); {
	case mem:
		return s.mem.Open(name, opts...)
	case base:
		return s.base.Open(name, opts...)
	}
	return nil, notThere("open", name)
}

// OpenReadWrite implements vfs.FS.
func (s *shadow) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := s.copyUp(name, c); err != nil {
		return nil, err
	}
	return s.mem.OpenReadWrite(name, c, opts...)
}

// copyUp brings a file of the base to memory.
func (s *shadow) copyUp(name string, c vfs.DiskWriteCategory) error {
	if err := s.mem.MkdirAll(s.PathDir(name), 0o700); err != nil {
		return err
	}
	if _, base := s.where(name); !base {
		return nil
	}
	from, err := s.base.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := s.mem.Create(name, c)
	if err != nil {
		return err
	}
	_, err = io.Copy(struct{ io.Writer }{to}, from)
	return errors.Join(err, to.Close())
}

// OpenDir implements vfs.FS.
func (s *shadow) OpenDir(name string) (vfs.File, error) {
	if err := s.mem.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	return s.mem.OpenDir(name)
}

// Remove implements vfs.FS.
func (s *shadow) Remove(name string) error {
	mem, base := s.where(name)
	if !mem && !base {
		return notThere("remove", name)
	}
	s.hide(name, true)
	if mem {
		return s.mem.Remove(name)
	}
	return nil
}

// RemoveAll implements vfs.FS.
func (s *shadow) RemoveAll(name string) error {
	names, _ := s.List(name) // a file has none
	for _, n := range names {
		if err := s.RemoveAll(s.PathJoin(name, n)); err != nil {
			return err
		}
	}
	if err := s.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Rename implements vfs.FS.
func (s *shadow) Rename(old, name string) error {
	if err := errors.Join(s.copyUp(old, vfs.WriteCategoryUnspecified), s.mem.MkdirAll(s.PathDir(name), 0o700)); err != nil {
		return err
	}
	if err := s.mem.Rename(old, name); err != nil {
		return err
	}
	s.hide(old, true)
	return nil
}

// Link implements vfs.FS.
func (s *shadow) Link(old, name string) error {
	if err := s.copyUp(old, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	return s.mem.Link(old, name)
}

// ReuseForWrite implements vfs.FS.
func (s *shadow) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.Remove(old); err != nil {
		return nil, err
	}
	return s.Create(name, c)
}

// MkdirAll implements vfs.FS.
func (s *shadow) MkdirAll(dir string, perm os.FileMode) error { return s.mem.MkdirAll(dir, perm) }

// Lock implements vfs.FS: it keeps daemons away, and writes nothing.
func (s *shadow) Lock(name string) (io.Closer, error) {
	if vfs.Root(s.base) != vfs.Default {
		return noLock{}, nil // a disk in memory is nobody else's
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return noLock{}, nil // nobody has ever opened it
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid := lockOwner(f)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &InUseError{PID: pid}
		}
		return nil, err
	}
	return f, nil
}

// List implements vfs.FS.
func (s *shadow) List(dir string) ([]string, error) {
	upper, memErr := s.mem.List(dir)
	lower, err := s.base.List(dir)
	if memErr != nil && err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range lower {
		if !s.gone[s.PathJoin(dir, name)] && !slices.Contains(upper, name) {
			upper = append(upper, name)
		}
	}
	slices.Sort(upper)
	return upper, nil
}

// Stat implements vfs.FS.
func (s *shadow) Stat(name string) (vfs.FileInfo, error) {
	switch mem, base := s.where(name); {
	case mem:
		return s.mem.Stat(name)
	case base:
		return s.base.Stat(name)
	}
	return nil, notThere("stat", name)
}

// PathBase implements vfs.FS.
func (s *shadow) PathBase(path string) string { return s.base.PathBase(path) }

// PathJoin implements vfs.FS.
func (s *shadow) PathJoin(elem ...string) string { return s.base.PathJoin(elem...) }

// PathDir implements vfs.FS.
func (s *shadow) PathDir(path string) string { return s.base.PathDir(path) }

// GetDiskUsage implements vfs.FS: a full disk keeps nobody from looking.
func (s *shadow) GetDiskUsage(string) (vfs.DiskUsage, error) {
	const roomy = 1 << 50
	return vfs.DiskUsage{AvailBytes: roomy, TotalBytes: roomy}, nil
}

// Unwrap implements vfs.FS: what is done to a shadow must not be done to what is below it.
func (s *shadow) Unwrap() vfs.FS { return nil }
