package tree

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/rhizome-fs/rhizome/identity"
)

// Kinds of state records, each key's first byte. docs/FORMATS.md says what follows.
const (
	keyInode    = 'i' // FileID: inode, tombstone or alias
	keyDirent   = 'd' // DirID, cookie (8), name: who claims the name
	keyName     = 'n' // FileID, DirID, name: a name besides the one in the inode
	keyXattr    = 'x' // FileID, name: value
	keyVersion  = 'v' // VersionID: version
	keyBody     = 'b' // VersionID: inline bytes
	keyParents  = 'p' // VersionID: what it also replaced, by a Save
	keyKept     = 'k' // VersionID: it may not be dropped
	keyPast     = 'q' // FileID, VersionID: a former head without a successor
	keyDead     = 't' // FileID: there is a tombstone
	keyConflict = 'c' // 'h', FileID: several heads; 'n', DirID, cookie (8), name: several claims
	keyVolume   = 'w' // VolumeID: its graft
	keyGen      = 'g' // name: the highest generation of a volume of that name
	keyStop     = 'z' // the later reducer that the volume names
)

// FreshFile calls fn for the keys that an op reads about a file whose id was drawn just now: nothing is there.
func FreshFile(id FileID, fn func(key []byte)) { fn(inodeKey(id)) }

// FreshVersion is FreshFile for a version.
func FreshVersion(id VersionID, fn func(key []byte)) {
	fn(versionKey(id))
	fn(bodyKey(id))
}

// VersionKey is the key of what a version is, BodyKey that of its bytes if they are in the state.
func VersionKey(id VersionID) []byte { return versionKey(id) }

// BodyKey: see VersionKey.
func BodyKey(v Version) []byte { return bodyKey(v.bodyAt()) }

// NamesPrefix is what the keys of all names in a directory begin with.
func NamesPrefix(dir FileID) []byte { return idKey(keyDirent, dir) }

// InodeKey is the key of a file's inode: for what stood behind it formerly.
func InodeKey(id FileID) []byte { return inodeKey(id) }

// DirentKey is the key of a name in a directory.
func DirentKey(dir FileID, name []byte) []byte { return direntKey(dir, name) }

// DeadKey is the key of what says that a file has lost its last name.
func DeadKey(id FileID) []byte { return idKey(keyDead, id) }

const minCookie = 16 // what is below is for readers of directories: start, "." and ".."

// Cookie is what ReadDir calls the place of a name in its directory.
func Cookie(name []byte) uint64 { return cookieOf(name) }

// cookieOf is a name's place in its directory's listing: for ever the same, and positive as an int64.
func cookieOf(name []byte) uint64 {
	return max(xxhash.Sum64(name)>>1, minCookie)
}

func putKey[ID ~[16]byte](b []byte, kind byte, id ID) []byte {
	return append(append(b, kind), id[:]...)
}

func putDirentKey(b []byte, kind byte, dir FileID, name []byte) []byte {
	b = putKey(b, kind, dir)
	b = binary.BigEndian.AppendUint64(b, cookieOf(name))
	return append(b, name...)
}

func putNameKey(b []byte, id, dir FileID, name []byte) []byte {
	b = putKey(b, keyName, id)
	return append(append(b, dir[:]...), name...)
}

func putXattrKey(b []byte, id FileID, name []byte) []byte {
	return append(putKey(b, keyXattr, id), name...)
}

func idKey[ID ~[16]byte](kind byte, id ID) []byte { return putKey(make([]byte, 0, 17), kind, id) }

func inodeKey(id FileID) []byte             { return idKey(keyInode, id) }
func versionKey(id VersionID) []byte        { return idKey(keyVersion, id) }
func bodyKey(id VersionID) []byte           { return idKey(keyBody, id) }
func volumeKey(id identity.VolumeID) []byte { return idKey(keyVolume, id) }

func direntKey(dir FileID, name []byte) []byte {
	return putDirentKey(make([]byte, 0, 25+len(name)), keyDirent, dir, name)
}

func nameKey(id, dir FileID, name []byte) []byte {
	return putNameKey(make([]byte, 0, 33+len(name)), id, dir, name)
}

func xattrKey(id FileID, name []byte) []byte {
	return putXattrKey(make([]byte, 0, 17+len(name)), id, name)
}

func pastKey(id FileID, v VersionID) []byte {
	return append(putKey(make([]byte, 0, 33), keyPast, id), v[:]...)
}

func headsKey(id FileID) []byte {
	return append([]byte{keyConflict, 'h'}, id[:]...)
}

func claimsKey(dir FileID, name []byte) []byte {
	b := append(make([]byte, 0, 26+len(name)), keyConflict)
	return putDirentKey(b, 'n', dir, name)
}

func genKey(name []byte) []byte {
	return append(append(make([]byte, 0, 1+len(name)), keyGen), name...)
}
