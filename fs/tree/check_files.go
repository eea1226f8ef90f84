package tree

import "bytes"

// A tally is what the records around an inode say of it.
type tally struct{ extra, xattrs, entries, subdirs, past uint32 }

// files compares each inode with what is around it.
func (c *checker) files() {
	dirents, names, xattrs, past := c.column(keyDirent), c.column(keyName), c.column(keyXattr), c.column(keyPast)
	cols := []*column{dirents, names, xattrs, past}
	c.each(keyInode, func(k, v []byte) {
		i, alias, _ := parseInode(FileID(k[1:]), v)
		if alias != (FileID{}) {
			return
		}
		var t tally
		dirents.take(i.ID[:], func(k, v []byte) {
			t.entries++
			if d, _ := parseDirent(k, v); d.kind.holds() {
				t.subdirs++
			}
		})
		names.take(i.ID[:], func(k, _ []byte) {
			t.extra++
			c.extraName(&i, FileID(k[17:33]), k[33:])
		})
		xattrs.take(i.ID[:], func(_, _ []byte) { t.xattrs++ })
		past.take(i.ID[:], func(_, _ []byte) { t.past++ })
		c.file(&i, t)
		c.hasMarks(&i)
	})
	for _, col := range cols {
		if c.err == nil {
			col.end()
		}
		col.stop()
	}
}

// file compares an inode with its tally. That all its names are its own, and there are no others, names says.
func (c *checker) file(i *Inode, t tally) {
	switch id := i.ID; {
	case i.Nlink > 0 && t.extra != i.Nlink-1 || i.Nlink == 0 && t.extra != 0:
		c.fail("file %v counts %d names and lists %d besides one", id, i.Nlink, t.extra)
	case i.Nlink > 0 && id != RootID && !contains(Claims(c.r, i.Parent, i.Name), id):
		c.fail("file %v does not bear %q in %v", id, i.Name, i.Parent)
	case i.Kind.holds() && i.Nlink > 1:
		c.fail("directory %v has %d names", id, i.Nlink)
	case t.entries > 0 && (i.Kind != Dir || i.Nlink == 0):
		c.fail("%v has entries and is no living directory", id)
	case i.Entries != t.entries || i.Subdirs != t.subdirs:
		c.fail("directory %v: %d entries, %d directories; counts %d, %d", id, t.entries, t.subdirs, i.Entries, i.Subdirs)
	case i.Xattrs != t.xattrs:
		c.fail("file %v has %d attributes and counts %d", id, t.xattrs, i.Xattrs)
	case i.Kind != File && len(i.Heads) > 0:
		c.fail("%v has heads and is no file", id)
	case !distinct(i.HeadIDs()):
		c.fail("file %v has a head twice", id)
	case i.Past != (t.past > 0):
		c.fail("file %v has %d former heads", id, t.past)
	}
}

func (c *checker) extraName(i *Inode, dir FileID, name []byte) {
	if i.Parent == dir && bytes.Equal(i.Name, name) {
		c.fail("file %v lists its own name again", i.ID)
	}
	if !contains(Claims(c.r, dir, name), i.ID) {
		c.fail("file %v does not bear %q in %v", i.ID, name, dir)
	}
}

// names looks whether each claim of a name is of a file that has it.
func (c *checker) names() {
	c.each(keyDirent, func(k, v []byte) {
		d, _ := parseDirent(k, v)
		for _, id := range d.ids {
			switch i := c.at(id); {
			case i == nil:
				c.fail("name %q in %v shows %v, which has no inode", d.name, d.dir, id)
			case i.Nlink == 0 || i.Kind != d.kind:
				c.fail("name %q in %v shows %v, a %v with %d names", d.name, d.dir, id, i.Kind, i.Nlink)
			case !c.bears(i, d):
				c.fail("name %q in %v is unknown to %v", d.name, d.dir, id)
			}
		}
		if len(d.ids) > 1 {
			c.wants(claimsKey(d.dir, d.name))
		}
	})
}

// bears reports whether an inode or its further names have a name.
func (c *checker) bears(i *Inode, d dirent) bool {
	if i.ID != RootID && i.Parent == d.dir && bytes.Equal(i.Name, d.name) {
		return true
	}
	_, ok := c.r.Get(nameKey(i.ID, d.dir, d.name))
	return ok
}

// parents follows each living directory to the root. What is no directory has its names in living ones.
func (c *checker) parents() {
	safe := map[FileID]struct{}{RootID: {}}
	c.each(keyInode, func(k, v []byte) {
		i, alias, _ := parseInode(FileID(k[1:]), v)
		if alias != (FileID{}) || i.Nlink == 0 || !i.Kind.holds() {
			return
		}
		var way []FileID
		for id := i.ID; ; {
			if _, ok := safe[id]; ok {
				break
			}
			at := c.at(id)
			if at == nil || at.Nlink == 0 || contains(way, id) {
				c.fail("%v does not lead to the root", id)
				return
			}
			way = append(way, id)
			id = at.Parent
		}
		for _, w := range way {
			safe[w] = struct{}{}
		}
	})
}

// hasMarks looks for the records that only say that something is so of an inode.
func (c *checker) hasMarks(i *Inode) {
	switch {
	case i.Nlink == 0:
		c.wants(idKey(keyDead, i.ID))
	case len(i.Heads) > 1:
		c.wants(headsKey(i.ID))
	}
	if i.Kind == Graft && i.Nlink > 0 {
		c.wants(volumeKey(i.Volume))
	}
}

func (c *checker) wants(key []byte) {
	if _, ok := c.r.Get(key); !ok {
		c.fail("mark %x is missing", key)
	}
}

// marks looks whether what such records say is so.
func (c *checker) marks() {
	c.each(keyDead, func(k, _ []byte) {
		if i := c.at(FileID(k[1:17])); len(k) != 17 || i == nil || i.Nlink > 0 {
			c.fail("mark %x is wrong", k)
		}
	})
	c.each(keyConflict, func(k, _ []byte) {
		if !c.conflict(k) {
			c.fail("mark %x is wrong", k)
		}
	})
	c.each(keyVolume, func(k, v []byte) {
		if len(v) != 16 || c.canon(FileID(v)) == nil {
			c.fail("volume %x has no graft", k[1:])
		}
	})
}

// conflict reports whether there is a conflict that a mark tells of.
func (c *checker) conflict(k []byte) bool {
	if len(k) == 18 && k[1] == 'h' {
		i := c.at(FileID(k[2:]))
		return i != nil && i.Nlink > 0 && len(i.Heads) > 1
	}
	if len(k) <= 26 {
		return false
	}
	dir, name := FileID(k[2:18]), k[26:]
	return bytes.Equal(k, claimsKey(dir, name)) && len(Claims(c.r, dir, name)) > 1
}
