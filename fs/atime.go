package fs

import (
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// Atime says when reading changes a file's atime, as mount(8)'s options do.
type Atime struct {
	Never    bool
	Always   bool // with neither: if it is not later than the last change, or a day old
	NeverDir bool
}

const atimeAge = int64(24 * time.Hour)

// saveAtOnce is how many atimes are stored in one change.
const saveAtOnce = 64

// SetAtime is called once, before the mount serves. Until then atimes do not change.
func (f *FS) SetAtime(a Atime) { f.atime = a }

// Accessed notes that a program has read a file, directory or symbolic link. It is cheap, and no event: the atime belongs to the
// device, and is stored with others, within seconds.
func (f *FS) Accessed(id NodeID, dir bool) {
	if f.atime.Never || dir && f.atime.NeverDir {
		return
	}
	n, err := f.nodeOf(id)
	if err != nil || n.vol == nil {
		return
	}
	now := f.now().UnixNano()
	n.mu.Lock()
	defer n.mu.Unlock()
	if f.atime.Always || n.atimeDueLocked(now) {
		n.atime = now
		f.table.setAccessed(n, true)
	}
}

// AtimeDue reports whether a read now would change a file's atime.
func (f *FS) AtimeDue(id NodeID) bool {
	n, err := f.nodeOf(id)
	if err != nil || f.atime.Never {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return f.atime.Always || n.atimeDueLocked(f.now().UnixNano())
}

// atimeDueLocked is relatime's rule. Whatever changes a file changes its ctime. The caller holds n.mu.
func (n *Node) atimeDueLocked(now int64) bool {
	return n.atime <= n.ctime || now-n.atime >= atimeAge
}

// saveAtimes stores the atimes that have changed.
func (f *FS) saveAtimes() error {
	for _, nodes := range f.table.allAccessed() {
		for batch := range slices.Chunk(nodes, saveAtOnce) {
			if err := f.saveAtimesOf(batch); err != nil {
				return err
			}
			for _, n := range batch {
				f.table.dropIdle(n)
			}
		}
	}
	return nil
}

// saveAtimesOf stores the atimes of nodes of one volume. Those that somebody has locked have time until the next turn: nobody shall
// wait for one file because another one is being synced.
func (f *FS) saveAtimesOf(nodes []*Node) error {
	var batch []*Node
	for _, n := range nodes {
		if n.mu.TryLock() {
			defer n.mu.Unlock()
			batch = append(batch, n)
		}
	}
	if len(batch) == 0 {
		return nil
	}
	err := batch[0].vol.update(func(t *txn) error {
		t.opening = true // there is no hurry
		for _, n := range batch {
			if _, ok := tree.GetInode(t.state(n.local), n.file); ok && n.orphan == nil {
				t.setMeta(n, n.metaLocked())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range batch {
		f.table.setAccessed(n, false)
	}
	return nil
}

// setAccessed says whether n has an atime that is not stored. The caller holds n.mu.
func (t *table) setAccessed(n *Node, is bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if is {
		t.accessed[n] = struct{}{}
	} else {
		delete(t.accessed, n)
	}
}

// allAccessed returns the nodes whose atimes are not stored, by volume.
func (t *table) allAccessed() map[*Volume][]*Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[*Volume][]*Node{}
	for n := range t.accessed {
		all[n.vol] = append(all[n.vol], n)
	}
	return all
}
