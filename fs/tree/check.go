package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// ErrInvariant says that a state is not one that the reducer makes.
var ErrInvariant = errors.New("the tree's state contradicts itself")

// Check reads a whole state and reports the first thing in it that is not as it must be:
//   - every record is well formed, and its key names something that is there;
//   - every dirent's claims are living files of its kind that have this name, and all names are in dirents;
//   - link counts, entries, subdirectories, heads and attributes are counted right;
//   - every living directory has one parent, and its parents lead to the root;
//   - aliases lead to files;
//   - every version that a close ended can be reached from a file, living or dead.
func Check(r eventlog.Reader) error {
	c := checker{r: r, inodes: map[FileID]*Inode{}, aliases: map[FileID]FileID{}, seen: map[FileID]*tally{}}
	r.Scan(nil, nil, func(k, v []byte) bool {
		c.record(clone(k), clone(v))
		return c.err == nil
	})
	if _, ok := c.inodes[RootID]; !ok {
		root := rootInode()
		c.inodes[RootID] = &root
		if t := c.seen[RootID]; t != nil {
			c.fail("root is missing and has entries")
		}
	}
	for _, step := range []func(){c.files, c.parents, c.names, c.marks, c.versions} {
		if c.err == nil {
			step()
		}
	}
	return c.err
}

type checker struct {
	r       eventlog.Reader
	err     error
	inodes  map[FileID]*Inode
	aliases map[FileID]FileID
	seen    map[FileID]*tally
	dirents []dirent
	extra   []Step // 'n' records: ID in ids
	extraOf []FileID
	vers    []Version
	bodies  map[VersionID]int
	past    map[FileID][]VersionID
	rest    [][]byte // keys of marks
}

// A tally is what the records around an inode say of it.
type tally struct{ claims, extra, xattrs, entries, subdirs uint32 }

type dirent struct {
	dir  FileID
	name []byte
	claims
}

func (c *checker) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("check tree: "+format+": %w", append(args, ErrInvariant)...)
	}
}

func (c *checker) tally(id FileID) *tally {
	t := c.seen[id]
	if t == nil {
		t = &tally{}
		c.seen[id] = t
	}
	return t
}

func (c *checker) record(k, v []byte) {
	least := map[byte]int{
		keyInode: 17, keyDirent: 26, keyName: 34, keyXattr: 18, keyVersion: 17, keyBody: 17, keyParents: 17, keyKept: 17,
		keyPast: 33, keyDead: 17, keyConflict: 18, keyVolume: 17, keyGen: 2, keyStop: 1,
	}
	if len(k) == 0 || least[k[0]] == 0 || len(k) < least[k[0]] {
		c.fail("key %x is of no kind", k)
		return
	}
	switch k[0] {
	case keyInode:
		c.inode(FileID(k[1:]), v)
	case keyDirent:
		c.dirent(k, v)
	case keyName:
		id := FileID(k[1:17])
		c.extra = append(c.extra, Step{Dir: FileID(k[17:33]), Name: k[33:]})
		c.extraOf = append(c.extraOf, id)
		c.tally(id).extra++
	case keyXattr:
		c.tally(FileID(k[1:17])).xattrs++
	case keyVersion:
		ver, ok := parseVersion(VersionID(k[1:]), v)
		if !ok || !bytes.Equal(putVersionRecord(nil, &ver), v) {
			c.fail("version %x is malformed", k[1:])
		}
		c.vers = append(c.vers, ver)
	case keyBody:
		if c.bodies == nil {
			c.bodies = map[VersionID]int{}
		}
		c.bodies[VersionID(k[1:])] = len(v)
	case keyPast:
		if c.past == nil {
			c.past = map[FileID][]VersionID{}
		}
		id := FileID(k[1:17])
		c.past[id] = append(c.past[id], VersionID(k[17:]))
	case keyDead, keyConflict, keyVolume:
		c.rest = append(c.rest, k)
	}
}

func (c *checker) inode(id FileID, v []byte) {
	i, alias, ok := parseInode(id, v)
	switch {
	case !ok:
		c.fail("inode %v is malformed", id)
	case alias != (FileID{}):
		c.aliases[id] = alias
	case !bytes.Equal(putInode(nil, &i), v):
		c.fail("inode %v is not canonical", id)
	default:
		c.inodes[id] = &i
	}
}

func (c *checker) dirent(k, v []byte) {
	cl, ok := parseClaims(v)
	d := dirent{dir: FileID(k[1:17]), name: k[25:], claims: cl}
	if !ok || !ValidName(d.name) || binary.BigEndian.Uint64(k[17:25]) != cookieOf(d.name) {
		c.fail("dirent %q in %v is malformed", d.name, d.dir)
		return
	}
	if !distinct(cl.ids) || cl.kind.holds() && len(cl.ids) > 1 {
		c.fail("dirent %q in %v: claims %v", d.name, d.dir, cl.ids)
	}
	c.dirents = append(c.dirents, d)
	t := c.tally(d.dir)
	t.entries++
	if cl.kind.holds() {
		t.subdirs++
	}
	for _, id := range cl.ids {
		c.tally(id).claims++
	}
}

// files compares each inode with what is around it.
func (c *checker) files() {
	for id := range c.seen {
		if c.inodes[id] == nil {
			c.fail("records of %v, which has no inode", id)
		}
	}
	for id, i := range c.inodes {
		t := c.tally(id)
		links := t.claims
		if id == RootID {
			links++
		}
		switch {
		case i.Nlink != links:
			c.fail("file %v has %d names and counts %d", id, links, i.Nlink)
		case i.Nlink > 0 && t.extra != i.Nlink-1 || i.Nlink == 0 && t.extra != 0:
			c.fail("file %v has %d names and lists %d more", id, i.Nlink, t.extra)
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
		}
	}
	for id := range c.aliases {
		if c.inodes[c.canon(id)] == nil {
			c.fail("alias %v leads nowhere", id)
		}
	}
}

// parents follows each living directory to the root.
func (c *checker) parents() {
	safe := map[FileID]bool{RootID: true}
	for id, i := range c.inodes {
		if i.Nlink == 0 {
			continue
		}
		var way []FileID
		for !safe[id] {
			i = c.inodes[id]
			if i == nil || i.Nlink == 0 || contains(way, id) && i.Kind.holds() {
				c.fail("%v does not lead to the root", id)
				return
			}
			way = append(way, id)
			id = i.Parent
		}
		for _, w := range way {
			safe[w] = true
		}
	}
}

// names compares dirents with what their files say.
func (c *checker) names() {
	has := func(id, dir FileID, name []byte) bool {
		i := c.inodes[id]
		if i.Parent == dir && bytes.Equal(i.Name, name) {
			return true
		}
		_, ok := c.r.Get(nameKey(id, dir, name))
		return ok
	}
	for _, d := range c.dirents {
		for _, id := range d.ids {
			switch i := c.inodes[id]; {
			case i.Nlink == 0 || i.Kind != d.kind:
				c.fail("name %q in %v shows %v, a %v with %d names", d.name, d.dir, id, i.Kind, i.Nlink)
			case !has(id, d.dir, d.name):
				c.fail("name %q in %v is unknown to %v", d.name, d.dir, id)
			}
		}
	}
	for k, n := range c.extra {
		id := c.extraOf[k]
		if i := c.inodes[id]; i.Parent == n.Dir && bytes.Equal(i.Name, n.Name) {
			c.fail("file %v lists its own name again", id)
		}
		if !contains(Claims(c.r, n.Dir, n.Name), id) {
			c.fail("file %v does not bear %q in %v", id, n.Name, n.Dir)
		}
	}
}

// marks compares the records that only say that something is so.
func (c *checker) marks() {
	want := map[string]bool{}
	for id, i := range c.inodes {
		if i.Nlink == 0 {
			want[string(idKey(keyDead, id))] = true
		} else if len(i.Heads) > 1 {
			want[string(headsKey(id))] = true
		}
		if i.Kind == Graft && i.Nlink > 0 {
			want[string(volumeKey(i.Volume))] = true
		}
		if i.Past != (len(c.past[id]) > 0) {
			c.fail("file %v: former heads %v", id, c.past[id])
		}
	}
	for _, d := range c.dirents {
		if len(d.ids) > 1 {
			want[string(claimsKey(d.dir, d.name))] = true
		}
	}
	for _, k := range c.rest {
		if k[0] == keyVolume {
			v, _ := c.r.Get(k)
			if len(v) != 16 || c.inodes[c.canon(FileID(v))] == nil {
				c.fail("volume %x has no graft", k[1:])
			}
		} else if !want[string(k)] {
			c.fail("mark %x is wrong", k)
		}
		delete(want, string(k))
	}
	for k := range want {
		c.fail("mark %x is missing", k)
	}
}

func (c *checker) canon(id FileID) FileID {
	for range len(c.aliases) {
		to, ok := c.aliases[id]
		if !ok {
			break
		}
		id = to
	}
	return id
}

// versions compares the versions with their bytes, and finds each from some file.
func (c *checker) versions() {
	byID := make(map[VersionID]*Version, len(c.vers))
	for k := range c.vers {
		v := &c.vers[k]
		byID[v.ID] = v
		body, has := c.bodies[v.ID]
		if has != v.inline || has && int64(body) != v.Size {
			c.fail("version %v: %d bytes, inline %v, body of %d", v.ID, v.Size, v.inline, body)
		}
		delete(c.bodies, v.ID)
	}
	for id := range c.bodies {
		c.fail("bytes of version %v, which is not there", id)
	}
	reached := map[VersionID]bool{}
	var todo []VersionID
	for id, i := range c.inodes {
		for _, h := range i.Heads {
			if v := byID[h.ID]; v == nil || v.Size != h.Size {
				c.fail("file %v: head %v is not there or of another size", id, h.ID)
			}
			todo = append(todo, h.ID)
		}
		todo = append(todo, c.past[id]...)
	}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !reached[id] {
			reached[id] = true
			todo = append(todo, Parents(c.r, id)...)
		}
	}
	for id, v := range byID {
		if !v.Quiet && !reached[id] {
			c.fail("version %v is out of reach", id)
		}
	}
}
