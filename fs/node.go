package fs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A NodeID is what the kernel calls an inode by while it knows it, and a file handle for ever. It is not st_ino.
type NodeID uint64

// Root is the mount's top.
const Root NodeID = 1

// A Node is an inode that the kernel knows, or that has an edit going on. There may be millions of them, nearly all closed: what
// only some need stands behind a pointer.
type Node struct {
	id  NodeID
	vol *Volume // nil: the mount's top
	ino uint64

	mu      sync.Mutex
	file    tree.FileID // changes under table.mu, too: see at
	local   bool        // device-local: in the device's own tree; as file
	stored  metaRecord  // guarded by mu
	journal bool        // it was made under the name of a database's journal

	unnamed bool          // guarded by table.mu: no file leads to it
	misses  atomic.Uint32 // names that were looked for in this directory in vain
	lookups uint64        // guarded by table.mu: the kernel's references, and those of calls under way

	// Guarded by mu.
	ctime   int64
	atime   int64
	buf     *buffer                 // an edit that goes on; nil: none does
	handles atomic.Pointer[handles] // nil: nobody has it open; others may look whether it is
	orphan  *orphan                 // not nil: no name is left
	notes   *notes                  // what is known of few files; nil: nothing
}

// notes are what a node remembers of few files.
type notes struct {
	aside   *aside // it was moved away from its name a while ago
	holes   int64  // as in localMeta
	holesOf tree.VersionID
}

// An orphan is what is left of an inode without a name, for those who hold it open.
type orphan struct {
	ino      tree.Inode
	late     bool    // bytes are not read yet: nobody had it open, and it has no xattrs
	bytes    content // at the moment it lost its name; nil: empty
	xattrs   map[string][]byte
	linkable bool // it was made without a name, and may get one
}

// localMeta is what belongs to the device and not to the log.
type localMeta struct {
	ctime, atime int64
	ino          uint64 // st_ino if it is not the derived one: after an atomic save the path shows the new file's
	fresh        bool   // not stored: there is no record of it, for sure

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

// metaLocked is n's device-local record. The caller holds n.mu.
func (n *Node) metaLocked() localMeta {
	m := localMeta{ctime: n.ctime, atime: n.atime}
	if n.stored == recordWithIno {
		m.ino = n.ino
	}
	if n.notes != nil {
		m.holes, m.holesOf = n.notes.holes, n.notes.holesOf
	}
	return m
}

// setMetaLocked makes m what n knows, too. The caller holds n.mu, or nobody else has n.
func (n *Node) setMetaLocked(m localMeta) {
	n.ctime, n.atime = m.ctime, m.atime
	switch {
	case m.ino != 0:
		n.stored = recordWithIno
	case n.stored == recordWithIno:
		n.stored = recordMaybe
	}
	if m.holes == 0 && n.notes == nil {
		return
	}
	note := n.noteLocked()
	note.holes, note.holesOf = m.holes, m.holesOf
}

func (n *Node) noteLocked() *notes {
	if n.notes == nil {
		n.notes = &notes{}
	}
	return n.notes
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
