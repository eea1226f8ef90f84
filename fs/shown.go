package fs

import (
	"errors"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A fileState is what a file showed from one change of its inode to the next.
type fileState struct {
	heads []tree.Head
	mtime int64
}

// shownAt leaves of the heads that a file had at m the one that is shown: the first that is kept. If none is, since a later edit has dropped
// what a quiet second had made, or since it is older than what is kept, the file shows what it had next that is. If nothing is, its heads
// stay as they are, and it reports false.
func (v *Volume) shownAt(m eventlog.Moment, ino *tree.Inode) (bool, error) {
	if ino.Kind != tree.File || len(ino.Heads) == 0 {
		return true, nil
	}
	if found, err := v.choose(ino, fileState{ino.Heads, ino.Mtime}); found || err != nil {
		return found, err
	}
	found, err := false, error(nil)
	e := v.log.Later(tree.InodeKey(ino.ID), m, func(f eventlog.Fact) bool {
		if later, isInode := tree.InodeOf(ino.ID, f.Val); f.Had && isInode {
			found, err = v.choose(ino, fileState{later.Heads, later.Mtime})
		}
		return !found && err == nil
	})
	if found || e != nil || err != nil {
		return found, errors.Join(e, err)
	}
	var now tree.Inode
	err = v.view(false, func(r eventlog.Reader) error {
		is, ok := tree.GetInode(r, ino.ID)
		if !ok {
			is, _ = tree.GetDead(r, ino.ID)
		}
		now = is
		return nil
	})
	if err != nil {
		return false, err
	}
	return v.choose(ino, fileState{now.Heads, now.Mtime})
}

// choose gives ino the first head of s that is kept. It reports false if none is.
func (v *Volume) choose(ino *tree.Inode, s fileState) (bool, error) {
	for _, h := range s.heads {
		kept, err := v.keeps(h.ID)
		if err != nil {
			return false, err
		}
		if kept {
			ino.Heads, ino.Mtime = []tree.Head{h}, s.mtime
			return true, nil
		}
	}
	return false, nil
}

// keeps reports whether the bytes of a version are kept here.
func (v *Volume) keeps(id tree.VersionID) (kept bool, err error) {
	err = v.view(false, func(r eventlog.Reader) error {
		_, kept = tree.GetVersion(r, id)
		return nil
	})
	if err != nil || !kept {
		return false, err
	}
	gone, err := v.hasExpired(id)
	return !gone, err
}
