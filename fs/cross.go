package fs

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A rename between a device-local name and an ordinary one moves a file, or a directory with all that is below it, between the two
// trees of a volume. To the log it is a removal, or something that is made: what leaves one tree is made anew in the other, under
// new ids and with the same bytes, in one change. To programs it is the same inode: its node moves along.

const (
	// crossLimit is how many names one rename takes from one tree to the other. More are refused, as between file systems.
	crossLimit = 10_000
	// crossTries is how often a rename looks again at a directory that others change meanwhile.
	crossTries = 5
)

var (
	// errChanged says that others have changed what was about to move.
	errChanged = errors.New("what moves has changed")
	// errMoved says that something moved from one tree to the other before it was locked.
	errMoved = fmt.Errorf("moved meanwhile: %w", ErrBusy)
)

// A crossing is a rename from one tree to the other.
type crossing struct {
	move
	locked map[*Node]bool // what may change
	list   []traveller
	ids    map[tree.FileID]tree.FileID // what became what; of a file with several names once
	held   []*pending                  // versions that wait for being sealed
	moved  []movedNode
}

// A traveller is a name that crosses.
type traveller struct {
	dir   int // it is in list[dir]; -1: it is what the rename names
	name  []byte
	ino   tree.Inode
	stays bool // it is device-local here and there: only its directory becomes another
	full  bool // a directory that something is in
}

// movedNode is a node that becomes another file's.
type movedNode struct {
	n    *Node
	file tree.FileID
	meta localMeta
	head []tree.VersionID
}

// cross makes the rename m. No node is locked yet.
func (f *FS) cross(m move) error {
	for range crossTries {
		if err := f.tryCross(m); err != errChanged {
			return err
		}
	}
	return ErrCrossVolume // mv copies
}

// whileCrossing calls fn again if it did not find something that may have been moving between two trees meanwhile, or if it found
// something in another tree than where it then was: a directory may have got another name, for which other rules hold.
func (f *FS) whileCrossing(fn func() error) error {
	for tries := 1; ; tries++ {
		before := f.crossings.Load()
		err := fn()
		if err != errMoved && !errors.Is(err, ErrNotExist) {
			return err
		}
		if !f.crossedSince(before) && (err != errMoved || tries >= crossTries) {
			return err
		}
	}
}

// crossedSince reports whether something has moved between two trees since crossings was before, and waits for what moves now.
func (f *FS) crossedSince(before uint64) bool {
	if before%2 == 0 && f.crossings.Load() == before {
		return false
	}
	f.crossing.Lock()
	defer f.crossing.Unlock()
	return true
}

func (f *FS) tryCross(m move) error {
	c := &crossing{move: m, locked: map[*Node]bool{}, ids: map[tree.FileID]tree.FileID{}}
	below, err := f.nodesBelow(m.n)
	for _, n := range below {
		defer f.table.release(n)
	}
	if err != nil {
		return err
	}
	nodes := slices.Concat(below, []*Node{m.n, m.from, m.to, m.target})
	unlock := lockNodes(nodes...)
	defer unlock()
	for _, n := range nodes {
		c.locked[n] = true
	}
	if c.n.local == c.toLocal || c.toLocal != (c.to.inTrash() || c.to.localChild(c.newName)) {
		return errMoved
	}
	if m.strands(c.toLocal && c.to.inTrash(), tree.Dir) {
		return ErrCrossVolume
	}
	if m.target != nil && m.n.orphan == nil {
		if err := m.n.wholeLocked(); err != nil {
			return err
		}
	}
	for _, n := range nodes[:len(below)+1] {
		if n.buf != nil && n.orphan == nil {
			if err := n.closeLocked(); err != nil {
				return err
			}
		}
	}
	f.crossing.Lock()
	defer f.crossing.Unlock()
	f.crossings.Add(1)
	defer f.crossings.Add(1)
	if err := m.n.vol.update(func(t *txn) error { return t.cross(c) }); err != nil {
		for _, p := range c.held {
			p.vol.drop(p)
		}
		for _, x := range c.moved {
			f.table.unexpect(x.n, x.file)
		}
		return err
	}
	m.tellDirs()
	for _, p := range c.held {
		f.spills.mem.Add(p.mem)
		f.seal.put(p)
	}
	return nil
}

// nodesBelow returns the nodes of all that is below n, each with a reference. All that moves has a node, so that whoever looks it up
// meanwhile, or has done so and not come further, waits for the node's lock.
func (f *FS) nodesBelow(n *Node) ([]*Node, error) {
	dir, local := n.at()
	var files []tree.FileID
	err := n.vol.view(local, func(r eventlog.Reader) error {
		tree.Walk(r, dir, func(_ [][]byte, d tree.Dirent) bool {
			files = append(files, d.ID)
			return len(files) <= crossLimit
		})
		if len(files) > crossLimit {
			return ErrCrossVolume
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	nodes := make([]*Node, len(files))
	for i, file := range files {
		nodes[i] = n.vol.hold(file, local)
	}
	return nodes, nil
}

// cross is the change that a crossing is.
func (t *txn) cross(c *crossing) error {
	_, _, err := t.checkMove(c.move)
	if err != nil {
		return err
	}
	if c.target != nil && c.target.local != c.toLocal {
		return ErrCrossVolume
	}
	if t.isBelow(c.to, c.n) {
		return ErrInvalid
	}
	if err := t.gather(c); err != nil {
		return err
	}
	if c.target != nil {
		if err := t.unlink(c.to, c.target, c.newName); err != nil {
			return err
		}
	}
	for _, x := range c.list {
		if err := t.arrive(c, x); err != nil {
			return err
		}
	}
	for _, x := range slices.Backward(c.list) {
		t.leave(c, x)
	}
	t.touch(c.from)
	if c.to != c.from {
		t.touch(c.to)
	}
	t.then(func() {
		for _, x := range c.moved {
			x.n.becomeLocked(x, c.toLocal)
		}
	})
	return nil
}

// isBelow reports whether directory dir is n or below it. A device-local directory may be in one of the shared tree.
func (t *txn) isBelow(dir, n *Node) bool {
	id, local := dir.file, dir.local
	for id != tree.RootID {
		if id == n.file {
			return true
		}
		if local {
			_, shared := tree.GetInode(t.state(false), id)
			local = !shared
		}
		ino, ok := tree.GetInode(t.state(local), id)
		if !ok {
			return false
		}
		id = ino.Parent
	}
	return n.file == tree.RootID
}
