package fs

import (
	"cmp"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A DirEntry is one name of a directory. Cookie is where to go on after it: it stays true for as long as
// the name is there, whatever else changes.
type DirEntry struct {
	Cookie uint64
	Name   []byte
	Mode   uint32 // type bits
	place  place
	view   *view // what it is of; nil: the present
}

// readAhead is how many entries are read at once.
const readAhead = 256

// ReadDir returns up to readAhead entries behind cookie (0: from the start), in the order of their cookies. Names
// with one cookie come together. none: the directory has ended.
func (f *FS) ReadDir(id NodeID, cookie uint64) ([]DirEntry, error) {
	if id.IsPast() {
		return f.past.readDir(id, cookie)
	}
	for {
		before := f.crossings.Load()
		list, err := f.readDir(id, cookie)
		if !f.crossedSince(before) {
			return list, err
		}
	}
}

func (f *FS) readDir(id NodeID, cookie uint64) ([]DirEntry, error) {
	n, err := f.nodeOf(id)
	if err != nil {
		return nil, err
	}
	if n.vol == nil {
		return f.readTop(cookie)
	}
	n.mu.Lock()
	gone := n.orphan != nil
	n.mu.Unlock()
	if gone {
		return nil, nil
	}
	file, local := n.at()
	list, err := n.vol.entries(file, local, cookie, func([]byte) bool { return true })
	if err != nil {
		return nil, err
	}
	if !local {
		more, err := n.vol.entries(file, true, cookie, mayBeLocal)
		if err != nil {
			return nil, err
		}
		list = merge(list, more)
	} else if more, err := n.strangeEntries(cookie); err != nil {
		return nil, err
	} else {
		list = merge(list, more)
	}
	for i := range list {
		e := &list[i]
		if e.place, err = e.place.throughGraft(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// merge joins two lists in the order of cookies. Behind a list that was cut nothing of the other may come.
func merge(a, b []DirEntry) []DirEntry {
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...)
	}
	end := ^uint64(0)
	for _, l := range [][]DirEntry{a, b} {
		if len(l) >= readAhead {
			end = min(end, l[len(l)-1].Cookie)
		}
	}
	list := append(slices.Clip(a), b...)
	slices.SortStableFunc(list, func(x, y DirEntry) int { return cmp.Compare(x.Cookie, y.Cookie) })
	return slices.DeleteFunc(list, func(e DirEntry) bool { return e.Cookie > end })
}

// entries reads one of the two trees.
func (v *Volume) entries(dir tree.FileID, local bool, cookie uint64, want func(name []byte) bool) (list []DirEntry, err error) {
	err = v.view(local, func(r eventlog.Reader) error {
		list = v.entriesIn(r, local, dir, cookie, want)
		return nil
	})
	return list, err
}

func (v *Volume) entriesIn(
	r eventlog.Reader, local bool, dir tree.FileID, cookie uint64, want func(name []byte) bool,
) (list []DirEntry) {
	tree.ReadDir(r, dir, cookie, func(c uint64, name []byte, d tree.Dirent) bool {
		if len(list) >= readAhead && c != list[len(list)-1].Cookie {
			return false
		}
		if want == nil || want(name) {
			list = append(list, DirEntry{
				Cookie: c, Name: slices.Clone(name), Mode: ModeOf(d.Kind),
				place: place{vol: v, local: local, dirent: d},
			})
		}
		return true
	})
	return list
}

// inoOf is a file's st_ino, without making a node for it.
func (v *Volume) inoOf(file tree.FileID, local bool) uint64 {
	if n, ok := v.fs.table.peek(v, file); ok {
		return n.ino
	}
	if m, _ := v.meta(file); m.ino != 0 {
		return m.ino
	}
	return deriveIno(v.inoKey, v.id, file)
}

// InoOf is the st_ino of what an entry leads to. Who enters it learns it with the rest.
func (f *FS) InoOf(e DirEntry) uint64 {
	if e.view != nil {
		return e.view.inoOf(e.place.vol, e.place.dirent.ID)
	}
	return e.place.vol.inoOf(e.place.dirent.ID, e.place.local)
}

// Enter gives the kernel a reference of an entry that ReadDir returned, for READDIRPLUS. ok is false if it
// has gone meanwhile.
func (f *FS) Enter(e DirEntry) (Entry, bool) {
	enter := f.enter
	if e.view != nil {
		enter = e.view.enter
	}
	entry, err := enter(e.place)
	return entry, err == nil
}

func (f *FS) readTop(cookie uint64) ([]DirEntry, error) {
	var list []DirEntry
	for i, h := range f.homes() {
		c := uint64(i + 3) // 1 and 2 are for "." and ".."
		if c > cookie {
			list = append(list, DirEntry{
				Cookie: c, Name: []byte(h.name), Mode: ModeDir,
				place: place{vol: h.vol, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir}},
			})
		}
	}
	more, err := f.trashes()
	for _, e := range more {
		if e.Cookie > cookie {
			list = append(list, e)
		}
	}
	return list, err
}

// DotInos returns the inode numbers of "." and "..".
func (f *FS) DotInos(id NodeID) (self, parent uint64, err error) {
	if id.IsPast() {
		return f.past.dotInos(id)
	}
	n, err := f.nodeOf(id)
	if err != nil {
		return 0, 0, err
	}
	if n.vol == nil {
		return n.ino, n.ino, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ino, err := n.inodeLocked()
	switch {
	case err != nil:
		return 0, 0, err
	case n.file != tree.RootID:
		p, top := n.vol.parentOf(ino, n.local)
		if top {
			return n.ino, uint64(Root), nil
		}
		return n.ino, p.vol.inoOf(ino.Parent, p.local), nil
	case n.vol.isHome:
		return n.ino, uint64(Root), nil
	default:
		return n.ino, n.vol.home.ino, nil
	}
}
