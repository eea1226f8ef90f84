package fs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
)

// A Change is one thing that happened to a file, or to a name in a directory.
type Change struct {
	Time   time.Time // an edit's by its author's clock, others' by this device's, when they were shown
	What   string    // "create", "edit", "rename", "link", "remove", "restore", "chmod", "chown", "xattr", "touch"
	Path   string    // from the mount's top; after a rename
	From   string    // of a rename
	Kind   tree.Kind
	Device identity.DeviceID // zero: not known
	By     string            // the device's name, as it gave it; "" if it did not
	Bytes  int64             // of a file after the change

	// Of an edit: the version it made, and the one that it replaced, zero if there was none.
	Version, Before tree.VersionID

	order eventlog.Moment
}

// A Past is what Find found: a path, and which file it leads to or led to.
type Past struct {
	Volume identity.VolumeID
	spot   spot
	trail  []tree.Dirent // what each name led to, the root first
	gone   bool
}

// IsDir reports whether the path is or was a directory.
func (p *Past) IsDir() bool { return p.trail[len(p.trail)-1].Kind == tree.Dir }

// FindPast finds what a path leads to, or led to before it was removed.
func (f *FS) FindPast(path []string) (*Past, error) {
	s, err := f.spotAt(path, time.Time{})
	if err != nil {
		return nil, err
	}
	p := &Past{spot: s, trail: []tree.Dirent{{ID: tree.RootID, Kind: tree.Dir}}}
	for i := 0; i < len(p.spot.names); i++ {
		name := p.spot.names[i]
		until, d, ok, err := p.spot.vol.lastDirent(p.trail[i].ID, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%s: there is nothing, and nothing is known to have been: %w", p.spot.path(), ErrNotExist)
		}
		p.gone = p.gone || until != eventlog.Moment{}
		if d.Kind != tree.Graft {
			p.trail = append(p.trail, d)
			continue
		}
		dead, ok := tree.Inode{}, false
		p.spot.vol.view(false, func(r eventlog.Reader) error {
			dead, ok = tree.GetDead(r, d.ID)
			return nil
		})
		if !ok {
			return nil, fmt.Errorf("%s: %w", p.spot.path(), ErrNotExist)
		}
		v, err := f.openVolume(s.home, dead.Volume, name)
		if err != nil {
			return nil, err
		}
		p.spot = spot{home: s.home, vol: v, app: name, names: p.spot.names[i+1:]}
		i = -1
	}
	p.Volume = p.spot.vol.id
	return p, nil
}

// History lists what happened to a path, newest first: to the file that it leads to, by whatever name, and to those that had the name before it; and
// of a directory, which names came and went.
func (f *FS) History(p *Past) ([]Change, error) {
	h := &historian{v: p.spot.vol, label: p.spot.label()}
	h.device, h.known = h.v.onlyDevice()
	last := len(p.trail) - 1
	var err error
	if last == 0 {
		err = h.file(tree.RootID, eventlog.Moment{}, eventlog.Moment{})
	} else {
		err = h.name(p.trail[last-1].ID, p.spot.names[last-1])
	}
	if err == nil && p.IsDir() {
		err = h.names(p.trail[last].ID)
	}
	slices.SortStableFunc(h.list, func(a, b Change) int { return b.order.Compare(a.order) })
	return h.list, err
}

// onlyDevice is the device that has made all events of the volume, if one has.
func (v *Volume) onlyDevice() (dev identity.DeviceID, ok bool) {
	dev = v.author.Device
	for _, f := range v.log.Feeds() {
		if f.Device != dev {
			return identity.DeviceID{}, false
		}
	}
	return dev, true
}

// A historian collects what happened.
type historian struct {
	v      *Volume
	label  string
	device identity.DeviceID // who made every event
	known  bool
	list   []Change
}

func (h *historian) add(at eventlog.Moment, c Change) {
	c.order = at
	if c.Time.IsZero() {
		c.Time = at.When()
	}
	if c.Device == (identity.DeviceID{}) && h.known {
		c.Device = h.device
	}
	h.list = append(h.list, c)
}

// pathOf is the path of a name in a directory as the directory is called now, or was called last.
func (h *historian) pathOf(dir tree.FileID, name []byte) string {
	names := []string{string(name)}
	h.v.view(false, func(r eventlog.Reader) error {
		for id := dir; id != tree.RootID && len(names) < tree.MaxPath; {
			ino, ok := tree.GetInode(r, id)
			if !ok {
				ino, ok = tree.GetDead(r, id)
			}
			if !ok || ino.ID == tree.RootID {
				break
			}
			names, id = append(names, string(ino.Name)), ino.Parent
		}
		return nil
	})
	slices.Reverse(names)
	return h.label + "/" + strings.Join(names, "/")
}

// name tells of the files that had a name: each from when it got it to when it lost it, and the present one from its beginning.
func (h *historian) name(dir tree.FileID, name string) error {
	type tenant struct {
		d          tree.Dirent
		since, end eventlog.Moment
	}
	var tenants []tenant
	var end eventlog.Moment
	h.v.view(false, func(r eventlog.Reader) error {
		if d, ok := tree.Lookup(r, dir, []byte(name)); ok {
			tenants = append(tenants, tenant{d: d})
		}
		return nil
	})
	err := h.v.log.Former(tree.DirentKey(dir, []byte(name)), func(until eventlog.Moment, val []byte, ok bool) bool {
		if n := len(tenants); n > 0 && tenants[n-1].since == end {
			tenants[n-1].since = until
		}
		end = until
		if d, is := tree.DirentOf(val); ok && is {
			tenants = append(tenants, tenant{d: d, since: until, end: until})
		}
		return true
	})
	if err != nil {
		return err
	}
	seen := map[tree.FileID]bool{}
	for _, t := range tenants {
		if t.d.Kind == tree.Graft || seen[t.d.ID] {
			continue
		}
		seen[t.d.ID] = true
		if err := h.file(t.d.ID, t.since, t.end); err != nil {
			return err
		}
	}
	return nil
}

// file tells of one file, up to end if that is not zero. since is when it got the name by which it was found, if that is known.
func (h *historian) file(id tree.FileID, since, end eventlog.Moment) error {
	var after tree.Inode
	ok := false
	h.v.view(false, func(r eventlog.Reader) error {
		if after, ok = tree.GetInode(r, id); !ok {
			after, ok = tree.GetDead(r, id)
		}
		return nil
	})
	if !ok {
		return nil
	}
	found, alias := since, after.ID != id
	var oldest eventlog.Moment
	err := h.v.log.Former(tree.InodeKey(id), func(until eventlog.Moment, val []byte, ok bool) bool {
		before, is := tree.InodeOf(id, val)
		if !ok || !is {
			return id != tree.RootID // the root was not there before the volume began
		}
		if !alias && (end == eventlog.Moment{} || until.Compare(end) <= 0) {
			h.compare(until, before, after)
		}
		after, alias, oldest = before, false, until
		return true
	})
	if err != nil || id == tree.RootID {
		return err
	}
	// Unless it got the name later, by a rename, it was made when it got it.
	if found == (eventlog.Moment{}) || oldest != (eventlog.Moment{}) && found.Compare(oldest) >= 0 {
		found = eventlog.Moment{Era: 1, Time: after.Btime}
	}
	c := Change{
		Time: time.Unix(0, after.Btime), What: "create", Path: h.pathOf(after.Parent, after.Name), Kind: after.Kind, By: string(after.By), Bytes: after.Size(),
	}
	if len(after.Heads) > 0 {
		c.Version = after.Heads[0].ID
	}
	h.add(found, c)
	return h.older(found, after)
}

// older tells of versions from before there was history.
func (h *historian) older(at eventlog.Moment, ino tree.Inode) error {
	seen := map[tree.VersionID]bool{}
	for _, c := range h.list {
		seen[c.Version] = true
	}
	return h.v.view(false, func(r eventlog.Reader) error {
		todo := ino.HeadIDs()
		for len(todo) > 0 {
			id := todo[0]
			todo = todo[1:]
			parents := tree.Parents(r, id)
			for _, p := range parents {
				ver, ok := tree.GetVersion(r, p)
				if !ok || seen[p] {
					continue
				}
				seen[p] = true
				todo = append(todo, p)
				h.add(eventlog.Moment{Era: at.Era, Time: min(at.Time, ver.Time)}, Change{
					Time: time.Unix(0, ver.Time), What: "edit", Path: h.pathOf(ino.Parent, ino.Name), Kind: tree.File, Device: ver.Device, By: ver.By,
					Bytes: ver.Size, Version: p, Before: first(tree.Parents(r, p)),
				})
			}
		}
		return nil
	})
}

func first(ids []tree.VersionID) (id tree.VersionID) {
	if len(ids) > 0 {
		id = ids[0]
	}
	return id
}

// compare tells what one change did to a file.
func (h *historian) compare(at eventlog.Moment, was, is tree.Inode) {
	c := Change{Path: h.pathOf(is.Parent, is.Name), Kind: is.Kind, Bytes: is.Size()}
	say := func(what string) {
		c.What = what
		h.add(at, c)
	}
	moved := was.Parent != is.Parent || string(was.Name) != string(is.Name)
	switch {
	case was.Nlink > 0 && is.Nlink == 0:
		say("remove")
		return
	case was.Nlink == 0 && is.Nlink > 0:
		say("restore")
	case is.Nlink > was.Nlink && is.Kind != tree.Dir:
		say("link")
	case is.Nlink < was.Nlink && is.Kind != tree.Dir:
		say("unlink")
	case moved:
		c.From = h.pathOf(was.Parent, was.Name)
		say("rename")
		c.From = ""
	}
	edited := false
	for _, head := range is.Heads {
		if slices.Contains(was.HeadIDs(), head.ID) {
			continue
		}
		h.v.view(false, func(r eventlog.Reader) error {
			ver, ok := tree.GetVersion(r, head.ID)
			if !ok {
				return nil // a quiet one that is kept no longer
			}
			edited = true
			e := c
			e.What, e.Time, e.Device, e.By, e.Bytes = "edit", time.Unix(0, ver.Time), ver.Device, ver.By, ver.Size
			e.Version, e.Before = head.ID, first(was.HeadIDs())
			h.add(at, e)
			return nil
		})
	}
	switch {
	case was.Mode != is.Mode:
		say("chmod")
	case was.UID != is.UID || was.GID != is.GID:
		say("chown")
	case was.Xattrs != is.Xattrs:
		say("xattr")
	case was.Mtime != is.Mtime && is.Kind != tree.Dir && !edited && len(was.Heads) == len(is.Heads):
		if len(is.Heads) == 0 || was.Heads[0].ID == is.Heads[0].ID {
			say("touch")
		}
	}
}

// names tells which names came into a directory and went.
func (h *historian) names(dir tree.FileID) error {
	prefix := tree.NamesPrefix(dir)
	type state struct {
		until eventlog.Moment
		d     tree.Dirent
		had   bool
	}
	former := map[string][]state{} // oldest first
	now := map[string]tree.Dirent{}
	err := h.v.log.FormerBelow(prefix, func(key []byte, until eventlog.Moment, val []byte, ok bool) bool {
		if len(key) > 25 {
			d, is := tree.DirentOf(val)
			former[string(key[25:])] = append(former[string(key[25:])], state{until, d, ok && is})
		}
		return true
	})
	if e := h.v.view(false, func(r eventlog.Reader) error {
		now = namesIn(r, dir)
		return nil
	}); err != nil || e != nil {
		return errors.Join(err, e)
	}
	for name, states := range former {
		d, has := now[name]
		for i := len(states) - 1; i >= 0; i-- {
			was := states[i]
			c := Change{Path: h.pathOf(dir, []byte(name)), Kind: d.Kind}
			switch {
			case was.had && !has, was.had && was.d.ID != d.ID:
				c.What, c.Kind = "gone", was.d.Kind
				c.Bytes, _ = h.madeBy(was.d.ID)
			case !was.had && has:
				c.What = "came"
				c.Bytes, c.By = h.madeBy(d.ID)
			default:
				d, has = was.d, was.had
				continue
			}
			h.add(was.until, c)
			d, has = was.d, was.had
		}
	}
	return nil
}

// madeBy is a file's size now, or when it was removed, and who made it.
func (h *historian) madeBy(id tree.FileID) (size int64, by string) {
	h.v.view(false, func(r eventlog.Reader) error {
		ino, ok := tree.GetInode(r, id)
		if !ok {
			ino, _ = tree.GetDead(r, id)
		}
		size, by = ino.Size(), string(ino.By)
		return nil
	})
	return size, by
}

// ReadVersion reads a version's bytes; ErrTooBig if there are more than limit.
func (f *FS) ReadVersion(vol identity.VolumeID, id tree.VersionID, limit int64) ([]byte, error) {
	v, ok := f.volume(vol)
	if !ok {
		return nil, fmt.Errorf("volume %v: %w", vol, ErrNotExist)
	}
	if gone, err := v.hasExpired(id); err != nil {
		return nil, err
	} else if gone {
		return nil, fmt.Errorf("version %x %w", id[:4], errExpired)
	}
	c, err := v.content(false, id)
	if err != nil || c == nil {
		return nil, err
	}
	if c.Size() > limit {
		return nil, fmt.Errorf("version %x of %d bytes: %w", id[:4], c.Size(), ErrTooBig)
	}
	b := make([]byte, c.Size())
	return b, readFull(c, b, 0)
}
