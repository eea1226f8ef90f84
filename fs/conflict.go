package fs

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// changed takes up what a rebase or a frame from elsewhere did to the state: programs' caches are told, and conflicts
// are looked for in the next quiet moment.
func (v *Volume) changed(keys [][]byte) {
	v.unmerged.Store(true)
	i := v.fs.invalidate.Load()
	tree.Changed(keys, func(file tree.FileID) {
		n, ok := v.fs.table.peek(v, file)
		if !ok {
			return
		}
		v.follow(n)
		if i != nil {
			(*i).InvalidateNode(n.id)
		}
	}, func(dir tree.FileID, name []byte) {
		if n, ok := v.fs.table.peek(v, dir); ok && i != nil {
			(*i).InvalidateEntry(n.id, string(name))
		}
	})
}

// follow makes n the node of what its file has become part of.
func (v *Volume) follow(n *Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.orphan != nil || n.local {
		return
	}
	file := n.file
	v.view(false, func(r eventlog.Reader) error {
		file = tree.Canon(r, n.file)
		return nil
	})
	if file == n.file {
		return
	}
	if _, taken := v.fs.table.peek(v, file); !taken {
		v.fs.table.rebind(n, file)
	}
}

// merge ends the conflicts that there are: until contents are merged, by keeping the earlier version under the name and the
// others beside it.
func (v *Volume) merge() error {
	if !v.unmerged.Swap(false) {
		return nil
	}
	var list []tree.Conflict
	err := v.view(false, func(r eventlog.Reader) error {
		tree.Unmerged(r, func(c tree.Conflict) bool {
			list = append(list, c)
			return true
		})
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range list {
		var dir tree.FileID
		err := v.update(func(t *txn) error {
			if m, ok := tree.Resolve(t.Tx, c, v.fs.newFileID, t.now); ok {
				t.apply(false, m)
				ino, _ := tree.GetInode(t.Tx, m.ID)
				dir = ino.Parent
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		v.tell(c.File, dir)
	}
	return nil
}

// tell has the kernel forget what it knows of these files.
func (v *Volume) tell(files ...tree.FileID) {
	i := v.fs.invalidate.Load()
	if i == nil {
		return
	}
	for _, file := range files {
		if n, ok := v.fs.table.peek(v, file); ok {
			(*i).InvalidateNode(n.id)
		}
	}
}
