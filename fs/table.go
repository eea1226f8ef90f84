package fs

import (
	"sync"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

type nodeKey struct {
	vol  *Volume
	file tree.FileID
}

// table holds the nodes. One inode is one node, whatever its names.
//
// INVARIANT: a file that has a node leads to it by its number (nodeIDOf) or, where another node has that, by moved.
type table struct {
	mu       sync.Mutex
	byID     map[NodeID]*Node
	moved    map[nodeKey]*Node  // those whose number is not that of their file
	dirty    map[*Node]struct{} // an edit goes on
	accessed map[*Node]struct{} // the atime is not stored
}

func newTable() *table {
	return &table{byID: map[NodeID]*Node{}, moved: map[nodeKey]*Node{}, dirty: map[*Node]struct{}{},
		accessed: map[*Node]struct{}{}}
}

// ofLocked finds the node of a file if there is one. The caller holds t.mu.
func (t *table) ofLocked(v *Volume, file tree.FileID) (*Node, bool) {
	if n, ok := t.byID[nodeIDOf(v, file)]; ok && n.vol == v && n.file == file && !n.unnamed {
		return n, true
	}
	n, ok := t.moved[nodeKey{v, file}]
	return n, ok
}

// addLocked makes n known by its number and, if it has a name, by its file. The caller holds t.mu.
func (t *table) addLocked(n *Node) {
	t.byID[n.id] = n
	if !n.unnamed && n.id != nodeIDOf(n.vol, n.file) {
		t.moved[nodeKey{n.vol, n.file}] = n
	}
}

// unmoveLocked takes n out of moved. The caller holds t.mu.
func (t *table) unmoveLocked(n *Node) {
	if key := (nodeKey{n.vol, n.file}); t.moved[key] == n {
		delete(t.moved, key)
	}
}

func (t *table) get(id NodeID) (*Node, bool) {
	t.mu.Lock()
	n, ok := t.byID[id]
	t.mu.Unlock()
	return n, ok
}

// peek finds the node of a file if there is one.
func (t *table) peek(v *Volume, file tree.FileID) (*Node, bool) {
	t.mu.Lock()
	n, ok := t.ofLocked(v, file)
	t.mu.Unlock()
	return n, ok
}

// ref finds or makes the node of a file and counts a lookup. meta is asked only for a new one.
func (t *table) ref(v *Volume, file tree.FileID, local bool, lookups uint64, meta func() localMeta) *Node {
	t.mu.Lock()
	if n, ok := t.ofLocked(v, file); ok {
		n.lookups += lookups
		t.mu.Unlock()
		return n
	}
	t.mu.Unlock()
	m := meta()
	ino := m.ino
	if ino == 0 {
		ino = deriveIno(v.inoKey, v.id, file)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.ofLocked(v, file)
	if !ok {
		n = &Node{id: t.newIDLocked(v, file), vol: v, file: file, local: local, ino: ino}
		if m.fresh {
			n.stored = recordNone
		}
		n.setMetaLocked(m)
		t.addLocked(n)
	}
	n.lookups += lookups
	return n
}

// at is where n stands, for those who do not hold n.mu: a directory may be moving from one tree of its volume to the other.
func (n *Node) at() (file tree.FileID, local bool) {
	t := n.vol.fs.table
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.file, n.local
}

// expect has whoever finds a file that n is about to be the node of find n. The caller holds n.mu.
func (t *table) expect(n *Node, file tree.FileID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moved[nodeKey{n.vol, file}] = n
}

// unexpect takes expect back.
func (t *table) unexpect(n *Node, file tree.FileID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.moved, nodeKey{n.vol, file})
}

// moveTo gives n the file of the other tree that it was expected to have. The caller holds n.mu.
func (t *table) moveTo(n *Node, file tree.FileID, local bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unmoveLocked(n)
	delete(t.moved, nodeKey{n.vol, file})
	n.file, n.local = file, local
	t.addLocked(n)
}

// rebind gives n another file: after an atomic save the new file's node is the target's. Whatever
// stood for that file has been made an orphan. The caller holds n.mu.
func (t *table) rebind(n *Node, file tree.FileID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unmoveLocked(n)
	n.file, n.unnamed = file, false
	t.addLocked(n)
}

// unname has no file lead to an orphan any more; the kernel's references keep it.
func (t *table) unname(n *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unmoveLocked(n)
	n.unnamed = true
}

// forget drops references of the kernel. A node whose edit goes on stays until the edit has ended.
func (t *table) forget(id NodeID, count uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.byID[id]; ok {
		n.lookups -= min(count, n.lookups)
		t.dropIdleLocked(n)
	}
}

// release drops the reference of Volume.hold.
func (t *table) release(n *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.lookups--
	t.dropIdleLocked(n)
}

// isKnown reports whether the kernel may know n, which who asks holds.
func (t *table) isKnown(n *Node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.lookups > 1
}

// isHeld reports whether somebody still holds what a file was when it lost its last name.
func (t *table) isHeld(v *Volume, file tree.FileID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.byID[nodeIDOf(v, file)]
	return ok && n.unnamed && n.vol == v && n.file == file
}

// dropIdle removes n if the kernel has forgotten it and no edit goes on.
func (t *table) dropIdle(n *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropIdleLocked(n)
}

func (t *table) dropIdleLocked(n *Node) {
	if n.lookups != 0 || n.id == Root {
		return
	}
	_, dirty := t.dirty[n]
	if _, accessed := t.accessed[n]; !dirty && !accessed {
		t.dropLocked(n)
	}
}

func (t *table) dropLocked(n *Node) {
	if t.byID[n.id] == n { // else it was dropped before, and its number is another node's now
		delete(t.byID, n.id)
	}
	t.unmoveLocked(n)
}

// fileOf is n.file for those who do not hold n.mu.
func (t *table) fileOf(n *Node) tree.FileID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.file
}

// all returns the nodes there are now.
func (t *table) all() []*Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	ns := make([]*Node, 0, len(t.byID))
	for _, n := range t.byID {
		ns = append(ns, n)
	}
	return ns
}

// edits returns the nodes with an edit going on.
func (t *table) edits() []*Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	ns := make([]*Node, 0, len(t.dirty))
	for n := range t.dirty {
		ns = append(ns, n)
	}
	return ns
}

// setDirty says whether an edit of n goes on. The caller holds n.mu.
func (t *table) setDirty(n *Node, dirty bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if dirty {
		t.dirty[n] = struct{}{}
	} else {
		delete(t.dirty, n)
	}
}
