package fs

import (
	"errors"
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// An Entry is what a lookup found. The kernel holds one more reference of the node.
type Entry struct {
	Node NodeID
	Attr Attr
	// Fleeting says that the name may lead to something else within seconds, or to something at all if it did not.
	Fleeting bool
}

// nodeOf returns the node that the kernel means.
func (f *FS) nodeOf(id NodeID) (*Node, error) {
	n, ok := f.table.get(id)
	switch {
	case ok:
		return n, nil
	case id.IsPast(): // which who only reads does not ask for here
		return nil, ErrReadOnly
	default:
		return nil, fmt.Errorf("inode %d: %w", id, ErrNotExist)
	}
}

// dirOf returns a node of a volume that is about to be used as a directory.
func (f *FS) dirOf(id NodeID) (*Node, error) {
	n, err := f.nodeOf(id)
	if err != nil {
		return nil, err
	}
	if n.vol == nil {
		return nil, ErrPermission
	}
	return n, nil
}

// Lookup finds name in a directory and counts a reference of the kernel. "." and ".." are for file handles: parent may be a node that
// has been forgotten, and no directory.
func (f *FS) Lookup(parent NodeID, name string) (Entry, error) {
	if parent.IsPast() {
		return f.past.lookup(parent, name)
	}
	switch name {
	case ".":
		return f.self(parent)
	case "..":
		return f.above(parent)
	}
	dir, err := f.nodeOf(parent)
	if err != nil {
		return Entry{}, err
	}
	if len(name) > tree.MaxName {
		return Entry{}, ErrNameTooLong
	}
	if dir.vol == nil {
		return f.lookupTop(name)
	}
	for {
		before := f.crossings.Load()
		var e Entry
		where, err := dir.find([]byte(name))
		if err == nil {
			e, err = f.enter(where)
		}
		if !errors.Is(err, ErrNotExist) || !f.crossedSince(before) {
			if err == ErrNotExist && name == atName {
				return f.lookupAt(dir)
			}
			return e, err
		}
	}
}

func (f *FS) lookupTop(name string) (Entry, error) {
	h := f.homeNamed(name)
	if h == nil {
		if p, ok := f.trashNamed(name); ok {
			return f.enter(p)
		}
		if name == atName {
			return f.past.enterAt(nil, tree.FileID{}), nil
		}
		return Entry{}, ErrNotExist
	}
	return f.enter(place{vol: h.vol, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir}})
}

// A place is where a name leads: a file of a volume's shared or device-local tree.
type place struct {
	vol    *Volume
	local  bool
	dirent tree.Dirent
}

// find resolves a name in dir. A graft leads to the root of its volume.
func (dir *Node) find(name []byte) (place, error) {
	p, err := dir.look(name)
	if err == ErrNotExist {
		dir.missed()
	}
	if err != nil {
		return p, err
	}
	return p.throughGraft()
}

// knowAfter is how many names are looked for in vain in a directory before all that it has are read: what asks for
// many names that are not there (a compiler's search path, tar, git) asks for more of them.
const knowAfter = 16

func (dir *Node) missed() {
	if dir.misses.Add(1)%knowAfter != 0 {
		return
	}
	file, local := dir.at()
	if local {
		return
	}
	if err := dir.vol.log.Know(tree.NamesPrefix(file)); err != nil {
		dir.vol.fs.log.Warn("read the names of a directory", "err", err)
	}
}

// look resolves a name in dir, in the trash also among what other volumes have there. It does not step through a graft.
func (dir *Node) look(name []byte) (place, error) {
	p, err := dir.vol.resolve(dir, name)
	if err == ErrNotExist {
		return dir.stranger(name)
	}
	return p, err
}

// resolve looks a name up in the shared tree, and in the device-local one if the rules say so.
func (v *Volume) resolve(node *Node, name []byte) (place, error) {
	dir, local := node.at()
	p := place{vol: v}
	found := false
	look := func(local bool) error {
		return v.view(local, func(r eventlog.Reader) error {
			if d, ok := tree.Lookup(r, dir, name); ok {
				found = true
				p.local, p.dirent = local, d
			}
			return nil
		})
	}
	if err := look(local); err != nil {
		return p, err
	}
	if !found && !local && v.localIn(dir, name) {
		if err := look(true); err != nil {
			return p, err
		}
	}
	if !found {
		return p, ErrNotExist
	}
	return p, nil
}

// throughGraft steps from a graft in a home volume to the root of the volume it names.
func (p place) throughGraft() (place, error) {
	return p.throughGraftIn(func(fn func(r eventlog.Reader) error) error { return p.vol.view(false, fn) })
}

// throughGraftIn is throughGraft in a state of the home volume that read shows.
func (p place) throughGraftIn(read func(fn func(r eventlog.Reader) error) error) (place, error) {
	if p.dirent.Kind != tree.Graft {
		return p, nil
	}
	var ino tree.Inode
	err := read(func(r eventlog.Reader) error {
		var ok bool
		if ino, ok = tree.GetInode(r, p.dirent.ID); !ok {
			return ErrNotExist
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	v, err := p.vol.fs.openVolume(p.vol.home, ino.Volume, "")
	if err != nil {
		p.vol.fs.log.Error("open volume", "err", err)
		return p, err
	}
	return place{
		vol: v, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir},
	}, nil
}

// enter gives the kernel a reference of what a name leads to.
func (f *FS) enter(p place) (Entry, error) {
	n := p.vol.node(p.dirent.ID, p.local, 1)
	a, err := n.attr()
	if err != nil {
		f.table.forget(n.id, 1)
		return Entry{}, err
	}
	return Entry{Node: n.id, Attr: a}, nil
}

// Forget drops references that lookups gave the kernel.
func (f *FS) Forget(id NodeID, lookups uint64) {
	if id.IsPast() {
		f.past.forget(id, lookups)
		return
	}
	f.table.forget(id, lookups)
}

// GetAttr returns what stat shows.
func (f *FS) GetAttr(id NodeID) (Attr, error) {
	if id.IsPast() {
		return f.past.getAttr(id)
	}
	n, err := f.nodeOf(id)
	if err != nil {
		return Attr{}, err
	}
	if n.vol == nil {
		return f.topAttr(n), nil
	}
	return n.attr()
}

func (f *FS) topAttr(n *Node) Attr {
	trashes, _ := f.trashes() // the number of links is all that depends on it
	f.mu.Lock()
	count := len(f.identities) + len(trashes)
	f.mu.Unlock()
	n.mu.Lock()
	t := n.ctime
	n.mu.Unlock()
	return f.ownDirAttr(n.ino, 2+count, t)
}

// ownDirAttr is what stat shows of a directory that is in no volume.
func (f *FS) ownDirAttr(ino uint64, links int, t int64) Attr {
	return Attr{
		Ino: ino, Mode: ModeDir | rootMode, Nlink: uint32(links), UID: f.uid, GID: f.gid, Size: 4096, Data: 4096,
		Atime: t, Mtime: t, Ctime: t, Btime: t,
	}
}

func (n *Node) attr() (Attr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ino, err := n.inodeLocked()
	if err != nil {
		return Attr{}, err
	}
	return n.attrLocked(ino), nil
}

// inodeLocked reads n's inode record; an orphan has its own.
func (n *Node) inodeLocked() (tree.Inode, error) {
	if n.orphan != nil {
		return n.orphan.ino, nil
	}
	var ino tree.Inode
	err := n.vol.view(n.local, func(r eventlog.Reader) error {
		var ok bool
		if ino, ok = tree.GetInode(r, n.file); !ok {
			return ErrNotExist
		}
		return nil
	})
	return ino, err
}

// Readlink returns a symlink's target.
func (f *FS) Readlink(id NodeID) ([]byte, error) {
	if id.IsPast() {
		return f.past.readlink(id)
	}
	n, err := f.nodeOf(id)
	if err != nil || n.vol == nil {
		return nil, ErrInvalid
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ino, err := n.inodeLocked()
	if err != nil {
		return nil, err
	}
	if ino.Kind != tree.Symlink {
		return nil, ErrInvalid
	}
	return ino.Target, nil
}
