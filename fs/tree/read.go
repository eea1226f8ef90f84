package tree

import (
	"encoding/binary"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// Canon returns the file that id stands for now: id itself, or what it has become part of.
func Canon(r eventlog.Reader, id FileID) FileID {
	for {
		rec, ok := r.Get(inodeKey(id))
		if !ok || len(rec) == 0 || rec[0] != majorArray|2 {
			return id
		}
		_, alias, ok := parseInode(id, rec)
		if !ok {
			return id
		}
		id = alias
	}
}

// GetInode reads the inode of a living file, through aliases: compare its ID with id. The root has one from
// the first event on.
func GetInode(r eventlog.Reader, id FileID) (Inode, bool) {
	i, ok := getAny(r, id)
	return i, ok && i.Nlink > 0
}

// GetDead reads the tombstone of a file that has lost its last name. Nlink is 0; Parent and Name are the last ones.
func GetDead(r eventlog.Reader, id FileID) (Inode, bool) {
	i, ok := getAny(r, id)
	return i, ok && i.Nlink == 0
}

func getAny(r eventlog.Reader, id FileID) (Inode, bool) {
	for {
		rec, ok := r.Get(inodeKey(id))
		if !ok {
			return Inode{}, false
		}
		i, alias, ok := parseInode(id, rec)
		if !ok {
			return Inode{}, false
		}
		if alias == (FileID{}) {
			return i, true
		}
		id = alias
	}
}

// A Dirent says which file a name shows.
type Dirent struct {
	ID   FileID
	Kind Kind
}

// Lookup finds a name in a directory. dir is not an alias.
func Lookup(r eventlog.Reader, dir FileID, name []byte) (Dirent, bool) {
	rec, ok := r.Get(direntKey(dir, name))
	if !ok {
		return Dirent{}, false
	}
	return firstClaim(rec)
}

// firstClaim reads the claim that is shown.
func firstClaim(rec []byte) (Dirent, bool) {
	s := scanner{b: rec}
	n := s.array(len(rec))
	d := Dirent{Kind: Kind(s.uint(uint64(Graft))), ID: scanID[FileID](&s)}
	return d, !s.bad && n >= 2
}

// Claims lists all files that bear a name, the one that is shown first.
func Claims(r eventlog.Reader, dir FileID, name []byte) []FileID {
	rec, ok := r.Get(direntKey(dir, name))
	if !ok {
		return nil
	}
	c, _ := parseClaims(rec)
	return c.ids
}

// ReadDir calls fn for the names in a directory whose cookies are greater than after, in the order of cookies, until it
// returns false. A name's cookie is at least 16, positive as an int64, and never changes; names that share one come one after the
// other, and whoever stops between them must go back before the first. The slice is valid during the call only.
func ReadDir(r eventlog.Reader, dir FileID, after uint64, fn func(cookie uint64, name []byte, d Dirent) bool) {
	prefix := idKey(keyDirent, dir)
	from := binary.BigEndian.AppendUint64(append(make([]byte, 0, 25), prefix...), after+1)
	if after+1 == 0 {
		return
	}
	r.Scan(prefix, from, func(k, v []byte) bool {
		d, ok := firstClaim(v)
		return !ok || fn(binary.BigEndian.Uint64(k[17:25]), k[25:], d)
	})
}

// ReadClaims is ReadDir with all files that bear each name, the one that is shown first.
func ReadClaims(r eventlog.Reader, dir FileID, after uint64, fn func(cookie uint64, name []byte, ids []FileID) bool) {
	if after+1 == 0 {
		return
	}
	prefix := idKey(keyDirent, dir)
	from := binary.BigEndian.AppendUint64(append(make([]byte, 0, 25), prefix...), after+1)
	r.Scan(prefix, from, func(k, v []byte) bool {
		c, ok := parseClaims(v)
		return !ok || fn(binary.BigEndian.Uint64(k[17:25]), k[25:], c.ids)
	})
}

// FilesFrom calls fn for the living files whose ids begin with prefix until it returns false.
func FilesFrom(r eventlog.Reader, prefix []byte, fn func(Inode) bool) {
	r.Scan(append([]byte{keyInode}, prefix...), nil, func(k, v []byte) bool {
		if len(k) != 17 {
			return true
		}
		ino, alias, ok := parseInode(FileID(k[1:]), v)
		return !ok || alias != (FileID{}) || ino.Nlink == 0 || fn(ino)
	})
}

// GetXattr reads an extended attribute of a living or dead file. id is not an alias.
func GetXattr(r eventlog.Reader, id FileID, name []byte) ([]byte, bool) {
	return r.Get(xattrKey(id, name))
}

// Xattrs calls fn for a file's extended attributes in the order of their names until it returns false. id is
// not an alias; the slices are valid during the call only.
func Xattrs(r eventlog.Reader, id FileID, fn func(name, val []byte) bool) {
	prefix := idKey(keyXattr, id)
	r.Scan(prefix, nil, func(k, v []byte) bool { return fn(k[17:], v) })
}

// Names lists the names of a living file, hidden claims too. id is not an alias.
func Names(r eventlog.Reader, id FileID) []Step {
	i, ok := GetInode(r, id)
	if !ok || id == RootID {
		return nil
	}
	names := []Step{{Dir: i.Parent, Name: i.Name}}
	if i.Nlink == 1 {
		return names
	}
	r.Scan(idKey(keyName, i.ID), nil, func(k, _ []byte) bool {
		names = append(names, Step{Dir: FileID(k[17:33]), Name: clone(k[33:])})
		return true
	})
	return names
}

// PathOf leads from the root to a living file by the name in its inode. The root's path is empty.
func PathOf(r eventlog.Reader, id FileID) (Path, bool) {
	var p Path
	for id != RootID {
		i, ok := GetInode(r, id)
		if !ok {
			return nil, false
		}
		if i.ID == RootID {
			break
		}
		p = append(p, Step{Dir: i.Parent, Name: i.Name})
		id = i.Parent
	}
	for a, b := 0, len(p)-1; a < b; a, b = a+1, b-1 {
		p[a], p[b] = p[b], p[a]
	}
	return p, true
}

// IsBelow reports whether dir is id or below it.
func IsBelow(r eventlog.Reader, dir, id FileID) bool {
	for dir != id && dir != RootID {
		i, ok := GetInode(r, dir)
		if !ok {
			return false
		}
		if i.ID == id {
			return true
		}
		dir = i.Parent
	}
	return dir == id
}

// Walk calls fn for every living file below dir, directories before what is in them, until fn returns false. path are the names
// from dir; it is valid during the call only.
func Walk(r eventlog.Reader, dir FileID, fn func(path [][]byte, d Dirent) bool) {
	walk(r, dir, nil, fn)
}

func walk(r eventlog.Reader, dir FileID, path [][]byte, fn func(path [][]byte, d Dirent) bool) bool {
	type entry struct {
		name []byte
		d    Dirent
	}
	var entries []entry
	ReadDir(r, dir, 0, func(_ uint64, name []byte, d Dirent) bool {
		entries = append(entries, entry{clone(name), d})
		return true
	})
	for _, e := range entries {
		p := append(path, e.name)
		if !fn(p, e.d) || e.d.Kind == Dir && !walk(r, e.d.ID, p, fn) {
			return false
		}
	}
	return true
}

// Generation is the number for a new volume of that name: one more than the highest that had it.
func Generation(r eventlog.Reader, name []byte) uint64 {
	rec, ok := r.Get(genKey(name))
	if !ok {
		return 1
	}
	s := scanner{b: rec}
	return s.uint(1<<63) + 1
}

// Reachable calls fn for every version that the state keeps and that has blocks, of dead files too, until it returns an error: what
// garbage collection must keep.
func Reachable(r eventlog.Reader, fn func(Version) error) (err error) {
	r.Scan([]byte{keyVersion}, nil, func(k, rec []byte) bool {
		err = ReachableRecord(k, rec, fn)
		return err == nil
	})
	return err
}

// ReachableRecord is Reachable for one record of the state, or of a before-image.
func ReachableRecord(key, rec []byte, fn func(Version) error) error {
	if len(key) != 17 || key[0] != keyVersion {
		return nil
	}
	v, ok := parseVersion(VersionID(key[1:]), rec)
	if !ok || v.Content.Root.CID.IsZero() {
		return nil
	}
	return fn(v)
}

// Changed tells from keys of state records which inodes and which names in directories have changed.
func Changed(keys [][]byte, inode func(FileID), entry func(dir FileID, name []byte)) {
	for _, k := range keys {
		switch {
		case len(k) == 17 && k[0] == keyInode:
			inode(FileID(k[1:]))
		case len(k) > 17 && k[0] == keyXattr: // an ACL is what the kernel keeps of an inode
			inode(FileID(k[1:17]))
		case len(k) > 25 && k[0] == keyDirent:
			entry(FileID(k[1:17]), k[25:])
		}
	}
}
