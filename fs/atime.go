package fs

import (
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
		n.meta.atime = now
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
	return n.meta.atime <= n.meta.ctime || now-n.meta.atime >= atimeAge
}

// saveAtimes stores the atimes that have changed.
func (f *FS) saveAtimes() error {
	for {
		batch := f.table.someAccessed(saveAtOnce)
		if len(batch) == 0 {
			return nil
		}
		if err := f.saveAtimesOf(batch); err != nil {
			return err
		}
		for _, n := range batch {
			f.table.dropIdle(n)
		}
	}
}

// saveAtimesOf stores the atimes of nodes of one volume.
func (f *FS) saveAtimesOf(batch []*Node) error {
	unlock := lockNodes(batch...)
	defer unlock()
	err := batch[0].vol.update(func(t *txn) error {
		t.opening = true // there is no hurry
		for _, n := range batch {
			if _, ok := tree.GetInode(t.state(n.local), n.file); ok && n.orphan == nil {
				t.setMeta(n.file, n.meta)
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
	if n.accessed = is; is {
		t.accessed[n] = struct{}{}
	} else {
		delete(t.accessed, n)
	}
}

// someAccessed returns up to count nodes of one volume whose atimes are not stored.
func (t *table) someAccessed(count int) []*Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	var some []*Node
	for n := range t.accessed {
		if len(some) > 0 && n.vol != some[0].vol {
			continue
		}
		if some = append(some, n); len(some) == count {
			break
		}
	}
	return some
}
