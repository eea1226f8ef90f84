package store

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble takes most errors of its disk well: a table that can't be written is thrown away and made again. But it
// ends the process if its list of tables (the manifest, the marker that names it, the directory) can't be written, and it makes
// a table again at once, for ever. A patient file system stands between: what Pebble would not survive is tried until it
// works, on Pebble's background goroutines, which hold no lock of Pebble's meanwhile; and after a failure the next table waits a
// moment. What is in no table is in the write-ahead log and in memory. The store sees to it that nobody
// waits for Pebble (see Store.makeRoomLocked).
type patient struct {
	vfs.FS
	longest time.Duration // between two tries
	report  func(error)   // of the list of tables; nil: well again

	began  atomic.Bool  // before that, errors are Pebble's: the start fails
	failed atomic.Int64 // when a table last failed, ns; 0: well
	stuck  atomic.Int64 // how many goroutines wait

	once sync.Once
	end  chan struct{} // closed when nobody waits for Pebble any more
}

func newPatient(fs vfs.FS, longest time.Duration, report func(error)) *patient {
	return &patient{FS: fs, longest: longest, report: report, end: make(chan struct{})}
}

// abandon has those who wait do so for ever, and whoever comes later.
func (p *patient) abandon() { p.once.Do(func() { close(p.end) }) }

// try does op until it works; before the store has begun, once.
func (p *patient) try(op func() error) error {
	err := op()
	if err == nil || !p.began.Load() {
		return err
	}
	p.stuck.Add(1)
	defer p.stuck.Add(-1)
	for pause := p.longest / 64; err != nil; pause = min(2*pause, p.longest) {
		p.report(err)
		p.pause(pause)
		err = op()
	}
	p.report(nil)
	return nil
}

func (p *patient) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.end:
		select {} // an answer of any kind would have Pebble end the process
	}
}

// tableFailed and tableMade are told how Pebble fares with its tables.
func (p *patient) tableFailed() { p.failed.Store(time.Now().UnixNano()) }
func (p *patient) tableMade()   { p.failed.Store(0) }

// Unwrap implements vfs.FS.
func (p *patient) Unwrap() vfs.FS { return p.FS }

// Lock implements vfs.FS: the home has a lock of its own.
func (p *patient) Lock(string) (io.Closer, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) Close() error { return nil }

// Create implements vfs.FS.
func (p *patient) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	base := p.PathBase(name)
	switch {
	case strings.HasPrefix(base, "MANIFEST-"), strings.HasPrefix(base, "marker."):
		err = p.try(func() (err error) {
			f, err = p.FS.Create(name, c)
			return err
		})
		if err != nil {
			return nil, err
		}
		return &patientFile{File: f, p: p, path: name}, nil
	case p.began.Load():
		if at := p.failed.Load(); at != 0 {
			if wait := p.longest - time.Since(time.Unix(0, at)); wait > 0 {
				p.stuck.Add(1)
				defer p.stuck.Add(-1)
				p.pause(wait)
			}
		}
	}
	return p.FS.Create(name, c)
}

// OpenDir implements vfs.FS.
func (p *patient) OpenDir(name string) (vfs.File, error) {
	d, err := p.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &patientDir{d, p, name}, nil
}

// A patientDir is a directory whose sync is tried until it works.
type patientDir struct {
	vfs.File
	p    *patient
	path string
}

// Sync implements vfs.File.
func (d *patientDir) Sync() error {
	fresh := true
	return d.p.try(func() error {
		if !fresh { // a sync that finds nothing changed since one that failed proves nothing
			if err := touch(d.p.FS, d.path); err != nil {
				return err
			}
		}
		fresh = false
		return d.File.Sync()
	})
}

// touch makes a name and removes it.
func touch(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, "touch"+tmpSuffix)
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), fs.Remove(path))
}

// A patientFile is a manifest or a marker, written from its start to its end.
type patientFile struct {
	vfs.File
	p     *patient
	path  string
	size  int64
	fresh []byte // the end of what was written, since the last sync
}

// Write implements vfs.File.
func (f *patientFile) Write(b []byte) (int, error) {
	done := 0
	err := f.p.try(func() error {
		// A copy: the file system in memory that tests use spoils what it was given, if the race detector is on.
		n, err := f.File.Write(append([]byte(nil), b[done:]...))
		f.size += int64(n)
		f.fresh = append(f.fresh, b[done:done+n]...)
		done += n
		return err
	})
	return done, err
}

// Sync implements vfs.File.
func (f *patientFile) Sync() error {
	sync := f.File.Sync
	err := f.p.try(func() error {
		err := sync()
		if err != nil {
			sync = f.renew // a later sync of the same file proves nothing
		}
		return err
	})
	if err == nil {
		f.fresh = f.fresh[:0]
	}
	return err
}

// SyncData implements vfs.File.
func (f *patientFile) SyncData() error { return f.Sync() }

// renew puts a new file in place of this one: what was synced is read back, what was not is remembered.
func (f *patientFile) renew() error {
	fs, temp := f.p.FS, f.path+".anew"
	old := make([]byte, f.size-int64(len(f.fresh)))
	r, err := fs.Open(f.path)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(io.NewSectionReader(r, 0, int64(len(old))), old)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	w, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{old, append([]byte(nil), f.fresh...)} {
		if _, err = w.Write(part); err != nil {
			break
		}
	}
	if err == nil {
		err = w.Sync()
	}
	if err == nil {
		err = fs.Rename(temp, f.path)
	}
	if err != nil {
		_ = w.Close()
		_ = fs.Remove(temp)
		return err
	}
	_ = f.File.Close()
	f.File = w
	return syncDir(fs, fs.PathDir(f.path))
}

// Close implements vfs.File: what counts was synced before.
func (f *patientFile) Close() error {
	err := f.File.Close()
	if f.p.began.Load() {
		return nil
	}
	return err
}
