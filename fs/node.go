package fs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A NodeID is what the kernel calls an inode by while it knows it, and a file handle for ever. It is not st_ino.
type NodeID uint64

// Root is the mount's top.
const Root NodeID = 1

// A Node is an inode that the kernel knows, or that has an edit going on.
type Node struct {
	id  NodeID
	vol *Volume // nil: the mount's top

	lookups  uint64                // guarded by table.mu: the kernel's references, and those of calls under way
	accessed bool                  // guarded by table.mu: its atime is not stored
	dirty    atomic.Bool           // an edit goes on: buf is not nil
	misses   atomic.Uint32         // names that were looked for in this directory in vain
	ahead    atomic.Pointer[ahead] // of a large file that is being read

	mu     sync.Mutex
	file   tree.FileID
	local  bool // device-local: in the device's own tree
	ino    uint64
	meta   localMeta
	orphan *orphan // not nil: no name is left
	aside  *aside  // not nil: it was moved away from its name a while ago

	opens   int         // handles
	writers int         // handles that may write
	open    atomic.Bool // opens > 0

	flushed     bool // closed, and no handle that may write was released since
	copied      bool // there are copies of a handle: it was written to after a close
	journalName bool // it was made under the name of a database's journal

	// An edit that goes on; nil if there is none.
	buf        *buffer
	mtime      int64            // of the edit
	replaces   []tree.VersionID // the heads it replaces: what the last open showed
	lastWrite  time.Time        // for the quiet second
	lastEdit   time.Time        // when a quiet second last ended an edit of these handles
	quietEdits int              // how many times since the file was opened
	lastQuiet  bool             // the version that the edit replaces was made by a quiet second of these handles
	journaled  bool             // fsync left a record of the edit in the database
	journal    journal

	shown    content // of the version shown, kept while it is open
	shownVer tree.VersionID
}

// An orphan is what is left of an inode without a name, for those who hold it open.
type orphan struct {
	ino      tree.Inode
	late     bool    // bytes and xattrs are not read yet: nobody had it open
	bytes    content // at the moment it lost its name; nil: empty
	xattrs   map[string][]byte
	linkable bool // it was made without a name, and may get one
}

// localMeta is what belongs to the device and not to the log.
type localMeta struct {
	ctime, atime int64
	ino          uint64 // st_ino if it is not the derived one: after an atomic save the path shows the new file's

	holes   int64 // how many bytes of the version holesOf are in holes; 0: none, as far as is known
	holesOf tree.VersionID
}

// holesIn is how many bytes of a version are in holes, as far as is known.
func (m *localMeta) holesIn(v tree.VersionID) int64 {
	if m.holes == 0 || m.holesOf != v {
		return 0
	}
	return m.holes
}

const (
	metaSize       = 24
	sparseMetaSize = metaSize + 8 + 16
)

func (m localMeta) encode() []byte {
	b := make([]byte, metaSize, sparseMetaSize)
	binary.BigEndian.PutUint64(b, uint64(m.ctime))
	binary.BigEndian.PutUint64(b[8:], uint64(m.atime))
	binary.BigEndian.PutUint64(b[16:], m.ino)
	if m.holes != 0 {
		b = append(binary.BigEndian.AppendUint64(b, uint64(m.holes)), m.holesOf[:]...)
	}
	return b
}

func decodeMeta(b []byte) localMeta {
	if len(b) != metaSize && len(b) != sparseMetaSize {
		return localMeta{}
	}
	m := localMeta{
		ctime: int64(binary.BigEndian.Uint64(b)),
		atime: int64(binary.BigEndian.Uint64(b[8:])),
		ino:   binary.BigEndian.Uint64(b[16:]),
	}
	if len(b) == sparseMetaSize {
		m.holes, m.holesOf = int64(binary.BigEndian.Uint64(b[metaSize:])), tree.VersionID(b[metaSize+8:])
	}
	return m
}

// deriveIno gives a file its st_ino: 63 bits of a keyed hash, so that it is the same over restarts, needs no
// table, and nobody can make two files collide on purpose.
func deriveIno(key [32]byte, vol [16]byte, file tree.FileID) uint64 {
	h := hmac.New(sha256.New, key[:])
	h.Write(vol[:])
	h.Write(file[:])
	var sum [32]byte
	ino := binary.BigEndian.Uint64(h.Sum(sum[:0])) >> 1
	return max(ino, 16)
}

type nodeKey struct {
	vol  *Volume
	file tree.FileID
}

// table holds the nodes. One inode is one node, whatever its names.
type table struct {
	mu       sync.Mutex
	byID     map[NodeID]*Node
	of       map[nodeKey]*Node
	dirty    map[*Node]struct{}
	accessed map[*Node]struct{}
}

func newTable() *table {
	return &table{byID: map[NodeID]*Node{}, of: map[nodeKey]*Node{}, dirty: map[*Node]struct{}{},
		accessed: map[*Node]struct{}{}}
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
	n, ok := t.of[nodeKey{v, file}]
	t.mu.Unlock()
	return n, ok
}

// ref finds or makes the node of a file and counts a lookup. meta is asked only for a new one.
func (t *table) ref(v *Volume, file tree.FileID, local bool, lookups uint64, meta func() localMeta) *Node {
	t.mu.Lock()
	if n, ok := t.of[nodeKey{v, file}]; ok {
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
	n, ok := t.of[nodeKey{v, file}]
	if !ok {
		n = &Node{id: t.newIDLocked(v, file), vol: v, file: file, local: local, meta: m, ino: ino}
		t.byID[n.id] = n
		t.of[nodeKey{v, file}] = n
	}
	n.lookups += lookups
	return n
}

// rebind gives n another file: after an atomic save the new file's node is the target's. Whatever
// stood for that file has been made an orphan. The caller holds n.mu.
func (t *table) rebind(n *Node, file tree.FileID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[nodeKey{n.vol, n.file}] == n {
		delete(t.of, nodeKey{n.vol, n.file})
	}
	n.file = file
	t.byID[n.id] = n
	t.of[nodeKey{n.vol, file}] = n
}

// unname takes an orphan out of the index of files; the kernel's references keep it.
func (t *table) unname(n *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[nodeKey{n.vol, n.file}] == n {
		delete(t.of, nodeKey{n.vol, n.file})
	}
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

// dropIdle removes n if the kernel has forgotten it and no edit goes on.
func (t *table) dropIdle(n *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropIdleLocked(n)
}

func (t *table) dropIdleLocked(n *Node) {
	if n.lookups == 0 && n.id != Root && !n.dirty.Load() && !n.accessed {
		t.dropLocked(n)
	}
}

func (t *table) dropLocked(n *Node) {
	if t.byID[n.id] == n { // else it was dropped before, and its number is another node's now
		delete(t.byID, n.id)
	}
	if t.of[nodeKey{n.vol, n.file}] == n {
		delete(t.of, nodeKey{n.vol, n.file})
	}
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
	n.dirty.Store(dirty)
	if dirty {
		t.dirty[n] = struct{}{}
	} else {
		delete(t.dirty, n)
	}
}
