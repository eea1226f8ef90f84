package tree

import (
	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
)

// InodeOf reads what stood behind InodeKey(id): a living file or a dead one, and no alias. It keeps nothing of rec.
func InodeOf(id FileID, rec []byte) (Inode, bool) {
	i, alias, ok := parseInode(id, clone(rec))
	return i, ok && alias == (FileID{})
}

// DirentOf reads what stood behind a DirentKey.
func DirentOf(rec []byte) (Dirent, bool) { return firstClaim(rec) }

// SameBytes reports whether the first heads of two inodes, which may be of different moments, are known to have the same bytes.
func SameBytes(r eventlog.Reader, a, b Inode) bool {
	if a.Size() != b.Size() {
		return false
	}
	if a.Size() == 0 {
		return true
	}
	return a.Heads[0].ID == b.Heads[0].ID || sameAsAny(r, a.Heads[0].ID, []VersionID{b.Heads[0].ID})
}

// Subjects calls fn for every file that an op names, but for those in its path.
func Subjects(op Op, fn func(FileID)) { op.visit(fn) }

// GraftOf reads the graft that shows a volume, or the last one that did.
func GraftOf(r eventlog.Reader, v identity.VolumeID) (Inode, bool) {
	rec, ok := r.Get(volumeKey(v))
	if !ok || len(rec) != 16 {
		return Inode{}, false
	}
	return getAny(r, FileID(rec))
}
