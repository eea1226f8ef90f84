package fs

import (
	"cmp"
	"slices"
	"sync"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
)

// VolumeInfo says what a volume is called.
type VolumeInfo struct {
	ID       identity.VolumeID
	Identity string // its name at the mount's top
	Name     string // in the identity's directory; empty for the home volume
}

// Usage is what a volume holds.
type Usage struct {
	Files int64 // names of what is not a directory
	Bytes int64 // their sizes
}

// usage is what was counted last.
type usage struct {
	mu sync.Mutex // held while files are counted
	at eventlog.Moment
	is Usage
}

// Volumes lists the volumes that are shown, each identity's home volume first.
func (f *FS) Volumes() ([]VolumeInfo, error) {
	var list []VolumeInfo
	for _, h := range f.homes() {
		list = append(list, VolumeInfo{ID: h.id.Home, Identity: f.nameOf(h)})
		var grafts []graft
		if err := h.vol.view(false, func(r eventlog.Reader) error {
			grafts = graftsOf(r)
			return nil
		}); err != nil {
			return nil, err
		}
		slices.SortFunc(grafts, func(a, b graft) int { return cmp.Compare(a.name, b.name) })
		for _, g := range grafts {
			list = append(list, VolumeInfo{ID: g.vol, Identity: f.nameOf(h), Name: g.name})
		}
	}
	return list, nil
}

// Usage counts what is in a volume. It goes over all of it, some ten microseconds a file, if anything has changed since it was asked last.
func (f *FS) Usage(id identity.VolumeID) (Usage, error) {
	v, ok := f.volume(id)
	if !ok {
		return Usage{}, nil // nobody has looked into it
	}
	v.usage.mu.Lock()
	defer v.usage.mu.Unlock()
	if at := v.log.Now(); at != v.usage.at {
		is, err := v.count()
		if err != nil {
			return Usage{}, err
		}
		v.usage.at, v.usage.is = at, is // what has changed since at was counted, or makes the next call count again
	}
	return v.usage.is, nil
}

// FormerVolumes lists the app volumes that are shown no more, by the names that they had last.
func (f *FS) FormerVolumes() (list []VolumeInfo, err error) {
	for _, h := range f.homes() {
		ids, err := h.vol.remembered()
		if err != nil {
			return nil, err
		}
		err = h.vol.view(false, func(r eventlog.Reader) error {
			for _, id := range ids {
				if g, ok := tree.GraftOf(r, id); ok && g.Nlink == 0 {
					list = append(list, VolumeInfo{ID: id, Identity: f.nameOf(h), Name: string(g.Name)})
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (f *FS) nameOf(h *home) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return h.name
}

func (f *FS) volume(id identity.VolumeID) (*Volume, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.volumes[id]
	return v, ok
}

// count walks the tree. It reads a moment of it, and keeps nobody from writing meanwhile.
func (v *Volume) count() (is Usage, err error) {
	count := func(r eventlog.Reader) {
		tree.Walk(r, tree.RootID, func(_ [][]byte, d tree.Dirent) bool {
			if d.Kind == tree.Dir || d.Kind == tree.Graft {
				return true
			}
			is.Files++
			if d.Kind == tree.File {
				if ino, ok := tree.GetInode(r, d.ID); ok {
					is.Bytes += ino.Size()
				}
			}
			return true
		})
	}
	err = v.log.Snapshot(count)
	return is, err
}

// Where finds what a path below the mount's top belongs to: the volume and the names below its root.
func (f *FS) Where(path []string) (vol identity.VolumeID, ident, name string, below []string, ok bool) {
	if len(path) == 0 {
		return vol, "", "", nil, true
	}
	h := f.homeNamed(path[0])
	if h == nil {
		return vol, "", "", nil, false
	}
	vol, ident, below = h.id.Home, path[0], path[1:]
	if len(below) == 0 {
		return vol, ident, "", below, true
	}
	h.vol.view(false, func(r eventlog.Reader) error {
		for _, g := range graftsOf(r) {
			if g.name == below[0] {
				vol, name, below = g.vol, g.name, below[1:]
				break
			}
		}
		return nil
	})
	return vol, ident, name, below, true
}

// PathOf names a living file in a volume, as it is called now; or a dead one by its last name.
func (f *FS) PathOf(vol identity.VolumeID, file tree.FileID) (string, bool) {
	v, ok := f.volume(vol)
	if !ok {
		return "", false
	}
	path, found := "", false
	v.view(false, func(r eventlog.Reader) error {
		if p, ok := tree.PathOf(r, file); ok {
			path, found = pathString(p), true
		} else if d, ok := tree.GetDead(r, file); ok {
			p, _ := tree.PathOf(r, d.Parent)
			path, found = pathString(append(p, tree.Step{Name: d.Name})), true
		}
		return nil
	})
	return path, found
}
