package snapshot

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// note finds the names whose entries may have changed, from keys of the state: of a changed inode all its names, and of each directory in
// which something changed the name of that directory.
func (b *builder) note(changed [][]byte) {
	tree.Changed(changed, func(id tree.FileID) {
		if ino, ok := tree.GetInode(b.r, id); !ok || ino.ID != id {
			return // it is gone, and so are its names: their keys have changed
		}
		for _, s := range tree.Names(b.r, id) {
			b.noteName(s.Dir, s.Name)
		}
	}, b.noteName)
}

func (b *builder) noteName(dir tree.FileID, name []byte) {
	for {
		names := b.dirty[dir]
		if names[string(name)] {
			return
		}
		if names == nil {
			names = map[string]bool{}
			b.dirty[dir] = names
		}
		names[string(name)] = true
		if dir == tree.RootID {
			return
		}
		ino, ok := tree.GetInode(b.r, dir)
		if !ok || ino.ID != dir {
			return
		}
		dir, name = ino.Parent, ino.Name
	}
}

// past is the snapshot before, and the state of which it is.
type past struct {
	s     *Snapshot
	r     eventlog.Reader
	known map[tree.FileID]*Dir // nil: it was none
}

// directory returns the search tree that a directory had; false if it was none.
func (p *past) directory(id tree.FileID) (Dir, bool, error) {
	if p == nil {
		return Dir{}, false, nil
	}
	if id == tree.RootID {
		return p.s.root.Dir, true, nil
	}
	if d, ok := p.known[id]; ok {
		if d == nil {
			return Dir{}, false, nil
		}
		return *d, true, nil
	}
	d, ok, err := p.find(id)
	if err != nil {
		return Dir{}, false, fmt.Errorf("the snapshot before: %w", err)
	}
	p.known[id] = nil
	if ok {
		p.known[id] = &d
	}
	return d, ok, nil
}

// find goes to the entry of a directory in that of its parent.
func (p *past) find(id tree.FileID) (Dir, bool, error) {
	ino, ok := tree.GetInode(p.r, id)
	if !ok || ino.ID != id || ino.Kind != tree.Dir {
		return Dir{}, false, nil
	}
	parent, ok, err := p.directory(ino.Parent)
	if err != nil || !ok {
		return Dir{}, false, err
	}
	e, ok, err := p.s.lookup(parent, place{tree.Cookie(ino.Name), ino.Name, 0})
	if err != nil || !ok || e.Inode.ID != id {
		return Dir{}, false, err // the state that is read is another one: then it is built from nothing
	}
	return e.Inode.Dir, true, nil
}
