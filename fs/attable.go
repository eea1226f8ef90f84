package fs

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// pastBit marks the numbers of nodes of the past, so that a number says what it is of. Those of files have 63 bits.
const pastBit NodeID = 1 << 63

// IsPast reports whether a node is of the past: a .at, or what is below one. Nothing changes there.
func (id NodeID) IsPast() bool { return id&pastBit != 0 }

// A pastNode is an inode of the past that the kernel knows. But for who has it open nothing of it changes, so it needs no lock.
type pastNode struct {
	id   NodeID
	key  pastKey
	attr Attr // of a .at: but for its times
	what pastInode

	// Guarded by pastTable.mu.
	lookups  uint64 // the kernel's references
	outdated bool   // its key leads to another node, or to none

	mu     sync.Mutex
	opened *pastOpen // guarded by mu; nil: nobody has it open
}

// pastInode is what a node of the past keeps of its inode besides its attributes.
type pastInode struct {
	head   tree.VersionID // what it shows, of a file that is not empty
	lost   bool           // when it was looked up, neither that was kept nor anything that the file had later
	xattrs bool           // it has some
}

// A pastKey says what a node of the past is of: a directory's .at if view is nil, else a file in a view.
type pastKey struct {
	view *view
	vol  *Volume // nil: the mount's top
	file tree.FileID
}

// pastTable holds the nodes of the past and the views that they are in.
//
// A directory is one node in each view, though others may show the same of it: the kernel knows one name of each directory.
//
// INVARIANT: a key that has a node, which is not outdated, leads to it by its number (numberOf) or, where another node has that, by moved.
type pastTable struct {
	fs        *FS
	clock     func() time.Time // the logs'
	seed      maphash.Seed
	snapshots atomic.Pointer[Snapshots]
	changed   atomic.Int64 // when the list of snapshots changed

	naming sync.Mutex // held while a name in a .at is looked up, so that two who do it at once get one view

	mu    sync.Mutex
	nodes map[NodeID]*pastNode
	moved map[pastKey]*pastNode
	views map[viewKey]*view // what the names in each .at stand for, while they are in use
	sweep int               // how many views there are when those that are not in use are looked for
}

func newPastTable(f *FS, clock func() time.Time) *pastTable {
	t := &pastTable{
		fs: f, clock: clock, nodes: map[NodeID]*pastNode{}, moved: map[pastKey]*pastNode{}, views: map[viewKey]*view{}, sweep: sweepViews,
		seed: maphash.MakeSeed(), // so that a handle of an earlier mount leads to no other file of the past
	}
	t.changed.Store(f.now().UnixNano())
	return t
}

// numberOf is the number of a key's node, unless another node has it.
func (t *pastTable) numberOf(key pastKey) NodeID {
	view := uint64(0)
	if key.view != nil {
		view = key.view.number
	}
	return pastBit | NodeID(maphash.Comparable(t.seed, struct {
		view uint64
		vol  *Volume
		file tree.FileID
	}{view, key.vol, key.file}))
}

// ofLocked finds the node of a key if there is one. The caller holds t.mu.
func (t *pastTable) ofLocked(key pastKey) (*pastNode, bool) {
	if n, ok := t.nodes[t.numberOf(key)]; ok && n.key == key && !n.outdated {
		return n, true
	}
	n, ok := t.moved[key]
	return n, ok
}

// get returns the node that the kernel means. The view that it is of is in use.
func (t *pastTable) get(id NodeID) (*pastNode, error) {
	t.mu.Lock()
	n, ok := t.nodes[id]
	t.mu.Unlock()
	if !ok {
		return nil, ErrNotExist
	}
	n.key.view.use()
	return n, nil
}

// refer counts a reference of the kernel of a node, if there is one.
func (t *pastTable) refer(key pastKey) (Entry, bool) {
	t.mu.Lock()
	n, ok := t.ofLocked(key)
	if ok {
		n.lookups++
	}
	t.mu.Unlock()
	if !ok {
		return Entry{}, false
	}
	return t.entry(n), true
}

// enter makes n known, unless another node of its key is, and counts a reference of the kernel.
func (t *pastTable) enter(n *pastNode) Entry {
	t.mu.Lock()
	if other, ok := t.ofLocked(n.key); ok {
		n = other
	} else {
		t.addLocked(n)
	}
	n.lookups++
	t.mu.Unlock()
	return t.entry(n)
}

// addLocked gives n a number. The caller holds t.mu.
func (t *pastTable) addLocked(n *pastNode) {
	n.id = t.numberOf(n.key)
	for t.nodes[n.id] != nil {
		n.id = (n.id + 1) | pastBit
		t.moved[n.key] = n
	}
	t.nodes[n.id] = n
	t.holdLocked(n.key.view)
}

func (t *pastTable) entry(n *pastNode) Entry {
	n.key.view.use()
	return Entry{Node: n.id, Attr: t.attr(n)}
}

// attr is what stat shows of n.
func (t *pastTable) attr(n *pastNode) Attr {
	a := n.attr
	if n.key.view == nil {
		at := t.changed.Load()
		a.Atime, a.Mtime, a.Ctime, a.Btime = at, at, at, at
	}
	return a
}

// forget drops references of the kernel.
func (t *pastTable) forget(id NodeID, count uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.nodes[id]
	if !ok {
		return
	}
	if n.lookups -= min(count, n.lookups); n.lookups > 0 {
		return
	}
	delete(t.nodes, id)
	t.unmoveLocked(n)
	t.releaseLocked(n.key.view)
}

// outdate has the next lookup of n's name make another node: what it shows is no longer there.
func (t *pastTable) outdate(n *pastNode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.outdated = true
	t.unmoveLocked(n)
}

// unmoveLocked takes n out of moved. The caller holds t.mu.
func (t *pastTable) unmoveLocked(n *pastNode) {
	if t.moved[n.key] == n {
		delete(t.moved, n.key)
	}
}
