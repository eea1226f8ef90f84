package tree

func (w *work) merge(o *Merge) {
	n := w.load(o.ID)
	if n == nil || !n.live() || n.in.Kind.holds() ||
		o.Version != nil && (n.in.Kind != File || w.knownVersion(o.Version.ID)) {
		return
	}
	dir := w.load(n.in.Parent)
	joins, ok := w.beside(o.Joins, dir, n)
	if !ok {
		return
	}
	parts, ok := w.beside(o.Parts, dir, n)
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
		w.aside(dir, n.in.Name, p, e, o.Time)
	}
	for _, j := range joins {
		w.detach(dir, n.in.Name, j, o.Time)
		w.join(j, n)
	}
	w.mergeHeads(o, n, all)
	for _, c := range o.Copies {
		w.copyOf(o, n, dir, c)
	}
}

// beside finds the files that claim n's own name besides n.
func (w *work) beside(ids []FileID, dir, n *node) (found []*node, ok bool) {
	if len(ids) == 0 {
		return nil, true
	}
	c := w.claims(dir, n.in.Name)
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
func (w *work) copyOf(o *Merge, n, dir *node, c Copy) {
	ver, ok := GetVersion(w.s, c.Head)
	if !ok {
		return
	}
	k := w.fresh(Inode{
		ID: c.ID, Kind: File, Mode: n.in.Mode, UID: n.in.UID, GID: n.in.GID, Mtime: ver.Time, Btime: o.Time,
		Heads: []Head{{ID: c.Head, Size: ver.Size}}, By: []byte(ver.By),
	})
	w.s.Set(idKey(keyKept, c.Head), []byte{})
	w.attach(dir, w.free(dir, n.in.Name, w.edited(k, c.Head)), claims{}, k, -1, o.Time)
	for _, x := range w.xattrs(n) {
		w.putXattr(k, x.Name, x.Val)
	}
}
