package fs

import (
	"context"
	"errors"
	"time"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/store"
)

const (
	quietAfter    = time.Second
	quietTick     = 250 * time.Millisecond
	reapTicks     = 20 // as long as the store needs to bring everything to the disk by itself
	quietLongest  = 64 * time.Second
	quietPerBytes = 256 << 10 // a busy open file makes versions no faster than this many bytes a second
)

// endEdit turns n's edit into a version: one SetContent event. closed says that a program's close ends it,
// so that the version must be kept; a quiet second's version may go once it is replaced.
func (f *FS) endEdit(n *Node, closed bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.buf == nil || n.orphan != nil {
		return nil
	}
	err := n.endEditLocked(closed)
	if h := n.handles.Load(); err == nil && h != nil {
		h.lastEdit = f.now()
	}
	return err
}

func (n *Node) endEditLocked(closed bool) error { return n.endEditAfter(closed, nil) }

// endEditAfter is endEditLocked in one change with what makes the file: what is done by first. The caller holds n.mu.
func (n *Node) endEditAfter(closed bool, first func(t *txn) error) error {
	v, b := n.vol, n.buf
	ver := tree.Version{
		ID: v.fs.newVersionID(), Size: b.size, By: v.fs.device, Quiet: !closed,
	}
	op := tree.SetContent{ID: n.file, Replaces: b.replaces, Mtime: b.mtime}
	var p *pending
	inline, err := b.inline()
	if err = v.fs.damaged(n, err); err != nil && (b.spill == nil || !errors.Is(err, ErrDamaged)) {
		return err
	}
	switch {
	case b.size == 0:
	case inline != nil:
		ver.Inline = inline
	case b.wholeBase() != nil:
		ver.Content = *b.wholeBase()
	default:
		ver.Pending = true
		p = v.newPending(n, ver.ID)
		if b.spill != nil && (b.journaled || n.afterQuiet() || first != nil) {
			// The version takes the place of what an fsync may have promised, and that will be nowhere else.
			if err := errors.Join(b.spill.sync(), syncBelow(b.base)); err != nil {
				return err
			}
		}
	}
	meta := n.metaWith(ver.ID, b)
	err = v.update(func(t *txn) error {
		if first != nil {
			if err := first(t); err != nil {
				return err
			}
		}
		if _, ok := tree.GetInode(t.state(n.local), n.file); !ok {
			return ErrNotExist
		}
		ver.Time, op.Time = t.now, t.now
		op.Version = ver
		tree.FreshVersion(ver.ID, t.absent(n.local))
		op.Path = v.pathOf(t.state(n.local), n.file)
		op.Drops = n.quietGone(t)
		if p == nil {
			t.apply(n.local, op)
		} else {
			t.hold(p, op)
		}
		t.setMeta(n, meta)
		if b.journaled {
			t.deleteJournal(n.file, b.journal)
		}
		return nil
	})
	if err != nil {
		if p != nil {
			v.drop(p)
		}
		return err
	}
	if p != nil {
		p.mem, b.counted = b.counted, 0
		v.fs.seal.put(p)
	} else {
		b.mem = nil
		b.count()
		if b.spill != nil {
			b.retired = append(b.retired, b.spill)
		}
	}
	if err := b.dropRetired(); err != nil {
		v.fs.log.Warn("drop spill files", "err", err)
	}
	n.buf = nil
	n.setMetaLocked(meta)
	if h := n.handles.Load(); h != nil {
		h.shown, h.shownVer = nil, tree.VersionID{}
		h.replaces = []tree.VersionID{ver.ID}
		h.lastQuiet = !closed
	}
	n.vol.fs.table.setDirty(n, false)
	return nil
}

// inline is the bytes of an edit that is small enough to stand in its event; nil: it is not, or can't be read and stays where it is.
func (b *buffer) inline() ([]byte, error) {
	if b.size > inlineLimit {
		return nil, nil
	}
	all := make([]byte, b.size)
	if _, err := b.read(all, 0); err != nil {
		return nil, err
	}
	return all, nil
}

// metaWith is n's device-local record once ver, which b becomes, is shown.
func (n *Node) metaWith(ver tree.VersionID, b *buffer) localMeta {
	m := n.metaLocked()
	m.holes, m.holesOf = 0, ver
	if holes, err := b.sparse(b.baseHoles); err == nil { // what is damaged below counts as data
		m.holes = holes
	}
	return m
}

// What the store calls the troubles of what runs in the background: see store.Report.
const (
	partEdits  store.Part = "ending edits" // what was written stays in memory and in its spill file
	partSeal   store.Part = "sealing"      // content is kept where it is
	partSpills store.Part = "removing spill files"
	partTimes  store.Part = "storing access times"
)

// runQuiet ends edits of files that nobody has written to for a second.
func (f *FS) runQuiet(ctx context.Context) {
	tick := time.NewTicker(quietTick)
	defer tick.Stop()
	for ticks := 1; ; ticks++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if ticks%reapTicks == 0 {
			f.st.Report(partSpills, f.spills.reap())
			f.st.Report(partTimes, f.saveAtimes())
		}
		for _, v := range f.allVolumes() {
			if err := v.merge(); err != nil {
				f.log.Error("merge conflicts", "err", err)
			}
			if err := v.noteSpree(f.now().UnixNano()); err != nil {
				f.log.Warn("note a change", "err", err)
			}
		}
		f.endQuiet(f.now())
	}
}

func (f *FS) endQuiet(now time.Time) {
	var failed error
	defer func() { f.st.Report(partEdits, failed) }()
	for _, n := range f.table.edits() {
		if !n.isQuiet(now) {
			continue
		}
		if err := f.endEdit(n, false); err != nil && !errors.Is(err, ErrNotExist) {
			failed = errors.Join(failed, err)
		}
		f.table.dropIdle(n)
	}
}

// isQuiet reports whether it is time for a version: a second after the last write, and for a file that stays open
// and busy (a database) ever more rarely, so that an hour of it does not fill the disk.
func (n *Node) isQuiet(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.buf == nil || n.orphan != nil || now.Sub(n.buf.lastWrite) < quietAfter {
		return false
	}
	h := n.handles.Load()
	if h == nil || h.lastEdit.IsZero() {
		return true
	}
	wait := min(quietLongest, quietAfter<<min(h.quietEdits, 6))
	wait = max(wait, time.Duration(n.buf.changed())*time.Second/quietPerBytes)
	if now.Sub(h.lastEdit) < wait {
		return false
	}
	h.quietEdits++
	return true
}

// quietGone is the quiet version that this edit of the same open file replaces, if its bytes are sealed: its record may go. Of one
// that can't be sealed (see letGo) this edit may need the bytes.
func (n *Node) quietGone(t *txn) []tree.VersionID {
	replaces := n.buf.replaces
	if !n.afterQuiet() || len(replaces) != 1 {
		return nil
	}
	ver, ok := tree.GetVersion(t.state(n.local), replaces[0])
	n.vol.mu.Lock()
	_, waits := n.vol.pending[replaces[0]]
	n.vol.mu.Unlock()
	if !ok || ver.Pending || !ver.Quiet || waits {
		return nil
	}
	return replaces
}

// afterQuiet reports whether the version that n's edit replaces was made by a quiet second of the same handles. The caller
// holds n.mu.
func (n *Node) afterQuiet() bool {
	h := n.handles.Load()
	return h != nil && h.lastQuiet
}
