package tree

import (
	"encoding/hex"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// work is the application of one event. Inodes are read once and written once, by flush; everything else
// goes to the state at once.
type work struct {
	s       eventlog.State
	a       eventlog.Author
	nodes   []*node
	stopped bool

	// Room for the common case, so that an event costs few allocations. A State keeps no key or value
	// that it is given.
	nodeRoom [4]node
	listRoom [4]*node
	keyRoom  [288]byte
	valRoom  [256]byte
}

// Keys that are used at once.

func (w *work) inodeKey(id FileID) []byte      { return putKey(w.keyRoom[:0], keyInode, id) }
func (w *work) versionKey(id VersionID) []byte { return putKey(w.keyRoom[:0], keyVersion, id) }

func (w *work) direntKey(dir FileID, name []byte) []byte {
	return putDirentKey(w.keyRoom[:0], keyDirent, dir, name)
}

func (w *work) xattrKey(id FileID, name []byte) []byte { return putXattrKey(w.keyRoom[:0], id, name) }

// A node is an inode at work.
type node struct {
	in    Inode
	alias FileID // not zero: the file has become part of that one
	dirty bool

	// As the state has it.
	wasDead, wasSplit bool
}

// live reports whether the file has a name.
func (n *node) live() bool { return n.in.Nlink > 0 }

// load returns the node of a file, living or dead, through aliases; nil if the id is unknown. Pointers stay valid for
// the whole event, but a node may become an alias: load it again after what can place a directory.
func (w *work) load(id FileID) *node {
	for {
		n := w.cached(id)
		if n == nil {
			if n = w.read(id); n == nil {
				return nil
			}
		}
		if n.alias == (FileID{}) {
			return n
		}
		id = n.alias
	}
}

func (w *work) cached(id FileID) *node {
	for _, n := range w.nodes {
		if n.in.ID == id {
			return n
		}
	}
	return nil
}

func (w *work) read(id FileID) *node {
	rec, ok := w.s.Get(w.inodeKey(id))
	if !ok {
		if id != RootID {
			return nil
		}
		n := w.keep()
		n.in = rootInode()
		return n
	}
	in, alias, ok := parseInode(id, rec)
	if !ok {
		return nil
	}
	n := w.keep()
	n.in, n.alias = in, alias
	n.wasDead = alias == FileID{} && in.Nlink == 0
	n.wasSplit = in.Nlink > 0 && len(in.Heads) > 1
	return n
}

// keep makes a node and remembers it.
func (w *work) keep() *node {
	n := new(node)
	if k := len(w.nodes); k < len(w.nodeRoom) {
		n = &w.nodeRoom[k]
	}
	if w.nodes == nil {
		w.nodes = w.listRoom[:0]
	}
	w.nodes = append(w.nodes, n)
	return n
}

// fresh is the node of a file that is being made.
func (w *work) fresh(in Inode) *node {
	n := w.keep()
	n.in, n.dirty = in, true
	return n
}

// flush writes what has changed.
func (w *work) flush() {
	for _, n := range w.nodes {
		if !n.dirty {
			continue
		}
		n.dirty = false
		dead, split := false, false
		if n.alias != (FileID{}) {
			w.s.Set(w.inodeKey(n.in.ID), putAlias(w.valRoom[:0], n.alias))
		} else {
			dead, split = !n.live(), n.live() && len(n.in.Heads) > 1
			w.s.Set(w.inodeKey(n.in.ID), putInode(w.valRoom[:0], &n.in))
		}
		if dead != n.wasDead {
			w.mark(idKey(keyDead, n.in.ID), dead)
		}
		if split != n.wasSplit {
			w.mark(headsKey(n.in.ID), split)
		}
		n.wasDead, n.wasSplit = dead, split
	}
}

// mark makes an empty record exist or not. It was otherwise before.
func (w *work) mark(key []byte, is bool) {
	if is {
		if s, ok := w.s.(eventlog.Foreteller); ok {
			s.Absent(key)
		}
		w.s.Set(key, []byte{})
	} else {
		w.s.Delete(key)
	}
}

// by is the name of the device to keep with what it made.
func (w *work) by(name string) []byte {
	if name != "" {
		return []byte(name)
	}
	return hex.AppendEncode(nil, w.a.Device[:4])
}

// join makes n an alias of to, which takes over what n has besides names, heads and attributes.
func (w *work) join(n, to *node) {
	w.moveXattrs(n, to)
	w.movePast(n, to)
	n.alias, n.dirty = to.in.ID, true
}

// moveXattrs gives to those of n's attributes that it lacks, and takes all from n.
func (w *work) moveXattrs(n, to *node) {
	if n.in.Xattrs == 0 {
		return
	}
	for _, x := range w.takeXattrs(n) {
		if _, ok := w.s.Get(w.xattrKey(to.in.ID, x.Name)); !ok {
			w.putXattr(to, x.Name, x.Val)
		}
	}
}

// takeXattrs removes all of n's attributes and returns them.
func (w *work) takeXattrs(n *node) []Xattr {
	xs := w.xattrs(n)
	for _, x := range xs {
		w.s.Delete(w.xattrKey(n.in.ID, x.Name))
		n.in.Xattrs, n.dirty = 0, true
	}
	return xs
}

func (w *work) xattrs(n *node) []Xattr {
	if n.in.Xattrs == 0 {
		return nil
	}
	var xs []Xattr
	Xattrs(w.s, n.in.ID, func(name, val []byte) bool {
		xs = append(xs, Xattr{Name: clone(name), Val: clone(val)})
		return true
	})
	return xs
}

func (w *work) putXattr(n *node, name, val []byte) {
	k := w.xattrKey(n.in.ID, name)
	if _, ok := w.s.Get(k); !ok {
		n.in.Xattrs++
		n.dirty = true
	}
	w.s.Set(k, val)
}

// past records that v was a head of n and ended without a successor.
func (w *work) past(n *node, v VersionID) {
	w.s.Set(pastKey(n.in.ID, v), []byte{})
	if !n.in.Past {
		n.in.Past, n.dirty = true, true
	}
}

// movePast hands n's former heads over.
func (w *work) movePast(n, to *node) {
	if !n.in.Past {
		return
	}
	for _, v := range pastHeads(w.s, n.in.ID) {
		w.s.Delete(pastKey(n.in.ID, v))
		w.past(to, v)
	}
	n.in.Past, n.dirty = false, true
}

func pastHeads(r eventlog.Reader, id FileID) []VersionID {
	var vs []VersionID
	prefix := idKey(keyPast, id)
	r.Scan(prefix, nil, func(k, _ []byte) bool {
		if len(k) == len(prefix)+16 {
			vs = append(vs, VersionID(k[len(prefix):]))
		}
		return true
	})
	return vs
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
