package tree

import (
	"bytes"
	"slices"
)

// maxFolded bounds the bytes of attributes that a Create takes in.
const maxFolded = 1 << 18

// fold returns the op that does what a and then b do, on any state, if nothing between them touches the
// file. Both name one file.
func fold(a, b Op) (Op, bool) {
	switch a := a.(type) {
	case Create:
		return foldCreate(a, b)
	case SetAttr:
		if b, ok := b.(SetAttr); ok && a.ID == b.ID {
			return foldAttr(a, b), true
		}
	case SetXattr:
		if b, ok := b.(SetXattr); ok && a.ID == b.ID && bytes.Equal(a.Name, b.Name) {
			return b, true
		}
	case SetContent:
		if b, ok := b.(SetContent); ok && a.ID == b.ID {
			return foldContent(a, b)
		}
	}
	return nil, false
}

func foldCreate(c Create, op Op) (Op, bool) {
	if c.Kind == Graft {
		return nil, false // it may be there already, and then only what is set later holds
	}
	switch o := op.(type) {
	case SetContent:
		if o.ID != c.ID || c.Kind != File || !follows(c.Version, o) {
			return nil, false
		}
		v := o.Version
		c.Version, c.Mtime = &v, o.Mtime
		return c, true
	case SetAttr:
		if o.ID != c.ID {
			return nil, false
		}
		all := foldAttr(SetAttr{Mode: c.Mode, UID: c.UID, GID: c.GID, Mtime: c.Mtime}, o)
		c.Mode, c.UID, c.GID, c.Mtime = all.Mode, all.UID, all.GID, all.Mtime
		c.Chosen |= o.Set
		return c, true
	case SetXattr:
		// A directory that is there already would keep an attribute that is removed here.
		if o.ID != c.ID || o.Remove && c.Kind == Dir {
			return nil, false
		}
		return foldXattr(c, o)
	}
	return nil, false
}

// follows reports whether an edit is the first content of a new file, or drops what was.
func follows(v *Version, o SetContent) bool {
	if v == nil {
		return len(o.Replaces) == 0 && o.Version.Like == VersionID{}
	}
	return droppedBy(v, o)
}

// droppedBy reports whether an edit replaces one version, and drops it. An edit that names a version whose bytes it has counts only where
// that one is there, and each of two that do may count where the other does not: they stay what they are.
func droppedBy(v *Version, o SetContent) bool {
	only := []VersionID{v.ID}
	return v.Quiet && !v.Pending && slices.Equal(o.Replaces, only) && slices.Equal(o.Drops, only) &&
		v.Like == VersionID{} && o.Version.Like == VersionID{}
}

func foldAttr(a, b SetAttr) SetAttr {
	if b.Set&FieldMode != 0 {
		a.Mode = b.Mode
	}
	if b.Set&FieldUID != 0 {
		a.UID = b.UID
	}
	if b.Set&FieldGID != 0 {
		a.GID = b.GID
	}
	if b.Set&FieldMtime != 0 {
		a.Mtime = b.Mtime
	}
	a.Set |= b.Set
	return a
}

func foldXattr(c Create, o SetXattr) (Op, bool) {
	at, found := slices.BinarySearchFunc(c.Xattrs, o.Name, func(x Xattr, name []byte) int {
		return bytes.Compare(x.Name, name)
	})
	xs := slices.Clone(c.Xattrs)
	switch {
	case o.Remove && found:
		xs = slices.Delete(xs, at, at+1)
	case o.Remove:
	case found:
		xs[at].Val = o.Val
	default:
		xs = slices.Insert(xs, at, Xattr{Name: o.Name, Val: o.Val})
	}
	size := 0
	for _, x := range xs {
		size += len(x.Name) + len(x.Val)
	}
	if len(xs) > MaxXattrs || size > maxFolded {
		return nil, false
	}
	c.Xattrs = xs
	return c, true
}

// foldContent makes one edit of two, of which the second drops the first. What the first did besides, if the file
// had to be brought back for it, stays.
func foldContent(a, b SetContent) (Op, bool) {
	if !droppedBy(&a.Version, b) || a.Version.By != b.Version.By || !equalPaths(a.Path, b.Path) {
		return nil, false
	}
	b.Replaces, b.Drops, b.Time = a.Replaces, a.Drops, a.Time
	return b, b.Version.ID != a.Version.ID && !contains(b.Replaces, b.Version.ID)
}
