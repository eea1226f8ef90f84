package tree

func (w *work) merge(o *Merge) {
	n := w.load(o.ID)
	if n == nil || !n.live() || n.in.Kind.holds() ||
		o.Version != nil && (n.in.Kind != File || w.knownVersion(o.Version.ID) || !w.hasBytes(o.Version)) {
		return
	}
	dir, name := w.contested(n, append(append([]FileID(nil), o.Joins...), o.Parts...))
	joins, ok := w.beside(o.Joins, dir, name, n)
	if !ok {
		return
	}
	parts, ok := w.beside(o.Parts, dir, name, n)
	if !ok {
		return
	}
	all := append([]Head(nil), n.in.Heads...)
	for _, j := range joins {
		if j.in.Nlink > 1 {
			return // it has a name of its own
		}
		for _, h := range j.in.Heads {
			all = add(all, h)
		}
	}
	if !headsHave(all, o.Heads) || !w.copiesFit(o) {
		return
	}
	for _, p := range parts {
		e := w.creation(p)
		if len(p.in.Heads) > 0 {
			e = w.edited(p, p.in.Heads[0].ID)
		}
		w.aside(dir, name, p, e, o.Time)
	}
	for _, j := range joins {
		w.detach(dir, name, j, o.Time)
		w.join(j, n)
	}
	w.mergeHeads(o, n, all)
	for _, c := range o.Copies {
		w.copyOf(o, n, dir, name, c)
	}
}

// contested is the name of n that all of ids claim too: its own if they do, else the first in the order of keys; its own
// if there is none.
func (w *work) contested(n *node, ids []FileID) (dir *node, name []byte) {
	dir, name = w.load(n.in.Parent), n.in.Name
	if n.in.Nlink == 1 {
		return dir, name
	}
	if _, ok := w.beside(ids, dir, name, n); ok {
		return dir, name
	}
	var more []Step
	w.s.Scan(idKey(keyName, n.in.ID), nil, func(k, _ []byte) bool {
		more = append(more, Step{Dir: FileID(k[17:33]), Name: clone(k[33:])})
		return true
	})
	for _, m := range more {
		d := w.load(m.Dir)
		if _, ok := w.beside(ids, d, m.Name, n); ok {
			return d, m.Name
		}
	}
	return dir, name
}

// beside finds the files that claim a name of n's besides n.
func (w *work) beside(ids []FileID, dir *node, name []byte, n *node) (found []*node, ok bool) {
	if len(ids) == 0 {
		return nil, true
	}
	c := w.claims(dir, name)
	for _, id := range ids {
		b := w.load(id)
		if b == nil || b == n || contains(found, b) || c.index(b.in.ID) < 0 {
			return nil, false
		}
		found = append(found, b)
	}
	return found, true
}

func headsHave(heads []Head, ids []VersionID) bool {
	for _, id := range ids {
		has := false
		for _, h := range heads {
			has = has || h.ID == id
		}
		if !has {
			return false
		}
	}
	return true
}

func (w *work) copiesFit(o *Merge) bool {
	for _, c := range o.Copies {
		if w.known(c.ID) {
			return false
		}
	}
	return true
}

// mergeHeads puts the result in the place of the first of the merged heads.
func (w *work) mergeHeads(o *Merge, n *node, all []Head) {
	result := Head{ID: o.Result}
	if o.Version != nil {
		result.Size = o.Version.Size
		w.addVersion(o.Version, o.Heads)
	}
	var is []Head
	at := -1
	for _, h := range all {
		switch {
		case !contains(o.Heads, h.ID):
			is = append(is, h)
			continue
		case h.ID == o.Result:
			result = h
		case o.Version == nil:
			w.past(n, h.ID)
		}
		if at < 0 {
			at = len(is)
			is = append(is, Head{})
		}
	}
	if at >= 0 {
		is[at] = result
	}
	n.in.Heads, n.in.Mtime, n.dirty = is, o.Mtime, true
}

// copyOf makes a file beside n with one of the merged heads.
func (w *work) copyOf(o *Merge, n, dir *node, name []byte, c Copy) {
	ver, ok := GetVersion(w.s, c.Head)
	if !ok {
		return
	}
	k := w.fresh(Inode{
		ID: c.ID, Kind: File, Mode: n.in.Mode, UID: n.in.UID, GID: n.in.GID, Mtime: ver.Time, Btime: o.Time,
		Heads: []Head{{ID: c.Head, Size: ver.Size}}, By: []byte(ver.By),
	})
	w.s.Set(idKey(keyKept, c.Head), []byte{})
	w.attach(dir, w.free(dir, name, w.edited(k, c.Head)), claims{}, k, -1, o.Time)
	for _, x := range w.xattrs(n) {
		w.putXattr(k, x.Name, x.Val)
	}
}
