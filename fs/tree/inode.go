package tree

import (
	"math"

	"github.com/rhizome-fs/rhizome/identity"
)

// A Head is a version that nobody has replaced yet.
type Head struct {
	_    struct{} `cbor:",toarray"`
	ID   VersionID
	Size int64
}

// An Inode is a file's state.
type Inode struct {
	ID           FileID // from the key
	Kind         Kind
	Mode         uint32 // 07777
	UID, GID     uint32
	Mtime, Btime int64
	Rdev         uint32
	Target       []byte
	// Heads in the order of their coming: the first one whose bytes are here is what programs see. Empty: no content.
	Heads []Head
	// Nlink is how many names the file has; 0: it is dead. A directory's st_nlink is 2+Subdirs.
	Nlink uint32
	// Parent and Name are a name of the file: the only one of nearly all. Of a dead file they are the last one.
	Parent  FileID
	Name    []byte
	Entries uint32 // of a directory: names in it
	Subdirs uint32 // of a directory: directories and grafts in it
	Volume  identity.VolumeID
	By      []byte // the name of the device that made it
	Xattrs  uint32 // how many it has
	Past    bool   // it has former heads without a successor
	Gone    int64  // when it died; 0 while it lives
}

// Size is the length of the content that is shown when every head's bytes are here.
func (i *Inode) Size() int64 {
	if len(i.Heads) == 0 {
		return 0
	}
	return i.Heads[0].Size
}

// HeadIDs lists the heads, for an op that replaces them.
func (i *Inode) HeadIDs() []VersionID {
	if len(i.Heads) == 0 {
		return nil
	}
	ids := make([]VersionID, len(i.Heads))
	for k, h := range i.Heads {
		ids[k] = h.ID
	}
	return ids
}

func (i *Inode) hasHead(v VersionID) bool {
	for _, h := range i.Heads {
		if h.ID == v {
			return true
		}
	}
	return false
}

// rootInode is the root before anything changed it.
func rootInode() Inode {
	return Inode{ID: RootID, Kind: Dir, Mode: 0o755, UID: Owner, GID: Owner, Nlink: 1}
}

// kindAlias is the kind in an alias's record.
const kindAlias = 0

const inodeFields = 19

func putInode(b []byte, i *Inode) []byte {
	b = putArray(b, inodeFields)
	b = putUint(b, uint64(i.Kind))
	b = putUint(b, uint64(i.Mode))
	b = putUint(b, uint64(i.UID))
	b = putUint(b, uint64(i.GID))
	b = putInt(b, i.Mtime)
	b = putInt(b, i.Btime)
	b = putUint(b, uint64(i.Rdev))
	b = putBytes(b, i.Target)
	b = putArray(b, len(i.Heads))
	for _, h := range i.Heads {
		b = putInt(putID(putArray(b, 2), h.ID), h.Size)
	}
	b = putUint(b, uint64(i.Nlink))
	b = putID(b, i.Parent)
	b = putBytes(b, i.Name)
	b = putUint(b, uint64(i.Entries))
	b = putUint(b, uint64(i.Subdirs))
	if i.Volume == (identity.VolumeID{}) {
		b = append(b, cborNull)
	} else {
		b = putID(b, i.Volume)
	}
	b = append(putHead(b, majorText, uint64(len(i.By))), i.By...)
	b = putUint(b, uint64(i.Xattrs))
	b = putFlag(b, i.Past)
	return putInt(b, i.Gone)
}

func putAlias(b []byte, target FileID) []byte {
	return putID(putUint(putArray(b, 2), kindAlias), target)
}

// parseInode reads a record of an inode. If it is that of an alias, alias is what it stands for.
func parseInode(id FileID, rec []byte) (i Inode, alias FileID, ok bool) {
	s := scanner{b: rec}
	n := s.array(inodeFields)
	i.ID, i.Kind = id, Kind(s.uint(uint64(Graft)))
	if i.Kind == kindAlias {
		alias = s.file()
		return i, alias, n == 2 && s.end()
	}
	i.Mode = uint32(s.uint(modeBits))
	i.UID, i.GID, i.Mtime, i.Btime, i.Rdev = s.uint32(), s.uint32(), s.int(), s.int(), s.uint32()
	i.Target = s.bytes(MaxTarget)
	if heads := s.array(math.MaxInt32); heads > 0 {
		i.Heads = make([]Head, heads)
		for k := range i.Heads {
			s.exactly(2)
			i.Heads[k] = Head{ID: scanID[VersionID](&s), Size: s.int()}
		}
	}
	i.Nlink, i.Parent, i.Name = s.uint32(), scanID[FileID](&s), s.bytes(MaxName)
	i.Entries, i.Subdirs = s.uint32(), s.uint32()
	if !s.null() {
		i.Volume = scanID[identity.VolumeID](&s)
	}
	i.By, i.Xattrs, i.Past, i.Gone = s.textBytes(MaxBy), s.uint32(), s.flag(), s.int()
	return i, alias, n == inodeFields && s.end()
}
