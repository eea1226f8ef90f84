package tree

import (
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// An Op is one operation of an event. All times are ns since 1970 UTC by the author's clock. An op on which
// the state depends carries its own time.
type Op interface {
	code() uint64
	put(b []byte) []byte
	// visit calls fn for every file id that the op names, but for those in a Path.
	visit(fn func(FileID))
}

// Codes of ops, the first element of each. They are part of the format.
const (
	codeBegin uint64 = iota
	codeCreate
	codeLink
	codeUnlink
	codeRename
	codeExchange
	codeSave
	codeSetContent
	codeSetAttr
	codeSetXattr
	codeMerge
)

// Begin is a volume's first op: it names the reducer and its version, and makes the root. A later one
// that names another reducer ends what this one applies.
type Begin struct {
	Reducer string
	Time    int64
}

// Create makes a file of any kind, with everything that followed before the event left its device.
type Create struct {
	ID           FileID
	Parent       FileID
	Name         []byte
	Kind         Kind
	Mode         uint32 // 07777
	UID, GID     uint32
	Time         int64 // becomes the parent's mtime
	Mtime, Btime int64
	Rdev         uint32
	Target       []byte // of a symbolic link
	Xattrs       []Xattr
	Version      *Version          // nil: a file without content; nil for all other kinds
	Volume       identity.VolumeID // of a graft
	Generation   uint64            // of a graft
	By           string            // the device's name
	Chosen       Fields            // what a SetAttr set: it also holds for a directory that has the name already
	Path         Path              // to Parent
}

// An Xattr is an extended attribute.
type Xattr struct {
	_    struct{} `cbor:",toarray"`
	Name []byte
	Val  []byte
}

// Link gives a file one more name.
type Link struct {
	ID     FileID
	Parent FileID
	Name   []byte
	Time   int64
	Path   Path // to Parent
}

// Unlink removes a name; of a directory, if it is empty then. Heads are those that the author saw: a file
// with others stays.
type Unlink struct {
	ID     FileID
	Parent FileID
	Name   []byte
	Heads  []VersionID
	Time   int64
}

// Rename moves a name. Replaced bore the new name (zero: nothing did), with the heads that the author saw:
// if it has others, it is kept beside under a conflict name.
type Rename struct {
	ID            FileID
	From          FileID
	OldName       []byte
	To            FileID
	NewName       []byte
	Replaced      FileID
	ReplacedHeads []VersionID
	Time          int64
	Path          Path // to To
}

// Exchange swaps two names.
type Exchange struct {
	A     FileID
	DirA  FileID
	NameA []byte
	B     FileID
	DirB  FileID
	NameB []byte
	Time  int64
}

// Save is an atomic save seen as what it means: an edit of Target, made by putting Source in its place.
// Target takes over Source's heads, in place of TargetHeads, its mode, owner, mtime and xattrs; Source loses its name and
// becomes an alias of Target. If either has several names it is a Rename that replaces.
//
// With Aside, the author had first moved Target from (Dir, Name) to another name, or removed it, and then
// made Source under the name: Target comes back to the name, and Source takes the other name, with the content of
// TargetHeads and Target's former attributes.
type Save struct {
	Target      FileID
	TargetHeads []VersionID
	Dir         FileID
	Name        []byte
	Source      FileID
	FromDir     FileID // where Source was; with Aside: Dir
	FromName    []byte // with Aside: Name
	Aside       bool
	Time        int64
	Path        Path // to Dir
}

// SetContent is an edit: Version takes the place of Replaces, the heads that the program's open had shown
// it. Drops lists those of Replaces that are quiet versions of the same edit, by the same device, whose
// content was sealed when the op was made: their records go.
type SetContent struct {
	ID       FileID
	Version  Version
	Replaces []VersionID
	Drops    []VersionID
	Mtime    int64
	Time     int64
	Path     Path // to the file: its last step is the file's own name
}

// Fields says which attributes a SetAttr sets.
type Fields uint8

const (
	FieldMode Fields = 1 << iota
	FieldUID
	FieldGID
	FieldMtime
	allFields = FieldMode | FieldUID | FieldGID | FieldMtime
)

// SetAttr sets attributes, each by itself.
type SetAttr struct {
	ID       FileID
	Set      Fields
	Mode     uint32
	UID, GID uint32
	Mtime    int64
}

// SetXattr sets one extended attribute, or removes it.
type SetXattr struct {
	ID     FileID
	Name   []byte
	Val    []byte
	Remove bool
}

// Merge ends a conflict. It counts only if every one of Heads is still a head of ID or of one of Joins, and every one of
// Joins and Parts still claims one and the same name of ID's beside it.
type Merge struct {
	ID     FileID
	Heads  []VersionID
	Joins  []FileID  // become aliases of ID
	Parts  []FileID  // get conflict names
	Result VersionID // one of Heads, or Version's
	// Version is the merged content; nil if Result is one of Heads, and then the others end without a successor.
	Version *Version
	Copies  []Copy
	Mtime   int64 // of ID
	Time    int64
}

// A Copy is a file made beside a merged one, under a conflict name, with one of the heads.
type Copy struct {
	_    struct{} `cbor:",toarray"`
	ID   FileID   // drawn for it
	Head VersionID
}

// A Version is what one edit left of a file. In ops, Prev and Device are not written: the state knows them. From the state,
// Inline is empty: Body reads it.
type Version struct {
	ID      VersionID
	Prev    []VersionID // what it replaced
	Size    int64
	Time    int64
	Device  identity.DeviceID
	By      string       // the device's name
	Inline  []byte       // small content
	Like    VersionID    // small content that another version has: see TakeContent
	Content ipld.Content // larger content; zero if inline, pending or empty
	Quiet   bool         // no close ended it
	Pending bool         // its content is still being sealed: only ever on its own device
	inline  bool         // read from the state: it has bytes of its own there
}

// IsInline reports whether the version's content is in the log itself, and so in the state: Body has it.
func (v *Version) IsInline() bool { return v.hasBody() || v.Like != VersionID{} }

// hasBody reports whether the version's content stands behind its own id.
func (v *Version) hasBody() bool { return v.inline || len(v.Inline) > 0 }

// valid reports whether v says in exactly one way where its bytes are.
func (v *Version) valid() bool {
	ways := 0
	if len(v.Inline) > 0 {
		if int64(len(v.Inline)) != v.Size {
			return false
		}
		ways++
	}
	if v.Like != (VersionID{}) {
		ways++
	}
	if v.Content != (ipld.Content{}) {
		if v.Content.Size != v.Size || v.Content.Check() != nil {
			return false
		}
		ways++
	}
	if v.Pending {
		ways++
	}
	return v.Size >= 0 && v.ID != VersionID{} && v.ID != v.Like && (ways == 1 && v.Size > 0 || ways == 0 && v.Size == 0)
}

func (Begin) code() uint64      { return codeBegin }
func (Create) code() uint64     { return codeCreate }
func (Link) code() uint64       { return codeLink }
func (Unlink) code() uint64     { return codeUnlink }
func (Rename) code() uint64     { return codeRename }
func (Exchange) code() uint64   { return codeExchange }
func (Save) code() uint64       { return codeSave }
func (SetContent) code() uint64 { return codeSetContent }
func (SetAttr) code() uint64    { return codeSetAttr }
func (SetXattr) code() uint64   { return codeSetXattr }
func (Merge) code() uint64      { return codeMerge }

func (Begin) visit(func(FileID))           {}
func (o Create) visit(fn func(FileID))     { fn(o.ID); fn(o.Parent) }
func (o Link) visit(fn func(FileID))       { fn(o.ID); fn(o.Parent) }
func (o Unlink) visit(fn func(FileID))     { fn(o.ID); fn(o.Parent) }
func (o Rename) visit(fn func(FileID))     { fn(o.ID); fn(o.From); fn(o.To); fn(o.Replaced) }
func (o Exchange) visit(fn func(FileID))   { fn(o.A); fn(o.DirA); fn(o.B); fn(o.DirB) }
func (o SetContent) visit(fn func(FileID)) { fn(o.ID) }
func (o SetAttr) visit(fn func(FileID))    { fn(o.ID) }
func (o SetXattr) visit(fn func(FileID))   { fn(o.ID) }

func (o Save) visit(fn func(FileID)) { fn(o.Target); fn(o.Dir); fn(o.Source); fn(o.FromDir) }

func (o Merge) visit(fn func(FileID)) {
	fn(o.ID)
	for _, id := range o.Joins {
		fn(id)
	}
	for _, id := range o.Parts {
		fn(id)
	}
	for _, c := range o.Copies {
		fn(c.ID)
	}
}
