package tree

import (
	"bytes"
	"fmt"
	"math"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Decode reads an event's body. It fails for what Encode does not write, for ops and forms that it does not
// know, and beyond the bounds above. What it returns lies in body.
func Decode(body []byte) ([]Op, error) {
	s := scanner{b: body}
	n := s.array(MaxOps)
	if s.bad || n == 0 {
		return nil, fmt.Errorf("decode event: no ops: %w", errForm)
	}
	ops := make([]Op, 0, min(n, 16))
	for range n {
		op, ok := s.op()
		if !ok || s.bad {
			return nil, fmt.Errorf("decode op %d: %w", len(ops), errForm)
		}
		ops = append(ops, op)
	}
	if !s.end() {
		return nil, fmt.Errorf("decode event: bytes behind the last op: %w", errForm)
	}
	return ops, nil
}

// op reads one op, and reports whether it asks what can be asked.
func (s *scanner) op() (Op, bool) {
	n := s.array(32)
	code := s.uint(math.MaxUint64)
	fields := n - 1
	switch {
	case code == codeBegin && fields == 2:
		o := Begin{Reducer: s.text(MaxName), Time: s.int()}
		return o, o.Reducer != ""
	case code == codeCreate && fields == 18:
		return s.create()
	case code == codeLink && fields == 5:
		o := Link{ID: s.file(), Parent: s.file(), Name: s.name(), Time: s.int(), Path: s.path()}
		return o, o.ID != RootID
	case code == codeUnlink && fields == 5:
		o := Unlink{ID: s.file(), Parent: s.file(), Name: s.name(), Heads: s.versions(), Time: s.int()}
		return o, o.ID != RootID
	case code == codeRename && fields == 9:
		o := Rename{
			ID: s.file(), From: s.file(), OldName: s.name(), To: s.file(), NewName: s.name(),
			Replaced: scanID[FileID](s), ReplacedHeads: s.versions(), Time: s.int(), Path: s.path(),
		}
		return o, o.ID != RootID && o.Replaced != RootID
	case code == codeExchange && fields == 7:
		o := Exchange{
			A: s.file(), DirA: s.file(), NameA: s.name(), B: s.file(), DirB: s.file(), NameB: s.name(), Time: s.int(),
		}
		return o, o.A != RootID && o.B != RootID && o.A != o.B
	case code == codeSave && fields == 10:
		o := Save{
			Target: s.file(), TargetHeads: s.versions(), Dir: s.file(), Name: s.name(),
			Source: s.file(), FromDir: s.file(), FromName: s.name(), Aside: s.flag(), Time: s.int(), Path: s.path(),
		}
		return o, o.Target != RootID && o.Source != RootID && o.Target != o.Source
	case code == codeSetContent && fields == 7:
		return s.setContent()
	case code == codeSetAttr && fields == 6:
		o := SetAttr{
			ID: s.file(), Set: Fields(s.uint(uint64(allFields))), Mode: uint32(s.uint(modeBits)),
			UID: s.uint32(), GID: s.uint32(), Mtime: s.int(),
		}
		return o, o == o.only()
	case code == codeSetXattr && fields == 4:
		o := SetXattr{ID: s.file(), Name: s.xattrName(), Val: s.bytes(MaxXattrValue), Remove: s.flag()}
		return o, !o.Remove || len(o.Val) == 0
	case code == codeMerge && fields == 9:
		return s.merge()
	}
	return nil, false
}

func (s *scanner) uint32() uint32 { return uint32(s.uint(math.MaxUint32)) }

func (s *scanner) flag() bool { return s.uint(1) == 1 }

func (s *scanner) versions() []VersionID { return scanIDs[VersionID](s, MaxHeads) }

// file reads an id that is not zero.
func (s *scanner) file() FileID {
	id := scanID[FileID](s)
	if id == (FileID{}) {
		s.fail()
	}
	return id
}

func (s *scanner) xattrName() []byte {
	v := s.bytes(MaxXattrName)
	if len(v) == 0 || bytes.IndexByte(v, 0) >= 0 {
		s.fail()
	}
	return v
}

func (s *scanner) path() Path {
	n := s.array(MaxPath)
	if n == 0 || s.bad {
		return nil
	}
	p := make(Path, 0, min(n, 64))
	for range n {
		s.exactly(2)
		p = append(p, Step{Dir: s.file(), Name: s.name()})
		if s.bad {
			return nil
		}
	}
	return p
}

func (s *scanner) create() (Op, bool) {
	o := Create{
		ID: s.file(), Parent: s.file(), Name: s.name(), Kind: Kind(s.uint(uint64(Graft))),
		Mode: uint32(s.uint(modeBits)), UID: s.uint32(), GID: s.uint32(),
		Time: s.int(), Mtime: s.int(), Btime: s.int(), Rdev: s.uint32(), Target: s.bytes(MaxTarget),
		Xattrs: s.xattrs(), Version: s.version(),
	}
	if !s.null() {
		s.exactly(2)
		o.Volume, o.Generation = scanID[identity.VolumeID](s), s.uint(math.MaxUint64)
		if o.Volume == (identity.VolumeID{}) {
			s.fail()
		}
	}
	o.By, o.Chosen, o.Path = s.text(MaxBy), Fields(s.uint(uint64(allFields))), s.path()
	ok := o.ID != RootID && o.Kind.valid() &&
		(o.Kind == Symlink) == (len(o.Target) > 0) &&
		(o.Kind == Graft) == (o.Volume != identity.VolumeID{}) &&
		(o.Kind == File || o.Version == nil)
	return o, ok
}

// xattrs reads attributes in the order of their names, each once.
func (s *scanner) xattrs() []Xattr {
	n := s.array(MaxXattrs)
	if n == 0 || s.bad {
		return nil
	}
	xs := make([]Xattr, 0, min(n, 16))
	for i := range n {
		s.exactly(2)
		xs = append(xs, Xattr{Name: s.xattrName(), Val: s.bytes(MaxXattrValue)})
		if s.bad || i > 0 && bytes.Compare(xs[i-1].Name, xs[i].Name) >= 0 {
			s.fail()
			return nil
		}
	}
	return xs
}

// version reads a version as ops carry it, or null.
func (s *scanner) version() *Version {
	if s.null() {
		return nil
	}
	s.exactly(7)
	v := &Version{ID: scanID[VersionID](s), Size: s.int(), Time: s.int(), By: s.text(MaxBy)}
	flags := s.uint(flagQuiet | flagPending)
	v.Quiet, v.Pending = flags&flagQuiet != 0, flags&flagPending != 0
	v.Inline = s.bytes(MaxInline)
	s.where(v)
	if !v.valid() {
		s.fail()
	}
	return v
}

// where reads what putWhere writes.
func (s *scanner) where(v *Version) {
	if len(s.b) == 0 || s.b[0] != majorBytes|16 {
		v.Content = s.content()
		return
	}
	if v.Like = scanID[VersionID](s); v.Like == (VersionID{}) {
		s.fail()
	}
}

func (s *scanner) content() (c ipld.Content) {
	if s.null() {
		return c
	}
	s.exactly(3)
	c.Size, c.Depth = s.int(), uint8(s.uint(math.MaxUint8))
	s.exactly(2)
	c.Root.CID = s.cid()
	s.fixed(c.Root.Key[:])
	if c == (ipld.Content{}) {
		s.fail()
	}
	return c
}

// cid reads a DAG-CBOR link, or null for none.
func (s *scanner) cid() (c ipld.CID) {
	if s.null() {
		return c
	}
	n := len(cidTag) + len(c)
	if len(s.b) < n || string(s.b[:len(cidTag)]) != cidTag {
		s.fail()
		return c
	}
	c, err := ipld.CIDFromBytes(s.b[len(cidTag):n])
	if err != nil {
		s.fail()
		return c
	}
	s.b = s.b[n:]
	return c
}

func (s *scanner) setContent() (Op, bool) {
	o := SetContent{ID: s.file()}
	v := s.version()
	o.Replaces, o.Drops, o.Mtime, o.Time, o.Path = s.versions(), s.versions(), s.int(), s.int(), s.path()
	if v == nil {
		return nil, false
	}
	o.Version = *v
	return o, o.ID != RootID && distinct(o.Replaces) && !contains(o.Replaces, v.ID) && within(o.Drops, o.Replaces)
}

func (s *scanner) merge() (Op, bool) {
	o := Merge{
		ID: s.file(), Heads: s.versions(),
		Joins: scanIDs[FileID](s, MaxHeads), Parts: scanIDs[FileID](s, MaxHeads),
		Result: scanID[VersionID](s), Version: s.version(),
	}
	n := s.array(MaxHeads)
	for range n {
		s.exactly(2)
		o.Copies = append(o.Copies, Copy{ID: s.file(), Head: scanID[VersionID](s)})
		if s.bad {
			break
		}
	}
	o.Mtime, o.Time = s.int(), s.int()
	return o, !s.bad && o.valid()
}

// valid reports whether the parts of a merge fit together.
func (o *Merge) valid() bool {
	ids := append(append([]FileID{o.ID, RootID}, o.Joins...), o.Parts...)
	for _, c := range o.Copies {
		ids = append(ids, c.ID)
		if !contains(o.Heads, c.Head) {
			return false
		}
	}
	if !distinct(ids) || !distinct(o.Heads) {
		return false
	}
	switch {
	case len(o.Heads) == 0:
		return o.Version == nil && o.Result == VersionID{}
	case o.Version == nil:
		return contains(o.Heads, o.Result)
	}
	return o.Result == o.Version.ID && !contains(o.Heads, o.Result)
}

// only returns o without values of fields that it does not set.
func (o SetAttr) only() SetAttr {
	p := SetAttr{ID: o.ID, Set: o.Set}
	if o.Set&FieldMode != 0 {
		p.Mode = o.Mode
	}
	if o.Set&FieldUID != 0 {
		p.UID = o.UID
	}
	if o.Set&FieldGID != 0 {
		p.GID = o.GID
	}
	if o.Set&FieldMtime != 0 {
		p.Mtime = o.Mtime
	}
	return p
}
