package fs

import (
	"slices"
	"strings"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
)

// A historian collects what happened.
type historian struct {
	v      *Volume
	label  string
	device identity.DeviceID // who made every event, if one has
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

// nameDevices gives devices the names by which they have signed something else in the list.
func (h *historian) nameDevices() {
	names := map[identity.DeviceID]string{}
	for _, c := range h.list {
		if c.By != "" && c.Device != (identity.DeviceID{}) {
			names[c.Device] = c.By
		}
	}
	for i := range h.list {
		if c := &h.list[i]; c.By == "" {
			c.By = names[c.Device]
		}
	}
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
	err := h.v.log.Former(tree.InodeKey(id), func(f eventlog.Fact) bool {
		before, is := tree.InodeOf(id, f.Val)
		if !f.Had || !is {
			return id != tree.RootID // the root was not there before the volume began
		}
		if !alias && (end == eventlog.Moment{} || f.Until.Compare(end) <= 0) {
			h.compare(f, before, after)
		}
		after, alias, oldest = before, false, f.Until
		return true
	})
	if err != nil || id == tree.RootID {
		return err
	}
	// Unless it got the name later, by a rename, it was made when it got it.
	if found == (eventlog.Moment{}) || oldest != (eventlog.Moment{}) && found.Compare(oldest) >= 0 {
		found = eventlog.Moment{Era: 1, Time: after.Btime}
	}
	by, err := h.maker(after)
	if err != nil {
		return err
	}
	c := Change{
		Time: time.Unix(0, after.Btime), What: "create", Path: h.pathOf(after.Parent, after.Name), Kind: after.Kind, Bytes: after.Size(),
		Device: by, By: string(after.By),
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

// maker is who gave a file the name that it had first: ino says so.
func (h *historian) maker(ino tree.Inode) (by identity.DeviceID, err error) {
	var is tree.Dirent // what has the name behind the fact
	h.v.view(false, func(r eventlog.Reader) error {
		is, _ = tree.Lookup(r, ino.Parent, ino.Name)
		return nil
	})
	err = h.v.log.Former(tree.DirentKey(ino.Parent, ino.Name), func(f eventlog.Fact) bool {
		if is.ID == ino.ID {
			by = f.By
		}
		is = tree.Dirent{}
		if f.Had {
			is, _ = tree.DirentOf(f.Val)
		}
		return true
	})
	return by, err
}

// compare tells what the change did to a file that ended what f says.
func (h *historian) compare(f eventlog.Fact, was, is tree.Inode) {
	c := Change{Path: h.pathOf(is.Parent, is.Name), Kind: is.Kind, Bytes: is.Size(), Device: f.By}
	say := func(what string) {
		c.What = what
		h.add(f.Until, c)
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
			h.add(f.Until, e)
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
