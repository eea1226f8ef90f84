package fs

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// Numbers of nodes come from the ids of files, so that a file handle (name_to_handle_at(2)), which holds the number, leads to its
// file when the kernel and the table have forgotten it, and after a restart too.

// minNode is the least number that a file's node gets.
const minNode NodeID = 16

// nodeIDOf is the number of a file's node, unless another node has it.
func nodeIDOf(v *Volume, file tree.FileID) NodeID {
	if file == tree.RootID {
		file = tree.FileID(v.id)
	}
	return max(NodeID(binary.BigEndian.Uint64(file[:])>>1), minNode)
}

// newIDLocked is a free number for a new node. The caller holds t.mu.
func (t *table) newIDLocked(v *Volume, file tree.FileID) NodeID {
	id := nodeIDOf(v, file)
	for t.byID[id] != nil {
		id++ // after an atomic save the old node of a file may still have it
	}
	return id
}

// self answers a lookup of ".": the kernel knows a node's number from a handle.
func (f *FS) self(id NodeID) (Entry, error) {
	if n, ok := f.table.again(id); ok {
		if n.vol == nil {
			return Entry{Node: n.id, Attr: f.topAttr(n)}, nil
		}
		a, err := n.attr()
		if err != nil {
			f.table.forget(id, 1)
		}
		return Entry{Node: n.id, Attr: a}, err
	}
	for _, v := range f.allVolumes() {
		p, ok, err := v.withNode(id)
		if err != nil {
			return Entry{}, err
		}
		if !ok {
			continue
		}
		e, err := f.enter(p)
		if err == nil && e.Node != id {
			f.Forget(e.Node, 1)
			break
		}
		return e, err
	}
	return Entry{}, fmt.Errorf("inode %d: %w", id, ErrNotExist)
}

// again counts a lookup of a node that is known.
func (t *table) again(id NodeID) (*Node, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.byID[id]
	if ok {
		n.lookups++
	}
	return n, ok
}

// withNode finds the living file of v whose node has a number.
func (v *Volume) withNode(id NodeID) (p place, ok bool, err error) {
	if nodeIDOf(v, tree.RootID) == id {
		shown, err := v.isShown()
		return place{vol: v, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir}}, shown, err
	}
	var prefix [8]byte
	binary.BigEndian.PutUint64(prefix[:], uint64(id)<<1)
	for _, local := range []bool{false, true} {
		err = v.view(local, func(r eventlog.Reader) error {
			tree.FilesFrom(r, prefix[:7], func(ino tree.Inode) bool {
				if nodeIDOf(v, ino.ID) != id || ino.Kind == tree.Graft || local && isStone(ino) {
					return true
				}
				p, ok = place{vol: v, local: local, dirent: tree.Dirent{ID: ino.ID, Kind: ino.Kind}}, true
				return false
			})
			return nil
		})
		if ok || err != nil {
			return p, ok, err
		}
	}
	return p, false, nil
}

// isShown reports whether a volume has a place in the mount: one that was removed has none.
func (v *Volume) isShown() (shown bool, err error) {
	if v.isHome {
		return true, nil
	}
	err = v.home.vol.view(false, func(r eventlog.Reader) error {
		shown = slices.ContainsFunc(graftsOf(r), func(g graft) bool { return g.vol == v.id })
		return nil
	})
	return shown, err
}

// above answers a lookup of "..": the kernel looks for the way to a directory that it has by a handle.
func (f *FS) above(id NodeID) (Entry, error) {
	n, err := f.nodeOf(id)
	if err != nil {
		return Entry{}, err
	}
	if n.vol == nil {
		return f.self(Root)
	}
	n.mu.Lock()
	ino, err := n.inodeLocked()
	gone, file, local := n.orphan != nil, n.file, n.local
	n.mu.Unlock()
	switch {
	case err != nil:
		return Entry{}, err
	case gone:
		return Entry{}, fmt.Errorf("inode %d: %w", id, ErrNotExist)
	case file != tree.RootID:
		p, top := n.vol.parentOf(ino, local)
		if top {
			return f.self(Root)
		}
		return f.enter(p)
	case n.vol.isHome:
		return f.self(Root)
	default:
		return f.enter(place{vol: n.vol.home.vol, dirent: tree.Dirent{ID: tree.RootID, Kind: tree.Dir}})
	}
}

func (v *Volume) inodeOf(local bool, file tree.FileID) (ino tree.Inode, ok bool) {
	v.view(local, func(r eventlog.Reader) error {
		ino, ok = tree.GetInode(r, file)
		return nil
	})
	return ino, ok
}
