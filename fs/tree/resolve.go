package tree

import (
	"bytes"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// A Conflict is a file with several heads, or a name that several files claim.
type Conflict struct {
	File FileID // that has several heads; of a name, the one that is shown
	Name *Step  // the name that several files claim; nil: File has several heads
}

// Unmerged calls fn for every conflict until it returns false.
func Unmerged(r eventlog.Reader, fn func(Conflict) bool) {
	var list []Conflict
	r.Scan([]byte{keyConflict}, nil, func(k, _ []byte) bool {
		switch {
		case len(k) == 18 && k[1] == 'h':
			list = append(list, Conflict{File: FileID(k[2:])})
		case len(k) > 26 && k[1] == 'n':
			list = append(list, Conflict{Name: &Step{Dir: FileID(k[2:18]), Name: clone(k[26:])}})
		}
		return true
	})
	for _, c := range list {
		if c.Name != nil {
			ids := Claims(r, c.Name.Dir, c.Name.Name)
			if len(ids) == 0 {
				continue
			}
			c.File = ids[0]
		}
		if !fn(c) {
			return
		}
	}
}

// Resolve makes the op that ends a conflict without looking at content: what has the same bytes becomes one; of the
// rest, the earliest keeps the name, and the others get conflict names beside it. draw gives new file
// ids, now is the op's time.
func Resolve(r eventlog.Reader, c Conflict, draw func() FileID, now int64) (Merge, bool) {
	i, ok := GetInode(r, c.File)
	if !ok {
		return Merge{}, false
	}
	m := Merge{ID: i.ID, Mtime: i.Mtime, Time: now}
	if c.Name != nil {
		return m, m.resolveName(r, i, *c.Name)
	}
	if len(i.Heads) < 2 || len(i.Heads) > MaxHeads {
		return Merge{}, false
	}
	m.Heads, m.Result = i.HeadIDs(), i.Heads[0].ID
	kept := []VersionID{m.Result}
	for _, h := range m.Heads[1:] {
		if !sameAsAny(r, h, kept) {
			kept = append(kept, h)
			m.Copies = append(m.Copies, Copy{ID: draw(), Head: h})
		}
	}
	return m, true
}

// resolveName joins the claims that are the same as the one that is shown, and parts the others.
func (m *Merge) resolveName(r eventlog.Reader, i Inode, name Step) bool {
	for _, id := range Claims(r, name.Dir, name.Name) {
		b, ok := GetInode(r, id)
		if !ok || b.ID == i.ID || len(m.Joins)+len(m.Parts) == MaxHeads {
			continue
		}
		if !sameFile(r, i, b) {
			m.Parts = append(m.Parts, b.ID)
			continue
		}
		m.Joins = append(m.Joins, b.ID)
		for _, h := range append(i.HeadIDs(), b.HeadIDs()...) {
			m.Heads = add(m.Heads, h)
		}
		if len(i.Heads) > 0 {
			m.Result = i.Heads[0].ID
		}
	}
	return len(m.Joins)+len(m.Parts) > 0
}

// sameFile reports whether b can become part of a with nothing lost.
func sameFile(r eventlog.Reader, a, b Inode) bool {
	if b.Nlink > 1 || len(a.Heads) > 1 || len(b.Heads) > 1 || len(a.Heads) != len(b.Heads) ||
		!bytes.Equal(a.Target, b.Target) || a.Rdev != b.Rdev {
		return false
	}
	return len(a.Heads) == 0 || sameAsAny(r, b.Heads[0].ID, []VersionID{a.Heads[0].ID})
}

// sameAsAny reports whether a version has the same bytes as one of others. Versions whose bytes are the same and were cut
// or sealed otherwise count as different.
func sameAsAny(r eventlog.Reader, id VersionID, others []VersionID) bool {
	v, ok := GetVersion(r, id)
	if !ok || v.Pending {
		return false
	}
	for _, o := range others {
		u, ok := GetVersion(r, o)
		if !ok || u.Pending || u.Size != v.Size || u.IsInline() != v.IsInline() || u.Content != v.Content {
			continue
		}
		if !v.IsInline() || u.bodyAt() == v.bodyAt() {
			return true
		}
		a, _ := Body(r, v)
		b, _ := Body(r, u)
		if bytes.Equal(a, b) {
			return true
		}
	}
	return false
}
