package tree

// claims are the files that bear one name in one directory, the one that is shown first. All are of one
// kind, and directories and grafts are always alone.
type claims struct {
	kind Kind
	ids  []FileID
}

func (c *claims) index(id FileID) int {
	for i, v := range c.ids {
		if v == id {
			return i
		}
	}
	return -1
}

func putClaims(b []byte, c *claims) []byte {
	b = putUint(putArray(b, 1+len(c.ids)), uint64(c.kind))
	for _, id := range c.ids {
		b = putID(b, id)
	}
	return b
}

func parseClaims(rec []byte) (c claims, ok bool) {
	s := scanner{b: rec}
	n := s.array(len(rec))
	c.kind = Kind(s.uint(uint64(Graft)))
	if n < 2 || s.bad {
		return c, false
	}
	c.ids = make([]FileID, 0, n-1)
	for range n - 1 {
		c.ids = append(c.ids, scanID[FileID](&s))
	}
	return c, s.end() && c.kind.valid()
}

// claims reads who bears a name; none: there is no such name.
func (w *work) claims(dir *node, name []byte) claims {
	rec, ok := w.s.Get(w.direntKey(dir.in.ID, name))
	if !ok {
		return claims{}
	}
	c, _ := parseClaims(rec)
	return c
}

// setClaims writes who bears a name, and keeps the directory's counts.
func (w *work) setClaims(dir *node, name []byte, was, is claims) {
	key := w.direntKey(dir.in.ID, name)
	if len(is.ids) > 0 {
		w.s.Set(key, putClaims(w.valRoom[:0], &is))
	} else {
		w.s.Delete(key)
	}
	count(&dir.in.Entries, len(was.ids) > 0, len(is.ids) > 0)
	count(&dir.in.Subdirs, len(was.ids) > 0 && was.kind.holds(), len(is.ids) > 0 && is.kind.holds())
	dir.dirty = true
	if several := len(is.ids) > 1; several != (len(was.ids) > 1) {
		w.mark(claimsKey(dir.in.ID, name), several)
	}
}

func count(n *uint32, was, is bool) {
	switch {
	case is && !was:
		*n++
	case was && !is:
		*n--
	}
}

// attach gives n a name that was borne by nobody, or only by files of n's kind; at is n's place among them, or -1:
// the last.
func (w *work) attach(dir *node, name []byte, was claims, n *node, at int, t int64) {
	is := claims{kind: n.in.Kind, ids: append(make([]FileID, 0, len(was.ids)+1), was.ids...)}
	if at < 0 || at > len(is.ids) {
		at = len(is.ids)
	}
	is.ids = append(is.ids, FileID{})
	copy(is.ids[at+1:], is.ids[at:])
	is.ids[at] = n.in.ID
	w.setClaims(dir, name, was, is)
	dir.in.Mtime = t

	if n.in.Nlink == 0 {
		n.in.Parent, n.in.Name, n.in.Gone = dir.in.ID, name, 0
	} else {
		w.s.Set(nameKey(n.in.ID, dir.in.ID, name), []byte{})
	}
	n.in.Nlink++
	n.dirty = true
}

// detach takes a name from n, and returns n's place among those who bore it. n's last name stays in its inode.
func (w *work) detach(dir *node, name []byte, n *node, t int64) (at int) {
	was := w.claims(dir, name)
	at = was.index(n.in.ID)
	is := claims{kind: was.kind, ids: append(append(make([]FileID, 0, len(was.ids)), was.ids[:at]...), was.ids[at+1:]...)}
	w.setClaims(dir, name, was, is)
	dir.in.Mtime = t

	n.in.Nlink--
	n.dirty = true
	switch {
	case n.in.Parent != dir.in.ID || string(n.in.Name) != string(name):
		w.s.Delete(nameKey(n.in.ID, dir.in.ID, name))
	case n.in.Nlink > 0:
		// Another of its names takes this one's place in the inode: the first in the order of keys.
		prefix := idKey(keyName, n.in.ID)
		w.s.Scan(prefix, nil, func(k, _ []byte) bool {
			n.in.Parent, n.in.Name = FileID(k[17:33]), clone(k[33:])
			return false
		})
		w.s.Delete(nameKey(n.in.ID, n.in.Parent, n.in.Name))
	}
	return at
}

// die records when a file lost its last name.
func (n *node) die(t int64) {
	if n.in.Nlink == 0 {
		n.in.Gone, n.dirty = t, true
	}
}
