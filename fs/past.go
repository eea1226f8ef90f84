package fs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A past is a volume as it was at a moment. Of what is device-local there is no history.
type past struct {
	vol *Volume
	at  eventlog.Moment
}

// pastOf is v as it was at a time. Before its history began it is empty if it began itself then: nothing is missing.
func (v *Volume) pastOf(t time.Time) (past, error) {
	m, err := v.log.MomentAt(t)
	return past{v, m}, err
}

// view reads the state of that moment. What r shows stays the same for the time of fn, which holds no lock.
func (p past) view(fn func(r eventlog.Reader) error) (err error) {
	if e := p.vol.log.At(p.at, func(r eventlog.Reader) { err = fn(r) }); e != nil {
		return e
	}
	return err
}

// before is the state that a change at m found.
func before(m eventlog.Moment) eventlog.Moment {
	m.Time--
	return m
}

// inode reads a living file, which a name of that moment led to, with the head that it shows: see shownAt. ErrNotExist if there is none.
func (p past) inode(r eventlog.Reader, id tree.FileID) (tree.Inode, error) {
	ino, ok := tree.GetInode(r, id)
	if !ok {
		return ino, ErrNotExist
	}
	_, err := p.vol.shownAt(p.at, &ino)
	return ino, err
}

// walkTo follows names from the root and returns what each led to, the root first. It ends early where there is no such name.
func walkTo(r eventlog.Reader, names []string) []tree.Dirent {
	way := []tree.Dirent{{ID: tree.RootID, Kind: tree.Dir}}
	for _, name := range names {
		dir := way[len(way)-1]
		if dir.Kind != tree.Dir {
			break
		}
		d, ok := tree.Lookup(r, dir.ID, []byte(name))
		if !ok {
			break
		}
		way = append(way, d)
	}
	return way
}

// whereabouts returns the names that led to a file at the moment that r shows; ok is false if none did. A file has an inode of every moment, also
// of those before it was made: only its names tell.
func whereabouts(r eventlog.Reader, id tree.FileID) (names []string, ok bool) {
	for id != tree.RootID {
		ino, ok := tree.GetInode(r, id)
		if !ok || len(names) > tree.MaxPath {
			return nil, false
		}
		if d, ok := tree.Lookup(r, ino.Parent, ino.Name); !ok || d.ID != ino.ID {
			return nil, false
		}
		names, id = append(names, string(ino.Name)), ino.Parent
	}
	slices.Reverse(names)
	return names, true
}

// A spot is a path in the mount: a place in one volume, whatever is or was there.
type spot struct {
	home  *home
	vol   *Volume
	app   string   // the app volume's name in its home; empty: the home volume itself
	names []string // below the volume's root
}

// path is the spot's path from the mount's top.
func (s spot) path() string { return strings.Join(append([]string{s.label()}, s.names...), "/") }

// label is the path of its volume's root.
func (s spot) label() string {
	l := s.vol.fs.nameOf(s.home)
	if s.app != "" {
		l += "/" + s.app
	}
	return l
}

// spotAt finds the volume of a path as it was at a time; the zero time stands for now.
func (f *FS) spotAt(path []string, t time.Time) (spot, error) {
	if len(path) == 0 {
		return spot{}, fmt.Errorf("the mount's top has no history: name an identity's directory, or what is in it: %w", ErrInvalid)
	}
	h := f.homeNamed(path[0])
	if h == nil {
		return spot{}, fmt.Errorf("there is no identity %q: %w", path[0], ErrNotExist)
	}
	s := spot{home: h, vol: h.vol, names: path[1:]}
	if len(s.names) == 0 {
		return s, nil
	}
	var graft tree.Inode
	look := func(r eventlog.Reader) error {
		if d, ok := tree.Lookup(r, tree.RootID, []byte(s.names[0])); ok && d.Kind == tree.Graft {
			graft, _ = tree.GetInode(r, d.ID)
		}
		return nil
	}
	var err error
	if t.IsZero() {
		err = h.vol.view(false, look)
	} else {
		var p past
		if p, err = h.vol.pastOf(t); err == nil {
			err = p.view(look)
		}
	}
	if err != nil && !errors.Is(err, eventlog.ErrNoHistory) {
		return s, err
	}
	if graft.Kind == tree.Graft {
		if s.vol, err = f.openVolume(h, graft.Volume, s.names[0]); err != nil {
			return s, err
		}
		s.app, s.names = s.names[0], s.names[1:]
	}
	return s, nil
}

// SnapshotTime is the time of a snapshot of the volume that a path is in; ErrNotExist if none has the name.
func (f *FS) SnapshotTime(path []string, name string) (time.Time, error) {
	missing := fmt.Errorf("snapshot %q: %w", name, ErrNotExist)
	known := f.past.snapshots.Load()
	if known == nil || len(path) == 0 {
		return time.Time{}, missing
	}
	s, err := f.spotAt(path, time.Time{})
	if err != nil {
		return time.Time{}, err
	}
	m, ok, err := (*known).Moment(s.vol.id, name)
	if err == nil && !ok {
		err = missing
	}
	return m.When(), err
}
