package snapshot

import (
	"errors"
	"fmt"
	"sync"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// ErrNotExist says that a snapshot has no such name.
var ErrNotExist = errors.New("no such name in the snapshot")

// A Snapshot reads a tree from its blocks. Its methods may be called from any goroutine. What it returns is not to be changed.
type Snapshot struct {
	st    ipld.Store
	info  Info
	root  Inode
	cache *ipld.Cache // of contents

	mu    sync.Mutex
	nodes map[ipld.CID]*node // GUARDED_BY(mu): some that were read
}

// An Inode is what a snapshot knows of a file. Inodes with one ID are one file.
type Inode struct {
	ID           tree.FileID
	Kind         tree.Kind
	Mode         uint32
	UID, GID     uint32
	Mtime, Btime int64
	Rdev         uint32
	Target       []byte
	Volume       identity.VolumeID // of a graft
	By           string
	Dir          Dir // of a directory

	attrs   []tree.Xattr
	attrsAt ipld.Content
	heads   []Head
	headsAt ipld.Link
}

// Size is the length of the content that is shown.
func (i *Inode) Size() int64 {
	if len(i.heads) == 0 {
		return 0
	}
	return i.heads[0].Size
}

// A Dir is a directory's entries, and what they come to.
type Dir struct {
	Entries uint64 // in it, hidden claims too
	Size    uint64 // of the entries, encoded
	Files   uint64 // names below it that are shown, at all depths
	Bytes   uint64 // of the contents that they show
	Node    ipld.Link
}

func (d Dir) child() child { return child{sum: sum{d.Entries, d.Size, d.Files, d.Bytes}, link: d.Node} }

// A Head is one of a file's contents that nobody has replaced. Of Inline and Content one has its bytes, or neither if it is empty.
type Head struct {
	ID      tree.VersionID
	Size    int64
	Time    int64
	By      string // the name of the device that made it
	Inline  []byte
	Content ipld.Content
}

// An Entry is a name in a directory. The one with rank 0 is shown; others claim the same name.
type Entry struct {
	Name  []byte
	Rank  int
	Inode Inode

	place
}

func (e *Entry) files() uint64 {
	if e.Rank != 0 {
		return 0
	}
	return 1 + e.Inode.Dir.Files
}

func (e *Entry) bytes() uint64 {
	switch {
	case e.Rank != 0:
		return 0
	case e.Inode.Kind == tree.File:
		return uint64(max(e.Inode.Size(), 0))
	}
	return e.Inode.Dir.Bytes
}

// Open reads a snapshot's root. Errors: ErrVersion; ipld.ErrNotFound and ipld.ErrDamaged, as from all methods.
func Open(st ipld.Store, root ipld.Link) (*Snapshot, error) {
	s := &Snapshot{st: st, cache: ipld.NewCache(4 << 20), nodes: map[ipld.CID]*node{}}
	if err := s.open(root); err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return s, nil
}

func (s *Snapshot) open(root ipld.Link) error {
	var newer []dagcbor.Raw
	if _, err := open(s.st, root, &newer); err != nil {
		return err
	}
	var version uint64
	if len(newer) > 0 && dagcbor.Decode(newer[0], &version) == nil && version > formatVersion {
		return fmt.Errorf("version %d: %w", version, ErrVersion)
	}
	var rec rootBlock
	children, err := open(s.st, root, &rec)
	if err != nil {
		return err
	}
	r := &refs{children: children}
	s.root = r.inode(&rec.Root)
	if rec.Version != formatVersion || s.root.ID != tree.RootID || s.root.Kind != tree.Dir {
		r.fail("not the root of a snapshot")
	}
	s.info = Info{
		Volume: rec.Volume, Reducer: rec.Reducer, Index: eventlog.Index(rec.Index), OrderHash: rec.OrderHash, Tentative: rec.Tentative,
	}
	if err := r.end(); err != nil {
		return fmt.Errorf("open block %v: %w", root.CID, err)
	}
	return nil
}

// Info says of which state the snapshot is.
func (s *Snapshot) Info() Info { return s.info }

// Root is the root directory.
func (s *Snapshot) Root() Inode { return s.root }

// keptNodes is how many nodes are remembered.
const keptNodes = 128

// load reads a node, or remembers it.
func (s *Snapshot) load(c child, level int) (*node, error) {
	s.mu.Lock()
	n := s.nodes[c.link.CID]
	s.mu.Unlock()
	if n != nil {
		return n, nil
	}
	n, err := loadChild(s.st, c, level)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.nodes) >= keptNodes {
		clear(s.nodes)
	}
	s.nodes[c.link.CID] = n
	return n, nil
}

// ReadDir calls fn for a directory's entries in the order of their places, until fn fails.
func (s *Snapshot) ReadDir(dir Inode, fn func(Entry) error) error {
	if dir.Dir.Node.IsZero() {
		return nil
	}
	return s.readDir(dir.Dir.child(), 0, fn)
}

func (s *Snapshot) readDir(c child, level int, fn func(Entry) error) error {
	n, err := s.load(c, level)
	if err != nil {
		return fmt.Errorf("read directory: %w", err)
	}
	for _, e := range n.entries {
		if err := fn(e); err != nil {
			return err
		}
	}
	for _, c := range n.branch {
		if err := s.readDir(c, level+1, fn); err != nil {
			return err
		}
	}
	return nil
}

// Lookup finds the entry that a name shows. The error is ErrNotExist if there is none.
func (s *Snapshot) Lookup(dir Inode, name []byte) (Entry, error) {
	e, ok, err := s.lookup(dir.Dir, placeOf(name, 0))
	if err == nil && !ok {
		err = ErrNotExist
	}
	if err != nil {
		return Entry{}, fmt.Errorf("look up %q: %w", name, err)
	}
	return e, nil
}

func (s *Snapshot) lookup(d Dir, p place) (Entry, bool, error) {
	c := d.child()
	for level := 0; !c.link.IsZero(); level++ {
		n, err := s.load(c, level)
		if err != nil {
			return Entry{}, false, err
		}
		for _, e := range n.entries {
			if e.compare(p) == 0 {
				return e, true, nil
			}
		}
		c = child{}
		for _, b := range n.branch {
			if b.digit == p.digit(level) {
				c = b
			}
		}
	}
	return Entry{}, false, nil
}

// Find leads from the root to a file by the names that are shown.
func (s *Snapshot) Find(path [][]byte) (Inode, error) {
	at := s.root
	for _, name := range path {
		e, err := s.Lookup(at, name)
		if err != nil {
			return Inode{}, err
		}
		at = e.Inode
	}
	return at, nil
}

// ErrSkipDir is what a function for Walk returns to leave out what is below a directory.
var ErrSkipDir = errors.New("skip this directory")

// Walk calls fn for every entry below a directory, those of directories before what is in them, until fn fails. path are the names from
// dir, e's too; it is valid during the call only.
func (s *Snapshot) Walk(dir Inode, fn func(path [][]byte, e Entry) error) error {
	return s.walk(dir, nil, fn)
}

func (s *Snapshot) walk(dir Inode, path [][]byte, fn func(path [][]byte, e Entry) error) error {
	return s.ReadDir(dir, func(e Entry) error {
		p := append(path, e.Name)
		switch err := fn(p, e); {
		case errors.Is(err, ErrSkipDir):
			return nil
		case err != nil || e.Inode.Kind != tree.Dir:
			return err
		}
		return s.walk(e.Inode, p, fn)
	})
}
