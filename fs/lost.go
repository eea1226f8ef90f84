package fs

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A version that was closed shortly before the power went, and that nobody fsynced, may be in the log while its spill file
// never reached the disk. Its bytes are lost, and no others are shown for them: the version stays in the history as one that
// can't be read, and the file goes back to the version before.

// findLost looks whether a version that an earlier run left still has its bytes.
func (p *pending) findLost() error {
	whole, err := p.bytes.whole()
	if err != nil {
		return err
	}
	if whole && (p.rec.Boot == "" || p.rec.Boot == p.vol.fs.boot) {
		if p.bytes.spill != nil {
			if err := p.bytes.spill.loadSums(p.rec.Sums); err != nil {
				p.vol.fs.damage.add(p.vol, p.rec.File, err) // each read fails; what is there stays
			}
		}
		return nil
	}
	p.lost = true
	why := fmt.Errorf("version %x was not on disk when the power went: %w", p.id[:4], ErrDamaged)
	p.vol.fs.damage.add(p.vol, p.rec.File, why)
	p.vol.fs.log.Error("an edit is lost", "volume", p.vol.id, "err", why)
	return nil
}

// whole reports whether the bytes are there as far as files' lengths tell. What was written in another boot of the machine and
// never synced may be zeros all the same: that is why the record names the boot.
func (l *layered) whole() (bool, error) {
	if l.spill == nil {
		return int64(len(l.mem)) == l.size, nil
	}
	if n := len(l.have); n > 0 {
		if ok, err := l.spill.holds(l.have[n-1].Off + l.have[n-1].Len); err != nil || !ok {
			return false, err
		}
	}
	if p, ok := l.base.(*pending); ok && l.below > 0 {
		return p.bytes.whole()
	}
	return true, nil
}

// lostContent stands for bytes that are nowhere: its root is the CID of a block that nobody has.
func (p *pending) lostContent(ctx context.Context) (ipld.Content, error) {
	id := p.vol.fs.newVersionID()
	return p.vol.sealer.Write(ctx, ipld.NewMemory(), nowhere(id[:]), p.rec.Size)
}

// nowhere is a few bytes that nobody else has, and zeros.
type nowhere []byte

func (n nowhere) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(n)) {
		copy(b, n[off:])
	}
	return len(b), nil
}

var _ io.ReaderAt = nowhere(nil)

// A version may be damaged before it is sealed: its spill file, or what it stands on. letGo then has its event leave without its
// bytes, so that what comes after it need not wait: elsewhere it is a version that can't be read. On this device its bytes stay
// where they are, and are read as far as they are there, until the version itself is dropped.
func (p *pending) letGo(ctx context.Context) error {
	if p.rec.Local || p.kept.Load() {
		return nil // no event waits for it
	}
	c, err := p.lostContent(ctx)
	if err != nil {
		return err
	}
	op := p.op
	op.Version.Pending, op.Version.Content = false, c
	err = p.vol.updateTo(store.Applied, func(t *txn) error {
		key := localKey(localPending, p.id)
		val, _ := t.GetLocal(key)
		rec, err := decodeEdit(val)
		if err != nil {
			return err
		}
		rec.Kept = true
		t.SetLocal(key, dagcbor.Encode(rec))
		t.then(func() { p.kept.Store(true) })
		return t.Amend(eventlog.LocalSeq(p.rec.Seq), tree.Encode(op), func(s eventlog.State) { tree.Sealed(s, op.Version) })
	})
	if err != nil {
		return fmt.Errorf("let version %x go: %w", p.id[:4], err)
	}
	return nil
}

// goBackAtOnce is how many bytes of lost versions, and of what files go back to, are sealed before anybody can ask for them.
const goBackAtOnce = 256 << 20

// goBackNow has files whose shown version is lost go back to the one before, so that nobody who comes meets the lost one. It returns the
// versions, of ps in their order, that are still to be sealed.
func (v *Volume) goBackNow(ps []*pending) (left []*pending) {
	at, now, size := map[tree.VersionID]*pending{}, map[*pending]bool{}, int64(0)
	for _, p := range ps {
		at[p.id] = p
		if p.lost {
			v.lost[p.id] = true
		}
	}
	for _, p := range ps {
		if !p.lost || p.rec.Kept {
			continue
		}
		now[p] = true
		size += p.rec.Size
		err := v.view(p.rec.Local, func(r eventlog.Reader) error {
			for _, id := range v.goesBackTo(r, p.id) {
				if q := at[id]; q != nil && !q.rec.Kept && !now[q] {
					now[q] = true
					size += q.rec.Size
				}
			}
			return nil
		})
		if err != nil {
			v.fs.log.Warn("look for what a lost version stands on", "err", err)
			return ps
		}
	}
	var batch []*pending
	for _, p := range ps {
		if now[p] {
			batch = append(batch, p)
		} else {
			left = append(left, p)
		}
	}
	if len(batch) == 0 || size > goBackAtOnce {
		return ps
	}
	if err := v.fs.sealAll(context.Background(), batch); err != nil { // later, then
		v.fs.log.Warn("files do not go back from lost versions yet", "volume", v.id, "err", err)
		return ps
	}
	return left
}

// goesBackTo returns what a file can go back to from a lost version: those that it replaced, or for one that is lost as well what that one replaced.
func (v *Volume) goesBackTo(r eventlog.Reader, lost tree.VersionID) (ids []tree.VersionID) {
	for _, id := range tree.Parents(r, lost) {
		if v.isLost(r, id) {
			ids = append(ids, v.goesBackTo(r, id)...)
		} else {
			ids = append(ids, id)
		}
	}
	return ids
}

// isLost reports whether a version is one that a power loss took. A start that died before it had all files go back may have sealed some: then their
// blocks are nowhere.
func (v *Volume) isLost(r eventlog.Reader, id tree.VersionID) bool {
	if v.lost[id] {
		return true
	}
	ver, ok := tree.GetVersion(r, id)
	if !ok || ver.Pending || ver.Content.Root == (ipld.Link{}) {
		return false
	}
	here, err := v.fs.blocks.Has(ver.Content.Root.CID)
	return err == nil && !here
}

// restore has a file whose shown version is lost go back to the one before.
func (v *Volume) restore(p *pending) error {
	return v.update(func(t *txn) error {
		r := t.state(p.rec.Local)
		ino, ok := tree.GetInode(r, p.rec.File)
		if !ok || !slices.Contains(ino.HeadIDs(), p.id) {
			return nil // it was edited or removed since
		}
		ver := tree.Version{ID: v.fs.newVersionID(), Time: t.now, By: v.fs.device}
		for _, id := range v.goesBackTo(r, p.id) {
			old, ok := tree.GetVersion(r, id)
			if !ok || old.Pending {
				continue
			}
			if !ver.TakeContent(r, old) {
				return nil // that can't be read either
			}
			break
		}
		t.apply(p.rec.Local, tree.SetContent{
			ID: ino.ID, Version: ver, Replaces: []tree.VersionID{p.id}, Mtime: ino.Mtime, Time: t.now,
			Path: v.pathOf(r, ino.ID),
		})
		return nil
	})
}
