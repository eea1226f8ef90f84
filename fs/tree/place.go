package tree

// place gives n a name in dir, whoever bears it already: DESIGN's rows on creating the same name.
//   - files of one kind all claim it, in the order of their coming;
//   - of two directories an empty one becomes an alias of the other;
//   - a directory takes the name from what is none;
//   - else n gets a conflict name.
//
// n is not in dir under that name yet, and no directory that dir is in. It may be an alias afterwards.
func (w *work) place(dir *node, name []byte, n *node, at int, t int64) {
	was := w.claims(dir, name)
	switch {
	case len(was.ids) == 0 || was.kind == n.in.Kind && !n.in.Kind.holds():
		w.attach(dir, name, was, n, at, t)
	case n.in.Kind.holds() && !was.kind.holds():
		for _, id := range was.ids {
			w.aside(dir, name, w.load(id), w.creation(w.load(id)), t)
		}
		w.attach(dir, name, claims{}, n, 0, t)
	case n.in.Kind == Dir && was.kind == Dir:
		w.placeDir(dir, name, n, w.load(was.ids[0]), t)
	default:
		w.attach(dir, w.free(dir, name, w.creation(n)), claims{}, n, -1, t)
	}
}

// placeDir makes one directory of two if one of them is empty.
func (w *work) placeDir(dir *node, name []byte, n, there *node, t int64) {
	switch {
	case n.in.Entries == 0 && !n.live():
		w.join(n, there)
	case there.in.Entries == 0:
		w.detach(dir, name, there, t)
		w.join(there, n)
		w.attach(dir, name, claims{}, n, 0, t)
	default:
		w.attach(dir, w.free(dir, name, w.creation(n)), claims{}, n, -1, t)
	}
}

// aside gives n a conflict name in place of a name in dir.
func (w *work) aside(dir *node, name []byte, n *node, e edit, t int64) {
	to := w.free(dir, name, e)
	w.detach(dir, name, n, t)
	w.attach(dir, to, claims{}, n, -1, t)
}

// free is the first conflict name that nobody bears.
func (w *work) free(dir *node, name []byte, e edit) []byte {
	for i := 1; ; i++ {
		c := e.name(name, i)
		if _, taken := w.s.Get(direntKey(dir.in.ID, c)); !taken {
			return c
		}
	}
}

// dirOf returns the living directory that an op names, making it anew if it must: a dead one comes back under its last
// name, an unknown one under the name that path gives it, and without that the root stands in. It is nil
// if id is no directory. path leads to id.
func (w *work) dirOf(id FileID, path Path, t int64) *node {
	n := w.load(id)
	switch {
	case n == nil:
		at := path.find(id, id)
		if at < 0 {
			return w.load(RootID)
		}
		parent := w.parentOf(path[at].Dir, path[:at], t)
		// Making the parent may have made the directory, if the path goes in a circle.
		if w.load(id) != nil {
			return w.dirOf(id, nil, t)
		}
		n = w.fresh(Inode{
			ID: id, Kind: Dir, Mode: 0o755, UID: Owner, GID: Owner, Mtime: t, Btime: t, By: w.by(""),
		})
		w.place(parent, path[at].Name, n, -1, t)
	case n.in.Kind != Dir:
		return nil
	case !n.live():
		// What path says of the parent; find gives -1 if nothing.
		parent := w.parentOf(n.in.Parent, path[:path.find(n.in.Parent, id)+1], t)
		if n = w.load(id); n.live() {
			return n
		}
		w.place(parent, n.in.Name, n, -1, t)
	default:
		return n
	}
	return w.load(id)
}

// parentOf is dirOf with the root in place of what is no directory.
func (w *work) parentOf(id FileID, path Path, t int64) *node {
	if dir := w.dirOf(id, path, t); dir != nil {
		return dir
	}
	return w.load(RootID)
}

// find returns the last step of p that leads to dir, or -1. p itself leads to end.
func (p Path) find(dir, end FileID) int {
	for i := len(p) - 1; i >= 0; i-- {
		if end == dir {
			return i
		}
		end = p[i].Dir
	}
	return -1
}

// inside reports whether living directory dir is n or below it.
func (w *work) inside(dir, n *node) bool {
	for dir.in.ID != RootID {
		if dir == n {
			return true
		}
		dir = w.load(dir.in.Parent)
	}
	return dir == n
}
