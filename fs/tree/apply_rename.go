package tree

func (w *work) rename(o *Rename) {
	if w.load(o.ID) == nil {
		return
	}
	to := w.dirOf(o.To, o.Path, o.Time)
	if to == nil {
		return
	}
	n := w.load(o.ID) // making To may have made one directory of two
	if n.in.Kind == Dir && w.inside(to, n) {
		return // the later of two moves into each other
	}
	from := w.load(o.From)
	named := from != nil && w.bears(from, o.OldName, n)
	if w.bears(to, o.NewName, n) {
		if named && (from != to || string(o.OldName) != string(o.NewName)) {
			w.detach(from, o.OldName, n, o.Time) // it has the new one besides
		}
		return
	}
	switch {
	case named:
		w.detach(from, o.OldName, n, o.Time)
	case n.in.Nlink == 1:
		// Someone else moved it in the meantime: the later in order wins.
		w.detach(w.load(n.in.Parent), n.in.Name, n, o.Time)
	}
	w.place(to, o.NewName, n, w.replaced(o, to, n), o.Time)
}

// bears reports whether n has a name in dir, shown or not.
func (w *work) bears(dir *node, name []byte, n *node) bool {
	c := w.claims(dir, name)
	return c.index(n.in.ID) >= 0
}

// replaced takes the new name from the file that bore it when the author renamed n, and returns the place
// for n among those who still bear it; -1: the last.
func (w *work) replaced(o *Rename, to, n *node) int {
	if o.Replaced == (FileID{}) {
		return -1
	}
	r := w.load(o.Replaced)
	if r == nil || r == n || !w.bears(to, o.NewName, r) {
		return -1
	}
	switch {
	case r.in.Kind == Dir:
		if n.in.Kind != Dir || r.in.Entries > 0 || r.in.ID != o.Replaced {
			return -1
		}
	case n.in.Kind.holds() != r.in.Kind.holds():
		return -1
	case r.in.Nlink == 1 && w.keepUnseen(r, o.ReplacedHeads):
		c := w.claims(to, o.NewName)
		w.aside(to, o.NewName, r, w.edited(r, r.in.Heads[0].ID), o.Time)
		return c.index(r.in.ID)
	}
	at := w.detach(to, o.NewName, r, o.Time)
	r.die(o.Time)
	return at
}

func (w *work) exchange(o *Exchange) {
	a, b := w.load(o.A), w.load(o.B)
	da, db := w.load(o.DirA), w.load(o.DirB)
	if a == nil || b == nil || a == b || da == nil || db == nil ||
		!w.bears(da, o.NameA, a) || !w.bears(db, o.NameB, b) ||
		w.bears(db, o.NameB, a) || w.bears(da, o.NameA, b) ||
		a.in.Kind == Dir && w.inside(db, a) || b.in.Kind == Dir && w.inside(da, b) {
		return
	}
	atA := w.detach(da, o.NameA, a, o.Time)
	atB := w.detach(db, o.NameB, b, o.Time)
	w.place(db, o.NameB, a, atB, o.Time)
	w.place(da, o.NameA, b, atA, o.Time)
}
