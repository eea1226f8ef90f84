package fs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// readAtOnce is how many names a restore reads at once. Neighbours in the database are read in one go, if there are enough of them; what is read
// must have room in the log's memory until the changes come.
const readAtOnce = 2048

// An upcoming is what a restore reads while it makes changes: what the next names led to, which does not change any more. What the changes will
// read of the present is in the log's memory then, so that they are short: nobody else changes the volume meanwhile.
type upcoming struct {
	rs    *restoring
	todo  []*formerDir   // to be listed
	queue []*formerEntry // what was in them, or some of it
	done  chan error
}

// goAhead reads on beside the caller, if there is something to read and it does not read already.
func (rs *restoring) goAhead() {
	if rs.next != nil || len(rs.todo)+len(rs.unread) == 0 {
		return
	}
	a := &upcoming{rs: rs, todo: rs.todo, queue: rs.unread, done: make(chan error, 1)}
	rs.next, rs.todo, rs.unread = a, nil, nil
	go func() { a.done <- a.run() }()
}

// await waits for what is being read, and puts it into the queue.
func (rs *restoring) await() error {
	a := rs.next
	if a == nil {
		return nil
	}
	err := <-a.done
	n := min(len(a.queue), readAtOnce)
	rs.next, rs.todo = nil, append(a.todo, rs.todo...) // what was found meanwhile comes later
	rs.queue, rs.unread = append(rs.queue, a.queue[:n]...), a.queue[n:]
	return err
}

// run lists directories until there are enough names, and reads what these led to.
func (a *upcoming) run() error {
	err := a.rs.past.view(func(r eventlog.Reader) error {
		for len(a.queue) < readAtOnce && len(a.todo) > 0 {
			d := a.todo[0]
			a.todo = a.todo[1:]
			tree.ReadDir(r, d.ino.ID, 0, func(_ uint64, name []byte, e tree.Dirent) bool {
				a.queue = append(a.queue, &formerEntry{in: d, name: slices.Clone(name), id: e.ID})
				return true
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.rs.read(a.queue[:min(len(a.queue), readAtOnce)])
}

// read reads what names led to, and has the log read what changes of them will.
func (rs *restoring) read(es []*formerEntry) error {
	es = slices.DeleteFunc(slices.Clone(es), func(e *formerEntry) bool { return e.read })
	if len(es) == 0 {
		return nil
	}
	// In the order in which the database has them.
	slices.SortFunc(es, func(a, b *formerEntry) int { return bytes.Compare(a.id[:], b.id[:]) })
	if err := rs.past.view(func(r eventlog.Reader) error { return readInodes(r, es) }); err != nil {
		return err
	}
	if err := rs.warm(es); err != nil {
		return err
	}
	for _, e := range es {
		if _, err := rs.past.vol.shownAt(rs.past.at, &e.ino); err != nil {
			return fmt.Errorf("restore %s: %w", e.path(), err)
		}
		e.read = true
	}
	return nil
}

// readInodes reads what names led to.
func readInodes(then eventlog.Reader, es []*formerEntry) error {
	for _, e := range es {
		ino, ok := tree.GetInode(then, e.id)
		if !ok {
			return fmt.Errorf("restore %s: no inode: %w", e.path(), ErrDamaged)
		}
		e.ino = ino
	}
	for _, e := range es {
		if e.ino.Xattrs > 0 {
			e.xattrs = xattrsIn(then, e.ino.ID)
		}
	}
	return nil
}

func xattrsIn(r eventlog.Reader, id tree.FileID) (xs []tree.Xattr) {
	tree.Xattrs(r, id, func(name, val []byte) bool {
		xs = append(xs, tree.Xattr{Name: slices.Clone(name), Val: slices.Clone(val)})
		return true
	})
	return xs
}

// warm has the log know what changes of names are about to read.
func (rs *restoring) warm(es []*formerEntry) error {
	var keys [][]byte
	for _, e := range es {
		keys = append(keys, tree.DirentKey(e.in.now, e.name), tree.InodeKey(e.id))
		for _, h := range e.ino.Heads {
			keys = append(keys, tree.VersionKey(h.ID))
		}
	}
	v := rs.past.vol
	if err := v.log.Ahead(keys); err != nil {
		return err
	}
	keys = nil
	var compared []*formerEntry
	err := v.view(false, func(r eventlog.Reader) error {
		for _, e := range es {
			if d, taken := tree.Lookup(r, e.in.now, e.name); taken && d.ID != e.id {
				keys = append(keys, tree.InodeKey(d.ID))
			}
			now, ok := tree.GetInode(r, e.id)
			if !ok {
				now, _ = tree.GetDead(r, e.id)
				keys = append(keys, tree.DeadKey(e.id))
			}
			if len(now.Heads) == 0 || len(e.ino.Heads) == 0 || now.Heads[0].ID == e.ino.Heads[0].ID {
				continue
			}
			if ver, ok := tree.GetVersion(r, e.ino.Heads[0].ID); ok && ver.Like != (tree.VersionID{}) {
				keys = append(keys, tree.VersionKey(ver.Like)) // the next version names it too
			}
			if now.Size() == e.ino.Size() { // are they the same bytes?
				keys = append(keys, tree.VersionKey(now.Heads[0].ID))
				e.rival, compared = now.Heads[0].ID, append(compared, e)
			}
		}
		return nil
	})
	if err = errors.Join(err, v.log.Ahead(keys)); err != nil || len(compared) == 0 {
		return err
	}
	return rs.warmBodies(compared)
}

// warmBodies is warm for the bytes of small files whose size is what it was.
func (rs *restoring) warmBodies(es []*formerEntry) error {
	v := rs.past.vol
	var keys [][]byte
	err := v.view(false, func(r eventlog.Reader) error {
		for _, e := range es {
			was, _ := tree.GetVersion(r, e.ino.Heads[0].ID)
			is, ok := tree.GetVersion(r, e.rival)
			if ok && is.IsInline() && was.IsInline() {
				keys = append(keys, tree.BodyKey(was), tree.BodyKey(is))
			}
		}
		return nil
	})
	return errors.Join(err, v.log.Ahead(keys))
}
