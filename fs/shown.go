package fs

import (
	"slices"

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
	since, err := v.statesSince(m, ino.ID)
	if err != nil {
		return false, err
	}
	for _, s := range since {
		if found, err := v.choose(ino, s); found || err != nil {
			return found, err
		}
	}
	return false, nil
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

// statesSince lists what a file has shown since m, the earliest first, up to now.
func (v *Volume) statesSince(m eventlog.Moment, file tree.FileID) (since []fileState, err error) {
	err = v.log.Former(tree.InodeKey(file), func(f eventlog.Fact) bool {
		if f.Until.Compare(m) <= 0 {
			return false
		}
		if old, isInode := tree.InodeOf(file, f.Val); f.Had && isInode {
			since = append(since, fileState{old.Heads, old.Mtime})
		}
		return true
	})
	slices.Reverse(since)
	if err == nil {
		err = v.view(false, func(r eventlog.Reader) error {
			now, ok := tree.GetInode(r, file)
			if !ok {
				now, _ = tree.GetDead(r, file)
			}
			since = append(since, fileState{now.Heads, now.Mtime})
			return nil
		})
	}
	return since, err
}
