package fs

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// atOnce is how long a pause may be within what people call one change: rm -r of a directory, say.
const atOnce = time.Minute

// lastState restores what a path was before it became what it is.
func (rs *restoration) lastState(path []string) error {
	s, err := rs.f.spotAt(path, time.Time{})
	if err != nil {
		return err
	}
	d, there := s.vol.lookupNow(s.names)
	if !there && s.app == "" {
		if s, err = rs.formerVolume(s); err != nil {
			return err
		}
	}
	var at eventlog.Moment
	if there {
		at, err = s.vol.beforeNow(s.path(), d)
	} else {
		at, err = s.vol.beforeGone(s)
	}
	if err != nil {
		return err
	}
	if err := rs.tell(Restored{Deed: DeedMoment, Path: s.path(), At: at.When()}); err != nil {
		return err
	}
	return rs.place(s, past{s.vol, at})
}

// formerVolume finds a path in an app volume that has been removed, and brings the volume back, for what is to come back is in it.
func (rs *restoration) formerVolume(s spot) (spot, error) {
	h := s.home.vol
	until, d, ok, err := h.lastDirent(tree.RootID, s.names[0])
	if err != nil || !ok || d.Kind != tree.Graft {
		return s, err
	}
	then := past{h, before(until)}
	var ino tree.Inode
	if err := then.view(func(r eventlog.Reader) error {
		ino, _ = tree.GetInode(r, d.ID)
		return nil
	}); err != nil {
		return s, err
	}
	v, err := rs.f.openVolume(s.home, ino.Volume, s.names[0])
	if err != nil {
		return s, err
	}
	s = spot{home: s.home, vol: v, app: s.names[0], names: s.names[1:]}
	if ok, err = rs.volume(s, then); err == nil && !ok {
		err = fmt.Errorf("restore %s: %w", s.label(), ErrExist)
	}
	return s, err
}

// lastDirent returns what a name in a directory led to before it was removed, and when that was. A name that is there has the zero moment.
func (v *Volume) lastDirent(dir tree.FileID, name string) (until eventlog.Moment, d tree.Dirent, ok bool, err error) {
	err = v.view(false, func(r eventlog.Reader) error {
		d, ok = tree.Lookup(r, dir, []byte(name))
		return nil
	})
	if ok || err != nil {
		return until, d, ok, err
	}
	err = v.log.Former(tree.DirentKey(dir, []byte(name)), func(f eventlog.Fact) bool {
		if f.Had {
			d, ok = tree.DirentOf(f.Val)
			until = f.Until
		}
		return !f.Had
	})
	return until, d, ok, err
}

// beforeNow is the moment before what is there became what it is: a file has the content that it had before.
func (v *Volume) beforeNow(path string, d tree.Dirent) (at eventlog.Moment, err error) {
	if d.Kind == tree.Dir || d.Kind == tree.Graft {
		return at, fmt.Errorf("restore %s: it is there: say of when, as in %s@2h: %w", path, path, ErrInvalid)
	}
	now, ok := v.inodeOf(false, d.ID)
	if !ok {
		return at, ErrNotExist
	}
	var bad error
	err = v.log.Former(tree.InodeKey(now.ID), func(f eventlog.Fact) bool {
		was, is := tree.InodeOf(now.ID, f.Val)
		if f.Had && is && was.Nlink > 0 && len(was.Heads) > 0 {
			var kept, same bool
			if kept, bad = v.keeps(was.Heads[0].ID); bad == nil && kept {
				bad = v.view(false, func(r eventlog.Reader) error {
					same = tree.SameBytes(r, was, now)
					return nil
				})
			}
			if bad == nil && kept && !same {
				at = before(f.Until)
			}
		}
		return bad == nil && at == (eventlog.Moment{})
	})
	err = errors.Join(err, bad)
	if err == nil && at == (eventlog.Moment{}) {
		err = fmt.Errorf("restore %s: it has no other version: %w", path, ErrNotExist)
	}
	return at, err
}

// beforeGone is the moment before a path was removed, of a directory with what had been in it when it began to be removed.
func (v *Volume) beforeGone(s spot) (at eventlog.Moment, err error) {
	d := tree.Dirent{ID: tree.RootID, Kind: tree.Dir}
	end, err := v.lastChange(d.ID)
	if err != nil {
		return at, err
	}
	for _, name := range s.names {
		var until eventlog.Moment
		var ok bool
		if until, d, ok, err = v.lastDirent(d.ID, name); err != nil {
			return at, err
		}
		if !ok {
			return at, fmt.Errorf("restore %s: there is nothing, and nothing is known to have been: %w", s.path(), ErrNotExist)
		}
		if until != (eventlog.Moment{}) {
			end = until
		}
	}
	if d.Kind == tree.Dir {
		if end, err = v.wholeUntil(d.ID, end); err != nil {
			return at, err
		}
	}
	return before(end), nil
}

// lastChange is when a file last changed.
func (v *Volume) lastChange(file tree.FileID) (at eventlog.Moment, err error) {
	err = v.log.Former(tree.InodeKey(file), func(f eventlog.Fact) bool {
		at = f.Until
		return false
	})
	return at, err
}

// wholeUntil is the moment when that began by which a directory was empty, or gone, at end: names were removed from it and from what was below
// it, one after the other without a pause.
func (v *Volume) wholeUntil(dir tree.FileID, end eventlog.Moment) (eventlog.Moment, error) {
	var last tree.Inode
	err := past{v, end}.view(func(r eventlog.Reader) error {
		var ok bool
		if last, ok = tree.GetInode(r, dir); !ok {
			last, _ = tree.GetDead(r, dir)
		}
		return nil
	})
	if err != nil {
		return end, err
	}
	var steps []eventlog.Moment // when names were removed from dir, newest first
	err = v.log.Former(tree.InodeKey(dir), func(f eventlog.Fact) bool {
		if f.Until.Compare(end) > 0 {
			return true
		}
		was, is := tree.InodeOf(dir, f.Val)
		removes := f.Had && is && was.Entries > last.Entries && f.Until.Era == end.Era
		if removes {
			steps, last = append(steps, f.Until), was
		}
		return removes || f.Until == end
	})
	if err != nil {
		return end, err
	}
	start := end
	for _, step := range steps {
		if start.Time-step.Time > int64(atOnce) {
			if start, err = v.removalBegan(dir, start); err != nil || start.Time-step.Time > int64(atOnce) {
				return start, err
			}
		}
		start = step
	}
	if len(steps) == 0 {
		return end, nil
	}
	return v.removalBegan(dir, start)
}

// removalBegan is when the removal began of what was removed from a directory at m: of a directory in it, with that of what was below.
func (v *Volume) removalBegan(dir tree.FileID, m eventlog.Moment) (eventlog.Moment, error) {
	var was, is []tree.FileID
	list := func(at eventlog.Moment, into *[]tree.FileID) error {
		return past{v, at}.view(func(r eventlog.Reader) error {
			tree.ReadDir(r, dir, 0, func(_ uint64, _ []byte, d tree.Dirent) bool {
				if d.Kind == tree.Dir {
					*into = append(*into, d.ID)
				}
				return true
			})
			return nil
		})
	}
	if err := list(before(m), &was); err != nil {
		return m, err
	}
	if err := list(m, &is); err != nil {
		return m, err
	}
	began := m
	for _, id := range was {
		if slices.Contains(is, id) {
			continue
		}
		b, err := v.wholeUntil(id, m)
		if err != nil {
			return m, err
		}
		if b.Compare(began) < 0 {
			began = b
		}
	}
	return began, nil
}
