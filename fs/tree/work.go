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
}

// A node is an inode at work.
type node struct {
	in    Inode
	alias FileID // not zero: the file has become part of that one
	dirty bool

	// As the state has it.
	wasDead, wasSplit bool
}

func (n *node) id() FileID { return n.in.ID }

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
	rec, ok := w.s.Get(inodeKey(id))
	if !ok {
		if id != RootID {
			return nil
		}
		return w.keep(&node{in: rootInode()})
	}
	in, alias, ok := parseInode(id, rec)
	if !ok {
		return nil
	}
	n := &node{in: in, alias: alias}
	n.wasDead = alias == FileID{} && in.Nlink == 0
	n.wasSplit = in.Nlink > 0 && len(in.Heads) > 1
	return w.keep(n)
}

func (w *work) keep(n *node) *node {
	if w.nodes == nil {
		w.nodes = make([]*node, 0, 6)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// fresh is the node of a file that is being made.
func (w *work) fresh(in Inode) *node {
	return w.keep(&node{in: in, dirty: true})
}

// flush writes what has changed.
func (w *work) flush() {
	for _, n := range w.nodes {
		if !n.dirty {
			continue
		}
		n.dirty = false
		if n.alias != (FileID{}) {
			w.s.Set(inodeKey(n.in.ID), putAlias(make([]byte, 0, 19), n.alias))
		} else {
			w.s.Set(inodeKey(n.in.ID), putInode(make([]byte, 0, 192), &n.in))
		}
		dead := n.alias == FileID{} && !n.live()
		w.mark(idKey(keyDead, n.in.ID), &n.wasDead, dead)
		split := n.alias == FileID{} && n.live() && len(n.in.Heads) > 1
		w.mark(headsKey(n.in.ID), &n.wasSplit, split)
	}
}

// mark makes an empty record exist or not.
func (w *work) mark(key []byte, was *bool, is bool) {
	switch {
	case is == *was:
	case is:
		w.s.Set(key, []byte{})
	default:
		w.s.Delete(key)
	}
	*was = is
}

// by is the name of the device to keep with what it made.
func (w *work) by(name string) string {
	if name != "" {
		return name
	}
	return hex.EncodeToString(w.a.Device[:4])
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
		if _, ok := w.s.Get(xattrKey(to.in.ID, x.Name)); !ok {
			w.putXattr(to, x.Name, x.Val)
		}
	}
}

// takeXattrs removes all of n's attributes and returns them.
func (w *work) takeXattrs(n *node) []Xattr {
	xs := w.xattrs(n)
	for _, x := range xs {
		w.s.Delete(xattrKey(n.in.ID, x.Name))
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
	k := xattrKey(n.in.ID, name)
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
