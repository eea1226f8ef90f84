package fs

import (
	"cmp"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A file that nobody has read or renamed since its last edit, and a directory that has changed by its names alone, have the times that
// their inode says anyway. Of these there is no device-local record: creating a file leaves none, and a lookup reads one record less.

// metaRecord says what is known of a file's device-local record.
type metaRecord uint8

const (
	recordMaybe   metaRecord = iota // there may be one
	recordNone                      // there is none
	recordWithIno                   // there is one, with an inode number that is not the derived one
)

// impliedMeta is what a file has of which there is no record.
func impliedMeta(ino *tree.Inode) localMeta {
	return localMeta{ctime: ino.Mtime, atime: cmp.Or(ino.Btime, ino.Mtime)}
}

// impliedBy reports whether m needs no record.
func (m *localMeta) impliedBy(ino *tree.Inode) bool {
	is := impliedMeta(ino)
	return m.ctime == is.ctime && m.atime == is.atime && m.ino == 0 && m.holes == 0
}

// meta reads a file's device-local record; it is zero if there is none.
func (v *Volume) meta(file tree.FileID) (m localMeta, ok bool) {
	v.log.Local(func(r eventlog.Reader) {
		var b []byte
		if b, ok = r.Get(localKey(localMetaKey, file)); ok {
			m = decodeMeta(b)
		}
	})
	return m, ok
}

// metaOf is what the device knows of a file that has no node.
func (v *Volume) metaOf(file tree.FileID, local bool) localMeta {
	m, ok := v.meta(file)
	if ok {
		return m
	}
	v.view(local, func(r eventlog.Reader) error {
		if ino, ok := tree.GetInode(r, file); ok {
			m = impliedMeta(&ino)
		}
		return nil
	})
	return m
}

// A metaChange is a device-local record that a change leaves.
type metaChange struct {
	file  tree.FileID
	local bool
	gone  bool
	had   metaRecord
	n     *Node // learns whether there is a record; nil: it has no node yet
	meta  localMeta
}

// setMeta stores what the device knows of n. The caller holds n.mu.
func (t *txn) setMeta(n *Node, m localMeta) {
	t.changeMeta(metaChange{file: n.file, local: n.local, had: n.stored, n: n, meta: m})
}

// setMetaOf is setMeta for a file that has no node, or another one.
func (t *txn) setMetaOf(file tree.FileID, local bool, m localMeta) {
	t.changeMeta(metaChange{file: file, local: local, meta: m})
}

// dropMeta drops the record of a file that goes.
func (t *txn) dropMeta(file tree.FileID) { t.changeMeta(metaChange{file: file, gone: true}) }

// changeMeta notes c instead of what was noted of the same file before: which record it takes is known when the change is complete.
func (t *txn) changeMeta(c metaChange) {
	for i := range t.metas {
		if t.metas[i].file == c.file {
			t.metas[i] = c
			return
		}
	}
	t.metas = append(t.metas, c)
}

// putMetas makes the device-local records what the change says. It comes last.
func (t *txn) putMetas() {
	for i := range t.metas {
		c := &t.metas[i]
		key := localKey(localMetaKey, c.file)
		if c.gone {
			t.DeleteLocal(key)
			continue
		}
		is := recordMaybe
		if ino, ok := tree.GetInode(t.state(c.local), c.file); !ok || !c.meta.impliedBy(&ino) {
			t.SetLocal(key, c.meta.encode())
		} else {
			is = recordNone
			if c.had != recordNone {
				t.DeleteLocal(key)
			}
		}
		if n := c.n; n != nil {
			t.then(func() { n.setRecordLocked(is) })
		}
	}
}

// setRecordLocked notes whether there is a record. The caller holds n.mu.
func (n *Node) setRecordLocked(is metaRecord) {
	if n.stored != recordWithIno {
		n.stored = is
	}
}

// touch makes n's ctime now. The caller holds n.mu. What is another volume's is not of this change: see changedBy.
func (t *txn) touch(n *Node) {
	if n.vol != t.v {
		return
	}
	m := n.metaLocked()
	m.ctime = t.now
	t.setMeta(n, m)
	t.then(func() { n.ctime = m.ctime })
}
