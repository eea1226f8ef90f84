package tree

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/rhizome-fs/rhizome/identity"
)

// Kinds of state records, each key's first byte. docs/formats/tree.md says what follows.
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

const minCookie = 16 // what is below is for readers of directories: start, "." and ".."

// cookieOf is a name's place in its directory's listing: for ever the same, and positive as an int64.
func cookieOf(name []byte) uint64 {
	return max(xxhash.Sum64(name)>>1, minCookie)
}

func idKey[ID ~[16]byte](kind byte, id ID) []byte {
	k := make([]byte, 17)
	k[0] = kind
	copy(k[1:], id[:])
	return k
}

func inodeKey(id FileID) []byte             { return idKey(keyInode, id) }
func versionKey(id VersionID) []byte        { return idKey(keyVersion, id) }
func bodyKey(id VersionID) []byte           { return idKey(keyBody, id) }
func volumeKey(id identity.VolumeID) []byte { return idKey(keyVolume, id) }

// id and rest: 'n', 'x' and 'q' keys.
func idKeyWith[ID ~[16]byte](kind byte, id ID, more int) []byte {
	k := make([]byte, 17, 17+more)
	k[0] = kind
	copy(k[1:], id[:])
	return k
}

func direntKey(dir FileID, name []byte) []byte {
	k := idKeyWith(keyDirent, dir, 8+len(name))
	k = binary.BigEndian.AppendUint64(k, cookieOf(name))
	return append(k, name...)
}

func nameKey(id, dir FileID, name []byte) []byte {
	k := idKeyWith(keyName, id, 16+len(name))
	return append(append(k, dir[:]...), name...)
}

func xattrKey(id FileID, name []byte) []byte {
	return append(idKeyWith(keyXattr, id, len(name)), name...)
}

func pastKey(id FileID, v VersionID) []byte {
	return append(idKeyWith(keyPast, id, 16), v[:]...)
}

func headsKey(id FileID) []byte {
	return append([]byte{keyConflict, 'h'}, id[:]...)
}

func claimsKey(dir FileID, name []byte) []byte {
	d := direntKey(dir, name)
	return append(append(make([]byte, 0, 1+len(d)), keyConflict, 'n'), d[1:]...)
}

func genKey(name []byte) []byte {
	return append(append(make([]byte, 0, 1+len(name)), keyGen), name...)
}
