package fs

import (
	"cmp"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
)

// In every directory of a volume, and at the mount's top, .at leads to the past: .at/TIME is the directory as it was then, with all that was below
// it. It is found by who looks for it, and not listed; what is below can't be changed. A file that has the name in the log, from a time when it
// was none of ours, is found in its place.

// atName is what leads to the past.
const atName = ".at"

// topAtIno is the st_ino of .at at the mount's top.
const topAtIno = 2

// Snapshots says which moments of volumes have names of their own, which no time is written like.
type Snapshots interface {
	// Moment returns the moment of a volume's history that a name stands for; ok is false if it stands for none.
	Moment(vol identity.VolumeID, name string) (m eventlog.Moment, ok bool, err error)
	// Names lists the names of a volume.
	Names(vol identity.VolumeID) ([]string, error)
}

// SetSnapshots says who knows the snapshots. It is called once, before the mount serves.
func (f *FS) SetSnapshots(s Snapshots) { f.past.snapshots.Store(&s) }

// SnapshotsChanged is called when a name of a volume has come to stand for a moment, for another one, or for none.
func (f *FS) SnapshotsChanged(vol identity.VolumeID, name string) {
	f.past.changed.Store(max(f.now().UnixNano(), f.past.changed.Load()+1))
	i := f.invalidate.Load()
	if i == nil {
		return
	}
	for _, id := range f.past.atsOf(vol) {
		(*i).InvalidateEntry(id, name)
		(*i).InvalidateNode(id)
	}
}

// atsOf lists the .at of a volume that the kernel knows.
func (t *pastTable) atsOf(vol identity.VolumeID) (ids []NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, n := range t.nodes {
		if n.key.view == nil && n.key.vol != nil && n.key.vol.id == vol {
			ids = append(ids, id)
		}
	}
	return ids
}

// lookupAt finds .at in dir, where nothing else has the name. What the device alone keeps has no past.
func (f *FS) lookupAt(dir *Node) (Entry, error) {
	if dir.vol == nil {
		return f.past.enterAt(nil, tree.FileID{}), nil
	}
	dir.mu.Lock()
	ino, err := dir.inodeLocked()
	none := dir.orphan != nil || dir.local || ino.Kind != tree.Dir
	dir.mu.Unlock()
	if err != nil {
		return Entry{}, err
	}
	if none {
		return Entry{}, ErrNotExist
	}
	return f.past.enterAt(dir.vol, ino.ID), nil
}

// isAt reports whether a name in dir is that of .at, if nothing else has it.
func (dir *Node) isAt(name []byte) bool {
	if string(name) != atName {
		return false
	}
	_, local := dir.at()
	return !local
}

// enterAt counts a reference of the .at of a directory.
func (t *pastTable) enterAt(vol *Volume, dir tree.FileID) Entry {
	key := pastKey{vol: vol, file: dir}
	if e, ok := t.refer(key); ok {
		return e
	}
	ino := uint64(topAtIno)
	if vol != nil {
		ino = pastIno(vol, append(dir[:len(dir):len(dir)], atName...))
	}
	return t.enter(&pastNode{key: key, attr: t.fs.ownDirAttr(ino, 2, 0)})
}

// An atDir is a .at.
type atDir struct {
	t *pastTable
	n *pastNode
}

// lookup finds what the directory was at the time, or in the snapshot, that name stands for. It may soon stand for another one, or for one
// at all.
func (d atDir) lookup(name string) (Entry, error) {
	d.t.naming.Lock()
	defer d.t.naming.Unlock()
	key, err := d.key(name)
	if err != nil {
		return Entry{}, err
	}
	v, err := d.t.open(key)
	if err != nil {
		return Entry{Fleeting: true}, err
	}
	e, err := v.enterRoot()
	e.Fleeting = v.relative || err != nil
	return e, err
}

// key is what a name in d stands for, of what the directory has become part of since it was looked up, if it has.
func (d atDir) key(name string) (viewKey, error) {
	key := viewKey{d.n.key.vol, d.n.key.file, name}
	if key.vol == nil {
		return key, nil
	}
	err := key.vol.view(false, func(r eventlog.Reader) error {
		key.file = tree.Canon(r, key.file)
		return nil
	})
	return key, err
}

// list lists the snapshots.
func (d atDir) list(cookie uint64) ([]DirEntry, error) {
	s, vol := d.t.snapshots.Load(), d.n.key.vol
	if s == nil || vol == nil {
		return nil, nil
	}
	names, err := (*s).Names(vol.id)
	if err != nil {
		return nil, err
	}
	var list []DirEntry
	for _, name := range names {
		c := tree.Cookie([]byte(name))
		if c <= cookie {
			continue
		}
		key, err := d.key(name)
		if err != nil {
			return nil, err
		}
		v, err := d.t.openSnapshot(key)
		if err != nil || !v.hasRoot() {
			continue // it has gone, or the directory was not there then
		}
		list = append(list, DirEntry{
			Cookie: c, Name: []byte(name), Mode: ModeDir, view: v,
			place: place{vol: vol, dirent: tree.Dirent{ID: key.file, Kind: tree.Dir}},
		})
	}
	slices.SortFunc(list, func(a, b DirEntry) int { return cmp.Compare(a.Cookie, b.Cookie) })
	return list, nil
}

// above finds the directory whose .at it is.
func (d atDir) above() (Entry, error) {
	vol := d.n.key.vol
	if vol == nil {
		return d.t.fs.self(Root)
	}
	return d.t.fs.enter(place{vol: vol, dirent: tree.Dirent{ID: d.n.key.file, Kind: tree.Dir}})
}
