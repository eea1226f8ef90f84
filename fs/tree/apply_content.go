package tree

import "encoding/hex"

func (w *work) setContent(o *SetContent) {
	if w.knownVersion(o.Version.ID) || !w.hasBytes(&o.Version) {
		return
	}
	n := w.load(o.ID)
	switch {
	case n == nil:
		if n = w.remake(o); n == nil {
			return
		}
	case n.in.Kind != File:
		return
	case !n.live():
		w.revive(n, o)
	}
	prev := w.drop(n, o)
	w.replaceHeads(n, o.Replaces, []Head{{ID: o.Version.ID, Size: o.Version.Size}})
	w.addVersion(&o.Version, prev)
	n.in.Mtime, n.dirty = o.Mtime, true
}

// remake makes a file anew of which nothing is known but an edit of it.
func (w *work) remake(o *SetContent) *node {
	dir, name := w.load(RootID), []byte(hex.EncodeToString(o.ID[:]))
	if k := len(o.Path) - 1; k >= 0 {
		dir, name = w.parentOf(o.Path[k].Dir, o.Path[:k], o.Time), o.Path[k].Name
	}
	if w.known(o.ID) {
		return nil // as a directory of its own path
	}
	n := w.fresh(Inode{
		ID: o.ID, Kind: File, Mode: 0o644, UID: Owner, GID: Owner, Mtime: o.Time, Btime: o.Time, By: w.by(o.Version.By),
	})
	w.place(dir, name, n, -1, o.Time)
	return n
}

// revive gives a dead file its last name again: an edit wins over a removal. Of the heads that were removed, those stay
// removed that the edit does not replace.
func (w *work) revive(n *node, o *SetContent) {
	dir := w.parentOf(n.in.Parent, o.Path[:o.Path.find(n.in.Parent, n.in.ID)+1], o.Time)
	w.bury(n, o.Replaces)
	w.place(dir, n.in.Name, n, -1, o.Time)
}

// bury takes from n all heads, and records those that are not among kept as ended.
func (w *work) bury(n *node, kept []VersionID) {
	for _, h := range n.in.Heads {
		if !contains(kept, h.ID) {
			w.past(n, h.ID)
		}
	}
	n.in.Heads, n.dirty = nil, true
}

// replaceHeads puts heads in the place of those that were seen, behind the others.
func (w *work) replaceHeads(n *node, seen []VersionID, heads []Head) {
	is := make([]Head, 0, len(n.in.Heads)+len(heads))
	for _, h := range n.in.Heads {
		if !contains(seen, h.ID) {
			is = append(is, h)
		}
	}
	for _, h := range heads {
		is = add(is, h)
	}
	n.in.Heads, n.dirty = is, true
}

// drop removes the records of the edit's own earlier quiet versions, and returns what the new one replaces:
// in their place, what they had replaced.
func (w *work) drop(n *node, o *SetContent) []VersionID {
	if len(o.Drops) == 0 {
		return o.Replaces
	}
	prev := make([]VersionID, 0, len(o.Replaces))
	for _, id := range o.Replaces {
		if !contains(o.Drops, id) || !w.mayDrop(n, id) {
			prev = add(prev, id)
			continue
		}
		for _, p := range Parents(w.s, id) {
			prev = add(prev, p)
		}
		w.s.Delete(versionKey(id))
		if _, ok := w.s.Get(bodyKey(id)); ok {
			w.s.Delete(bodyKey(id))
		}
		if _, ok := w.s.Get(idKey(keyParents, id)); ok {
			w.s.Delete(idKey(keyParents, id))
		}
	}
	return prev
}

// mayDrop reports whether id is a quiet head of n by the author itself, and nothing else needs it.
func (w *work) mayDrop(n *node, id VersionID) bool {
	if !n.in.hasHead(id) {
		return false
	}
	v, ok := GetVersion(w.s, id)
	if !ok || !v.Quiet || v.Device != w.a.Device {
		return false
	}
	_, kept := w.s.Get(idKey(keyKept, id))
	return !kept
}
