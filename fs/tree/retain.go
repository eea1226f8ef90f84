package tree

import "github.com/rhizome-fs/rhizome/eventlog"

// Past calls fn for every version that some file shows no more, perhaps several times for one: those that another one has replaced, and the heads of
// dead files; with the time until which it was shown, by the clock of whoever ended that. What a merge may need is not among them: the
// ancestors of a file's several heads. Another file may still have a version as its head: see LivingHeads.
func Past(r eventlog.Reader, fn func(id VersionID, until int64)) {
	alive := mergeAncestors(r)
	tell := func(id VersionID, until int64) {
		if !alive[id] {
			fn(id, until)
		}
	}
	r.Scan([]byte{keyVersion}, nil, func(k, rec []byte) bool {
		if v, ok := parseVersion(VersionID(k[1:]), rec); ok {
			for _, p := range v.Prev {
				tell(p, v.Time)
			}
		}
		return true
	})
	r.Scan([]byte{keyParents}, nil, func(k, _ []byte) bool {
		id := VersionID(k[1:])
		if v, ok := GetVersion(r, id); ok {
			for _, p := range savedOver(r, id) {
				tell(p, v.Time)
			}
		}
		return true
	})
	r.Scan([]byte{keyDead}, nil, func(k, _ []byte) bool {
		if ino, ok := GetDead(r, FileID(k[1:])); ok {
			for _, h := range ino.Heads {
				tell(h.ID, ino.Gone)
			}
		}
		return true
	})
}

// mergeAncestors are the versions from which the heads of a file with several came.
func mergeAncestors(r eventlog.Reader) map[VersionID]bool {
	alive := make(map[VersionID]bool)
	r.Scan([]byte{keyConflict, 'h'}, nil, func(k, _ []byte) bool {
		if ino, ok := GetInode(r, FileID(k[2:])); ok {
			for _, h := range ino.Heads {
				keepAncestors(r, h.ID, alive)
			}
		}
		return true
	})
	return alive
}

func keepAncestors(r eventlog.Reader, id VersionID, alive map[VersionID]bool) {
	for todo := []VersionID{id}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !alive[id] {
			alive[id] = true
			todo = append(todo, Parents(r, id)...)
		}
	}
}

// RecordHeads calls fn for the heads in a record of the state, or of a before-image, if it is that of an inode.
func RecordHeads(key, rec []byte, fn func(VersionID)) {
	if len(key) != 17 || key[0] != keyInode {
		return
	}
	ino, _, ok := parseInode(FileID(key[1:]), rec)
	for _, h := range ino.Heads {
		if ok {
			fn(h.ID)
		}
	}
}

// Outlived deletes from ids the versions that one edit of the same device has replaced, and nothing else with them: whatever comes before that
// edit, it replaces them.
func Outlived(r eventlog.Reader, ids map[VersionID]bool) {
	r.Scan([]byte{keyVersion}, nil, func(k, rec []byte) bool {
		v, ok := parseVersion(VersionID(k[1:]), rec)
		if ok && len(v.Prev) == 1 && ids[v.Prev[0]] {
			if p, ok := GetVersion(r, v.Prev[0]); ok && p.Device == v.Device {
				delete(ids, p.ID)
			}
		}
		return true
	})
}

// LivingHeads calls fn for every head of every living file, until fn returns false.
func LivingHeads(r eventlog.Reader, fn func(Head) bool) {
	FilesFrom(r, nil, func(ino Inode) bool {
		for _, h := range ino.Heads {
			if !fn(h) {
				return false
			}
		}
		return true
	})
}
