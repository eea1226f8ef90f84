package fs

import (
	"math/rand/v2"
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

	lookups uint64 // guarded by pastTable.mu: the kernel's references

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
type pastTable struct {
	fs        *FS
	clock     func() time.Time // the logs'
	snapshots atomic.Pointer[Snapshots]
	changed   atomic.Int64 // when the list of snapshots changed

	naming sync.Mutex // held while a name in a .at is looked up, so that two who do it at once get one view

	mu    sync.Mutex
	nodes map[NodeID]*pastNode
	byKey map[pastKey]*pastNode
	views map[viewKey]*view // what the names in each .at stand for, while they are in use
	sweep int               // how many views there are when those that are not in use are looked for
	next  NodeID
}

func newPastTable(f *FS, clock func() time.Time) *pastTable {
	t := &pastTable{
		fs: f, clock: clock, nodes: map[NodeID]*pastNode{}, byKey: map[pastKey]*pastNode{}, views: map[viewKey]*view{}, sweep: sweepViews,
		next: NodeID(rand.Uint64()), // a handle of an earlier mount shall not lead to another file of the past
	}
	t.changed.Store(f.now().UnixNano())
	return t
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
	n, ok := t.byKey[key]
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
	if other, ok := t.byKey[n.key]; ok {
		n = other
	} else {
		for n.id = t.next | pastBit; t.nodes[n.id] != nil; n.id = t.next | pastBit {
			t.next++
		}
		t.next++
		t.nodes[n.id], t.byKey[n.key] = n, n
		t.holdLocked(n.key.view)
	}
	n.lookups++
	t.mu.Unlock()
	return t.entry(n)
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
	if t.byKey[n.key] == n {
		delete(t.byKey, n.key)
	}
	t.releaseLocked(n.key.view)
}

// outdate has the next lookup of n's name make another node: what it shows is no longer there.
func (t *pastTable) outdate(n *pastNode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey[n.key] == n {
		delete(t.byKey, n.key)
	}
}
