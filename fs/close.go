package fs

import (
	"strings"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// What ends an edit. The kernel tells of each close(2) of each copy of a handle, and then, once, of the release of the handle.
// The first close is taken for the last one. If the handle is written to again without having been released, it was not: a
// forked child closed its copy, say. From then on closes of the file hand its bytes over and make no version; the release does.

// Flush is close(2) of a copy of a handle that may write. When it returns the bytes survive kill -9.
func (f *FS) Flush(id NodeID) error {
	if id.IsPast() {
		return nil
	}
	n, err := f.nodeOf(id)
	if err != nil || n.vol == nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.handles.Load()
	if h == nil {
		return nil
	}
	h.flushed = true
	switch {
	case n.orphan != nil:
		return nil
	case n.buf != nil && (h.copied || n.besideLocked()) && n.buf.journals():
		return f.damaged(n, n.journalLocked(store.Handed))
	case n.buf != nil:
		return f.damaged(n, n.closeLocked())
	case !h.copied:
		h.lastQuiet = false // what a quiet second made is now what a close left
	}
	return nil
}

// closeLocked ends n's edit as a close. The caller holds n.mu.
func (n *Node) closeLocked() error {
	err := n.endEditLocked(true)
	if h := n.handles.Load(); err == nil && h != nil {
		h.lastEdit = n.vol.fs.now()
	}
	return err
}

// Release drops a handle. An edit that Flush left to it ends; but that of a file beside a database goes on.
func (f *FS) Release(id NodeID, write bool) {
	if id.IsPast() {
		f.past.release(id)
		return
	}
	n, err := f.nodeOf(id)
	if err != nil || n.vol == nil {
		return
	}
	n.mu.Lock()
	h := n.handles.Load()
	if h == nil {
		n.mu.Unlock()
		return
	}
	if write {
		if n.buf != nil && n.orphan == nil && !n.besideLocked() {
			if err := n.closeLocked(); err != nil {
				f.log.Error("end edit", "err", err)
			}
		}
		h.writers--
		h.flushed, h.lastQuiet = false, false
		h.copied = h.copied && h.writers > 0
	}
	if h.opens--; h.opens == 0 {
		n.handles.Store(nil)
		if n.orphan != nil {
			n.forgetEditLocked()
		}
	}
	n.mu.Unlock()
	f.table.dropIdle(n)
}

// forgetEditLocked drops the edit of a file that has no name any more and that nobody has open. The caller holds n.mu.
func (n *Node) forgetEditLocked() {
	if n.buf == nil {
		return
	}
	if err := n.dropEditLocked(); err != nil {
		n.vol.fs.log.Warn("discard edit of a removed file", "err", err)
	}
}

// A database and its journals count as one file: what a program closes beside a database that it has open is no version of its
// own. SQLite makes and removes such a file with each transaction.
var besides = []string{"-journal", "-wal", "-shm"}

// databaseOf is the name of the database that a file of this name belongs to, if it is one beside a database.
func databaseOf(name string) (string, bool) {
	for _, suffix := range besides {
		if db, ok := strings.CutSuffix(name, suffix); ok && db != "" {
			return db, true
		}
	}
	return "", false
}

// besideLocked reports whether n was made as a journal of a database that lies beside it and is open now. The caller holds n.mu.
func (n *Node) besideLocked() (beside bool) {
	if !n.journal {
		return false
	}
	n.vol.view(n.local, func(r eventlog.Reader) error {
		ino, ok := tree.GetInode(r, n.file)
		if !ok || ino.Nlink != 1 {
			return nil
		}
		db, ok := databaseOf(string(ino.Name))
		if !ok {
			return nil
		}
		d, ok := tree.Lookup(r, ino.Parent, []byte(db))
		if !ok || d.Kind != tree.File {
			return nil
		}
		if x, ok := n.vol.fs.table.peek(n.vol, d.ID); ok {
			beside = x.handles.Load() != nil
		}
		return nil
	})
	return beside
}
