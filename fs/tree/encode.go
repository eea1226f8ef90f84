package tree

import (
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Flags of a version.
const (
	flagQuiet = 1 << iota
	flagPending
	flagInline // in the state: the bytes have a record of their own
)

// Encode returns an event's body: the array of its ops.
func Encode(ops ...Op) []byte {
	size := 8
	for _, op := range ops {
		size += room(op)
	}
	b := putArray(make([]byte, 0, size), len(ops))
	for _, op := range ops {
		b = op.put(b)
	}
	return b
}

// room is about how many bytes an op takes.
func room(op Op) int {
	size := 160
	var path Path
	switch o := op.(type) {
	case Create:
		size, path = size+len(o.Name)+len(o.Target), o.Path
	case SetContent:
		path = o.Path
	case Rename:
		path = o.Path
	}
	for _, s := range path {
		size += 20 + len(s.Name)
	}
	if v := versionOf(op); v != nil {
		size += 160 + len(v.Inline)
	}
	return size
}

// putOp begins an op of n fields.
func putOp(b []byte, code uint64, n int) []byte {
	return putUint(putArray(b, 1+n), code)
}

func (o Begin) put(b []byte) []byte {
	b = putOp(b, codeBegin, 2)
	b = putText(b, o.Reducer)
	return putInt(b, o.Time)
}

func (o Create) put(b []byte) []byte {
	b = putOp(b, codeCreate, 18)
	b = putID(b, o.ID)
	b = putID(b, o.Parent)
	b = putBytes(b, o.Name)
	b = putUint(b, uint64(o.Kind))
	b = putUint(b, uint64(o.Mode))
	b = putUint(b, uint64(o.UID))
	b = putUint(b, uint64(o.GID))
	b = putInt(b, o.Time)
	b = putInt(b, o.Mtime)
	b = putInt(b, o.Btime)
	b = putUint(b, uint64(o.Rdev))
	b = putBytes(b, o.Target)
	b = putArray(b, len(o.Xattrs))
	for _, x := range o.Xattrs {
		b = putArray(b, 2)
		b = putBytes(b, x.Name)
		b = putBytes(b, x.Val)
	}
	b = putVersion(b, o.Version)
	b = putGraft(b, o.Volume, o.Generation)
	b = putText(b, o.By)
	b = putUint(b, uint64(o.Chosen))
	return putPath(b, o.Path)
}

// putGraft writes null for what is no graft.
func putGraft(b []byte, v identity.VolumeID, gen uint64) []byte {
	if v == (identity.VolumeID{}) {
		return append(b, cborNull)
	}
	return putUint(putID(putArray(b, 2), v), gen)
}

// putVersion writes a version as ops carry it.
func putVersion(b []byte, v *Version) []byte {
	if v == nil {
		return append(b, cborNull)
	}
	b = putArray(b, 7)
	b = putID(b, v.ID)
	b = putInt(b, v.Size)
	b = putInt(b, v.Time)
	b = putText(b, v.By)
	flags := uint64(0)
	if v.Quiet {
		flags |= flagQuiet
	}
	if v.Pending {
		flags |= flagPending
	}
	b = putUint(b, flags)
	b = putBytes(b, v.Inline)
	return putWhere(b, v)
}

// putWhere writes where a version's bytes are if they are not its own inline ones; null for nowhere else.
func putWhere(b []byte, v *Version) []byte {
	if v.Like != (VersionID{}) {
		return putID(b, v.Like)
	}
	return putContent(b, v.Content)
}

// putContent writes null for no content.
func putContent(b []byte, c ipld.Content) []byte {
	if c == (ipld.Content{}) {
		return append(b, cborNull)
	}
	b = putArray(b, 3)
	b = putInt(b, c.Size)
	b = putUint(b, uint64(c.Depth))
	b = putArray(b, 2)
	if c.Root.CID.IsZero() {
		b = append(b, cborNull)
	} else {
		b = append(append(b, cidTag...), c.Root.CID[:]...)
	}
	return putBytes(b, c.Root.Key[:])
}

func putPath(b []byte, p Path) []byte {
	b = putArray(b, len(p))
	for _, s := range p {
		b = putArray(b, 2)
		b = putID(b, s.Dir)
		b = putBytes(b, s.Name)
	}
	return b
}

func (o Link) put(b []byte) []byte {
	b = putOp(b, codeLink, 5)
	b = putID(b, o.ID)
	b = putID(b, o.Parent)
	b = putBytes(b, o.Name)
	b = putInt(b, o.Time)
	return putPath(b, o.Path)
}

func (o Unlink) put(b []byte) []byte {
	b = putOp(b, codeUnlink, 5)
	b = putID(b, o.ID)
	b = putID(b, o.Parent)
	b = putBytes(b, o.Name)
	b = putIDs(b, o.Heads)
	return putInt(b, o.Time)
}

func (o Rename) put(b []byte) []byte {
	b = putOp(b, codeRename, 9)
	b = putID(b, o.ID)
	b = putID(b, o.From)
	b = putBytes(b, o.OldName)
	b = putID(b, o.To)
	b = putBytes(b, o.NewName)
	b = putID(b, o.Replaced)
	b = putIDs(b, o.ReplacedHeads)
	b = putInt(b, o.Time)
	return putPath(b, o.Path)
}

func (o Exchange) put(b []byte) []byte {
	b = putOp(b, codeExchange, 7)
	b = putID(b, o.A)
	b = putID(b, o.DirA)
	b = putBytes(b, o.NameA)
	b = putID(b, o.B)
	b = putID(b, o.DirB)
	b = putBytes(b, o.NameB)
	return putInt(b, o.Time)
}

func (o Save) put(b []byte) []byte {
	b = putOp(b, codeSave, 10)
	b = putID(b, o.Target)
	b = putIDs(b, o.TargetHeads)
	b = putID(b, o.Dir)
	b = putBytes(b, o.Name)
	b = putID(b, o.Source)
	b = putID(b, o.FromDir)
	b = putBytes(b, o.FromName)
	b = putFlag(b, o.Aside)
	b = putInt(b, o.Time)
	return putPath(b, o.Path)
}

func putFlag(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func (o SetContent) put(b []byte) []byte {
	b = putOp(b, codeSetContent, 7)
	b = putID(b, o.ID)
	b = putVersion(b, &o.Version)
	b = putIDs(b, o.Replaces)
	b = putIDs(b, o.Drops)
	b = putInt(b, o.Mtime)
	b = putInt(b, o.Time)
	return putPath(b, o.Path)
}

func (o SetAttr) put(b []byte) []byte {
	b = putOp(b, codeSetAttr, 6)
	b = putID(b, o.ID)
	b = putUint(b, uint64(o.Set))
	b = putUint(b, uint64(o.Mode))
	b = putUint(b, uint64(o.UID))
	b = putUint(b, uint64(o.GID))
	return putInt(b, o.Mtime)
}

func (o SetXattr) put(b []byte) []byte {
	b = putOp(b, codeSetXattr, 4)
	b = putID(b, o.ID)
	b = putBytes(b, o.Name)
	b = putBytes(b, o.Val)
	return putFlag(b, o.Remove)
}

func (o Merge) put(b []byte) []byte {
	b = putOp(b, codeMerge, 9)
	b = putID(b, o.ID)
	b = putIDs(b, o.Heads)
	b = putIDs(b, o.Joins)
	b = putIDs(b, o.Parts)
	b = putID(b, o.Result)
	b = putVersion(b, o.Version)
	b = putArray(b, len(o.Copies))
	for _, c := range o.Copies {
		b = putID(putID(putArray(b, 2), c.ID), c.Head)
	}
	b = putInt(b, o.Mtime)
	return putInt(b, o.Time)
}
