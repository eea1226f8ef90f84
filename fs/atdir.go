package fs

import (
	"errors"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A pastDir is a directory of the past.
type pastDir interface {
	// lookup finds a name, and counts a reference of the kernel.
	lookup(name string) (Entry, error)
	// list is ReadDir.
	list(cookie uint64) ([]DirEntry, error)
	// above finds the directory that it is in, and counts a reference of the kernel.
	above() (Entry, error)
}

// dir returns the directory that the kernel means.
func (t *pastTable) dir(id NodeID) (pastDir, error) {
	n, err := t.get(id)
	switch {
	case err != nil:
		return nil, err
	case n.key.view == nil:
		return atDir{t, n}, nil
	case n.key.vol == nil:
		return topThen{n.key.view}, nil
	case n.attr.Mode&ModeType != ModeDir:
		return nil, ErrNotDir
	default:
		return dirThen{n.key}, nil
	}
}

// dirThen is a directory as it was.
type dirThen struct{ pastKey }

func (d dirThen) lookup(name string) (Entry, error) {
	var p place
	err := d.view.read(d.vol, func(r eventlog.Reader) error {
		e, ok := tree.Lookup(r, d.file, []byte(name))
		if !ok {
			return ErrNotExist
		}
		p = place{vol: d.vol, dirent: e}
		return nil
	})
	if err == nil {
		p, err = d.view.throughGraft(p)
	}
	if err != nil {
		return Entry{}, err
	}
	return d.view.enter(p)
}

func (d dirThen) list(cookie uint64) (list []DirEntry, err error) {
	for len(list) == 0 { // grafts of volumes that have no such past are left out
		err := d.view.read(d.vol, func(r eventlog.Reader) error {
			list = d.vol.entriesIn(r, false, d.file, cookie, nil)
			return nil
		})
		if err != nil || len(list) == 0 {
			return nil, err
		}
		cookie = list[len(list)-1].Cookie
		if list, err = d.view.followed(list); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// followed is a list with grafts followed, without those that lead nowhere.
func (v *view) followed(list []DirEntry) ([]DirEntry, error) {
	kept := list[:0]
	for _, e := range list {
		p, err := v.throughGraft(e.place)
		if errors.Is(err, ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		e.place, e.view = p, v
		kept = append(kept, e)
	}
	return kept, nil
}

func (d dirThen) above() (Entry, error) {
	at := d.view.key
	switch {
	case d.vol == at.vol && d.file == at.file: // it is what the view is of
		return d.view.table.enterAt(at.vol, at.file), nil
	case d.file != tree.RootID:
		var p place
		err := d.view.read(d.vol, func(r eventlog.Reader) error {
			ino, ok := tree.GetInode(r, d.file)
			if !ok {
				return ErrNotExist
			}
			p = place{vol: d.vol, dirent: tree.Dirent{ID: ino.Parent, Kind: tree.Dir}}
			return nil
		})
		if err != nil {
			return Entry{}, err
		}
		return d.view.enter(p)
	case d.vol.isHome: // seen from the mount's top
		return d.view.enterTop(), nil
	default:
		return d.view.enter(place{vol: d.vol.home.vol, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir}})
	}
}

// throughGraft steps from a graft to the root of its volume at the same time.
func (v *view) throughGraft(p place) (place, error) {
	to, err := p.throughGraftIn(func(fn func(r eventlog.Reader) error) error { return v.read(p.vol, fn) })
	if err == nil && to.vol != p.vol && !v.has(to.vol, tree.RootID) {
		err = ErrNotExist
	}
	return to, err
}

// enterRoot finds what the view is of.
func (v *view) enterRoot() (Entry, error) {
	switch {
	case v.key.vol == nil:
		return v.enterTop(), nil
	case !v.hasRoot():
		return Entry{}, ErrNotExist
	default:
		return v.enter(place{vol: v.key.vol, dirent: tree.Dirent{ID: v.key.file, Kind: tree.Dir}})
	}
}

func (v *view) hasRoot() bool { return v.has(v.key.vol, v.key.file) }

// has reports whether a directory was there. History knows files by their names: there was one if its name led to it.
func (v *view) has(vol *Volume, dir tree.FileID) (has bool) {
	err := v.read(vol, func(r eventlog.Reader) error {
		ino, ok := tree.GetInode(r, dir)
		if ok && dir != tree.RootID {
			d, named := tree.Lookup(r, ino.Parent, ino.Name)
			ok = named && d.ID == dir
		}
		has = ok
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotExist) {
		vol.fs.log.Error("read the past of a directory", "volume", vol.id, "err", err)
	}
	return has && err == nil
}

// topThen is the mount's top as it was: the identities that had a home volume then, by the names that they have now.
type topThen struct{ *view }

func (d topThen) lookup(name string) (Entry, error) {
	h := d.table.fs.homeNamed(name)
	if h == nil || !d.has(h.vol, tree.RootID) {
		return Entry{}, ErrNotExist
	}
	return d.enter(place{vol: h.vol, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir}})
}

func (d topThen) list(cookie uint64) (list []DirEntry, _ error) {
	for i, h := range d.table.fs.homes() {
		e := DirEntry{
			Cookie: uint64(i + 3), Name: []byte(d.table.fs.nameOf(h)), Mode: ModeDir, view: d.view,
			place: place{vol: h.vol, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir}},
		}
		if e.Cookie > cookie && d.has(h.vol, tree.RootID) {
			list = append(list, e)
		}
	}
	return list, nil
}

func (d topThen) above() (Entry, error) { return d.table.enterAt(nil, tree.FileID{}), nil }
