package fs

import (
	"bytes"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

func (r *rig) fileOf(id NodeID) tree.FileID {
	r.Helper()
	n, err := r.fs.nodeOf(id)
	r.must(err)
	return n.file
}

func (r *rig) fileNamed(name string) tree.FileID {
	r.Helper()
	n, err := r.lookup(r.vol, name)
	r.must(err)
	defer r.fs.Forget(n, 1)
	return r.fileOf(n)
}

func (r *rig) heads(file tree.FileID) (ids []tree.VersionID) {
	r.Helper()
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		ino, ok := tree.GetInode(er, file)
		if !ok {
			r.Fatal("no inode")
		}
		ids = ino.HeadIDs()
		return nil
	}))
	return ids
}

func (r *rig) headsIn(n *Node) []tree.VersionID {
	r.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	ino, err := n.inodeLocked()
	r.must(err)
	return ino.HeadIDs()
}

func (r *rig) parents(v tree.VersionID) (ids []tree.VersionID) {
	r.Helper()
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		ids = tree.Parents(er, v)
		return nil
	}))
	return ids
}

// expectVersion reads a version that may be long past.
func (r *rig) expectVersion(id tree.VersionID, want []byte) {
	r.Helper()
	c, err := r.volume().content(false, id)
	r.must(err)
	if c == nil {
		r.same("version", nil, want)
		return
	}
	got := make([]byte, c.Size())
	r.must(readFull(c, got, 0))
	if !bytes.Equal(got, want) {
		r.Fatalf("version %x has other bytes", id[:4])
	}
}
