package store

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// On a full disk people remove things, and a removal is a change like any other: it needs room in the log and in
// the tables. So the store keeps a file that holds nothing, with its blocks allocated, and gives it up when
// the disk, whoever fills it, has too little left for that.
//
// With unit = a sixteenth of the disk, at least 32 MiB and at most 64 MiB, and the file of that size:
//
//	free < low     a warning; low is 5 % of the disk or 2 GiB, whichever is less
//	free < unit    programs get ENOSPC for what makes more data; removing, renaming, cutting go on
//	free < unit/4  and nobody is filling it any more, or a call waits for room: the file is given up, unit is added to what is free
//	free < unit/4  and no file any more: nothing is taken that needs another file of the log
//
// It is given up only when it is needed: who fills the disk from outside would fill that too.
// While the file is missing, programs may use what is free beyond 2 units; it is made again when 1.5 are.
const (
	reserveFile         = "reserve"
	leastUnit, mostUnit = 32 << 20, 64 << 20
	lowSpace            = 2 << 30
	lowShare            = 20 // a twentieth
)

type reserve struct {
	fs   vfs.FS
	home string
	now  func() time.Time

	mu   sync.Mutex
	held bool // GUARDED_BY(mu): the file is there
	none bool // GUARDED_BY(mu): this file system can't allocate

	last  int64     // GUARDED_BY(mu): what was free when settled was asked last
	since time.Time // GUARDED_BY(mu): for how long
}

// settleTime is for how long nothing must have changed for a full disk to be one that nobody is filling.
const settleTime = time.Second

// Space is what the store's disk has.
type Space struct {
	Total int64
	Free  int64 // for programs; 0: they get ENOSPC for what makes more data
	Low   bool  // it will soon be full
}

func unitOf(total int64) int64 { return min(max(total/16, leastUnit), mostUnit) }

// lowLimit is below how much free space a disk is called nearly full.
func lowLimit(total int64) int64 { return min(total/lowShare, lowSpace) }

// GiveUpReserve makes room for what must work on a full disk, and reports whether there was any to make.
func (s *Store) GiveUpReserve() bool { return s.reserve.giveUp() }

// Space asks the disk; ok is false if it can't tell.
func (s *Store) Space() (sp Space, ok bool) {
	u, err := s.fs.GetDiskUsage(s.home)
	if err != nil {
		return Space{}, false
	}
	sp.Total = int64(u.TotalBytes)
	keep := unitOf(sp.Total)
	if s.reserve.missing() {
		keep *= 2
	}
	sp.Free = max(0, int64(u.AvailBytes)-keep)
	sp.Low = sp.Free < lowLimit(sp.Total)
	return sp, true
}

func (r *reserve) missing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.held && !r.none
}

// free asks how much is free.
func (r *reserve) free() (avail, unit int64, ok bool) {
	u, err := r.fs.GetDiskUsage(r.home)
	return int64(u.AvailBytes), unitOf(int64(u.TotalBytes)), err == nil
}

// exhausted reports whether nothing can be taken any more. It gives the file up before it says so.
func (r *reserve) exhausted() bool {
	avail, unit, ok := r.free()
	if !ok || avail >= unit/4 {
		return false
	}
	if r.giveUp() {
		avail, unit, ok = r.free()
		return ok && avail < unit/4
	}
	return true
}

// refuses reports whether a commit must be refused. While somebody fills the disk the file is kept and the commit goes on in
// the room that the log has allocated: what is given up then would be filled, too.
func (r *reserve) refuses() bool {
	if avail, unit, ok := r.free(); !ok || avail >= unit/4 {
		return false
	}
	r.mu.Lock()
	held := r.held
	r.mu.Unlock()
	if held && !r.settled() {
		return false
	}
	return r.exhausted()
}

// settled reports whether what is free has not changed for a while: while somebody fills the disk, what is given up is
// filled, too. What a call waits for is given up at once all the same.
func (r *reserve) settled() bool {
	avail, _, ok := r.free()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok || avail != r.last || r.since.IsZero() {
		r.last, r.since = avail, r.now()
		return false
	}
	return r.now().Sub(r.since) >= settleTime
}

// adopt looks whether an earlier run left the file.
func (r *reserve) adopt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.fs.Stat(r.fs.PathJoin(r.home, reserveFile))
	r.held = err == nil
}

// giveUp removes the file, and reports whether there was one.
func (r *reserve) giveUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.held {
		return false
	}
	err := r.fs.Remove(r.fs.PathJoin(r.home, reserveFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false
	}
	r.held = false
	return true
}

// keep makes the file again if there is room.
func (r *reserve) keep() {
	avail, unit, ok := r.free()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok || r.held || r.none || avail < unit+unit/2 { // with less, it would be given up again at once
		return
	}
	err := r.makeLocked(unit)
	r.held = err == nil
	r.none = err != nil && !errors.Is(explain(err), ErrNoSpace) // there is no allocating on this file system
}

// makeLocked makes the file under another name first: who finds it may rely on its blocks. It need not be durable.
func (r *reserve) makeLocked(size int64) error {
	path := r.fs.PathJoin(r.home, reserveFile)
	f, err := r.fs.Create(path+tmpSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err = errors.Join(f.Preallocate(0, size), f.Close()); err == nil {
		err = r.fs.Rename(path+tmpSuffix, path)
	}
	if err != nil {
		_ = r.fs.Remove(path + tmpSuffix)
	}
	return err
}
