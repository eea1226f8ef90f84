package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

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
//   - every version that a close ended can be reached from a file, living or dead;
//   - inline bytes are there, those that a version has from another one too.
//
// It goes through records of several kinds side by side, in the order of the files that they are about, and looks up the rest. In memory it holds
// the ids of directories, those of some versions at a time, and what is about one file.
func Check(r eventlog.Reader) error {
	c := checker{r: r}
	for _, step := range []func(){c.forms, c.files, c.names, c.parents, c.marks, c.bodies, c.reach} {
		if c.err == nil {
			step()
		}
	}
	return c.err
}

type checker struct {
	r        eventlog.Reader
	err      error
	versions int // how many there are
}

func (c *checker) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("check tree: "+format+": %w", append(args, ErrInvariant)...)
	}
}

// each calls fn for the records of a kind until something is wrong. The slices are valid during the call only.
func (c *checker) each(kind byte, fn func(k, v []byte)) {
	c.r.Scan([]byte{kind}, nil, func(k, v []byte) bool {
		fn(k, v)
		return c.err == nil
	})
}

// forms looks at each record by itself.
func (c *checker) forms() {
	least := map[byte]int{
		keyInode: 17, keyDirent: 26, keyName: 34, keyXattr: 18, keyVersion: 17, keyBody: 17, keyParents: 17, keyKept: 17,
		keyPast: 33, keyDead: 17, keyConflict: 18, keyVolume: 17, keyGen: 2, keyStop: 1,
	}
	c.r.Scan(nil, nil, func(k, v []byte) bool {
		if len(k) == 0 || least[k[0]] == 0 || len(k) < least[k[0]] {
			c.fail("key %x is of no kind", k)
			return false
		}
		switch k[0] {
		case keyInode:
			c.inode(FileID(k[1:]), v)
		case keyDirent:
			c.dirent(k, v)
		case keyVersion:
			c.versions++
			ver, ok := parseVersion(VersionID(k[1:]), v)
			if !ok || !bytes.Equal(putVersionRecord(nil, &ver), v) {
				c.fail("version %x is malformed", k[1:])
			}
		}
		return c.err == nil
	})
}

func (c *checker) inode(id FileID, v []byte) {
	i, alias, ok := parseInode(id, v)
	switch {
	case !ok:
		c.fail("inode %v is malformed", id)
	case alias != (FileID{}):
		if c.canon(alias) == nil {
			c.fail("alias %v leads nowhere", id)
		}
	case !bytes.Equal(putInode(nil, &i), v):
		c.fail("inode %v is not canonical", id)
	}
}

// at reads the inode of an id that is no alias; nil: there is none.
func (c *checker) at(id FileID) *Inode {
	rec, ok := c.r.Get(inodeKey(id))
	if !ok && id == RootID {
		root := rootInode()
		return &root
	}
	if !ok {
		return nil
	}
	i, alias, ok := parseInode(id, rec)
	if !ok || alias != (FileID{}) {
		return nil
	}
	return &i
}

// maxAliases bounds how many aliases lead from one to the other.
const maxAliases = 1 << 16

// canon is the inode that an id leads to; nil: it leads nowhere.
func (c *checker) canon(id FileID) *Inode {
	for range maxAliases {
		rec, ok := c.r.Get(inodeKey(id))
		if !ok {
			break
		}
		i, alias, ok := parseInode(id, rec)
		if !ok {
			return nil
		}
		if alias == (FileID{}) {
			return &i
		}
		id = alias
	}
	return c.at(id)
}

// A dirent is a name and who claims it.
type dirent struct {
	dir  FileID
	name []byte
	claims
}

func parseDirent(k, v []byte) (dirent, bool) {
	cl, ok := parseClaims(v)
	return dirent{dir: FileID(k[1:17]), name: k[25:], claims: cl}, ok
}

func (c *checker) dirent(k, v []byte) {
	d, ok := parseDirent(k, v)
	if !ok || !ValidName(d.name) || binary.BigEndian.Uint64(k[17:25]) != cookieOf(d.name) {
		c.fail("dirent %q in %v is malformed", d.name, d.dir)
		return
	}
	if !distinct(d.ids) || d.kind.holds() && len(d.ids) > 1 {
		c.fail("dirent %q in %v: claims %v", d.name, d.dir, d.ids)
	}
}

// A column is the records of a kind whose keys begin with an id, in the order of the ids.
type column struct {
	c    *checker
	next func() (k, v []byte, ok bool)
	stop func()
	k, v []byte // the next record; k nil: there is none
}

func (c *checker) column(kind byte) *column {
	col := &column{c: c}
	col.next, col.stop = iter.Pull2(func(yield func(k, v []byte) bool) { c.r.Scan([]byte{kind}, nil, yield) })
	col.step()
	return col
}

func (col *column) step() {
	k, v, ok := col.next()
	if col.k, col.v = k, v; !ok {
		col.k = nil
	}
}

// take calls fn for the records of an id. Records of ids before it are nobody's.
func (col *column) take(id []byte, fn func(k, v []byte)) {
	for col.k != nil && col.c.err == nil {
		switch order := bytes.Compare(col.k[1:17], id); {
		case order > 0:
			return
		case order < 0:
			col.nobodys()
		default:
			fn(col.k, col.v)
			col.step()
		}
	}
}

// end looks whether any records are left.
func (col *column) end() {
	if col.k != nil {
		col.nobodys()
	}
}

func (col *column) nobodys() {
	switch id := FileID(col.k[1:17]); {
	case col.k[0] == keyBody:
		col.c.fail("bytes of version %v, which is not there", VersionID(id))
	case id == RootID:
		col.c.fail("root is missing and has entries")
	default:
		col.c.fail("records of %v, which has no inode", id)
	}
}
