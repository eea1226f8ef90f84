package tree

func (w *work) save(o *Save) {
	s, t := w.load(o.Source), w.load(o.Target)
	if s == nil || s == t || s.in.Kind != File {
		return
	}
	if t == nil || t.in.Kind != File || t.in.Nlink > 1 || s.in.Nlink > 1 {
		if !o.Aside {
			w.rename(&Rename{
				ID: o.Source, From: o.FromDir, OldName: o.FromName, To: o.Dir, NewName: o.Name,
				Replaced: o.Target, ReplacedHeads: o.TargetHeads, Time: o.Time, Path: o.Path,
			})
		}
		return
	}
	switch {
	case !o.Aside:
		w.saveOver(o, s, t)
	case !s.live() || s.in.Parent != w.canon(o.Dir) || string(s.in.Name) != string(o.Name):
		// Source was moved on: what the author did stands as it is.
	case t.live():
		w.saveAside(o, s, t)
	default:
		w.saveBack(o, s, t)
	}
}

// canon is the directory that id stands for; zero: none is known.
func (w *work) canon(id FileID) FileID {
	if n := w.load(id); n != nil {
		return n.in.ID
	}
	return FileID{}
}

// saveOver makes s an edit of t, wherever t is now.
func (w *work) saveOver(o *Save, s, t *node) {
	if s.live() {
		w.detach(w.load(s.in.Parent), s.in.Name, s, o.Time)
	}
	if t.live() {
		dir := w.load(t.in.Parent)
		dir.in.Mtime, dir.dirty = o.Time, true
	} else {
		dir := w.dirOf(o.Dir, o.Path, o.Time)
		if dir == nil {
			dir = w.load(RootID)
		}
		w.buryTarget(o, s, t)
		w.place(dir, o.Name, t, -1, o.Time)
	}
	w.takeOver(o, s, t)
}

// saveBack puts a removed target under its name again, in place of s.
func (w *work) saveBack(o *Save, s, t *node) {
	dir := w.load(s.in.Parent)
	w.buryTarget(o, s, t)
	at := w.detach(dir, o.Name, s, o.Time)
	w.place(dir, o.Name, t, at, o.Time)
	w.takeOver(o, s, t)
}

// buryTarget takes its heads from a target that was removed: those that s replaces have a successor.
func (w *work) buryTarget(o *Save, s, t *node) {
	if len(s.in.Heads) > 0 {
		w.bury(t, o.TargetHeads)
	} else {
		w.bury(t, nil)
	}
}

// takeOver ends s as a file of its own: t has its content, attributes and history.
func (w *work) takeOver(o *Save, s, t *node) {
	w.inherit(o, s, t)
	t.in.Mode, t.in.UID, t.in.GID, t.in.Mtime = s.in.Mode, s.in.UID, s.in.GID, s.in.Mtime
	xs := w.takeXattrs(s)
	w.takeXattrs(t)
	for _, x := range xs {
		w.putXattr(t, x.Name, x.Val)
	}
	t.dirty = true
	w.join(s, t)
}

// inherit puts s's heads in place of those of t that the author saw.
func (w *work) inherit(o *Save, s, t *node) {
	for _, h := range s.in.Heads {
		w.addParents(h.ID, o.TargetHeads)
	}
	if len(s.in.Heads) == 0 {
		for _, h := range t.in.Heads {
			if contains(o.TargetHeads, h.ID) {
				w.past(t, h.ID)
			}
		}
	}
	w.replaceHeads(t, o.TargetHeads, s.in.Heads)
}

func (w *work) addParents(v VersionID, saved []VersionID) {
	is := savedOver(w.s, v)
	n := len(is)
	for _, p := range saved {
		if p != v {
			is = add(is, p)
		}
	}
	if len(is) > n {
		w.s.Set(idKey(keyParents, v), putIDs(nil, is))
	}
}

// saveAside swaps what s and t are: t comes back to its name with s's content and attributes, and s takes
// the name that t was moved to, with what t was.
func (w *work) saveAside(o *Save, s, t *node) {
	ds, dt := w.load(s.in.Parent), w.load(t.in.Parent)
	ns, nt := s.in.Name, t.in.Name
	if ds == dt && string(ns) == string(nt) {
		// Target had stayed, for an edit that the author did not know of: both claim the name.
		w.detach(ds, ns, s, o.Time)
		w.takeOver(o, s, t)
		return
	}
	as := w.detach(ds, ns, s, o.Time)
	at := w.detach(dt, nt, t, o.Time)
	w.attach(ds, ns, w.claims(ds, ns), t, as, o.Time)
	w.attach(dt, nt, w.claims(dt, nt), s, at, o.Time)

	var backup []Head
	for _, v := range o.TargetHeads {
		if ver, ok := GetVersion(w.s, v); ok {
			backup = append(backup, Head{ID: v, Size: ver.Size})
			w.s.Set(idKey(keyKept, v), []byte{})
		}
	}
	w.movePast(s, t)
	w.inherit(o, s, t)
	s.in.Heads = backup
	s.in.Mode, t.in.Mode = t.in.Mode, s.in.Mode
	s.in.UID, t.in.UID = t.in.UID, s.in.UID
	s.in.GID, t.in.GID = t.in.GID, s.in.GID
	s.in.Mtime, t.in.Mtime = t.in.Mtime, s.in.Mtime
	xs, xt := w.takeXattrs(s), w.takeXattrs(t)
	for _, x := range xs {
		w.putXattr(t, x.Name, x.Val)
	}
	for _, x := range xt {
		w.putXattr(s, x.Name, x.Val)
	}
	s.dirty, t.dirty = true, true
}
