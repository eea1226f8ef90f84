package fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// recover takes up what an earlier run left: versions that were closed and not sealed, and edits
// that an fsync had made durable. It reads their records alone; nothing else of the tree is looked at.
func (v *Volume) recover() error {
	recs, err := v.records(localPending)
	if err != nil {
		return err
	}
	held, err := v.heldOps()
	if err != nil {
		return err
	}
	// Oldest first, so that an edit finds the version that it stands on.
	slices.SortFunc(recs, func(a, b foundRecord) int { return int(a.rec.Seq) - int(b.rec.Seq) })
	var ps []*pending
	for _, fr := range recs {
		p, err := v.recoverPending(fr, held)
		if err != nil {
			return err
		}
		if p != nil {
			ps = append(ps, p)
		}
	}
	for _, p := range ps {
		if err := v.layer(&p.bytes, p.rec, p.id); err != nil {
			return err
		}
		p.mem = int64(cap(p.bytes.mem))
		v.fs.spills.mem.Add(p.mem)
	}
	for _, p := range ps {
		if err := p.findLost(); err != nil {
			return err
		}
	}
	for _, p := range v.goBackNow(ps) {
		if !p.rec.Kept {
			v.fs.seal.put(p)
		}
	}
	journals, err := v.records(localJournal)
	if err != nil {
		return err
	}
	for _, fr := range journals {
		if err := v.recoverJournal(fr.rec); err != nil {
			return err
		}
	}
	return nil
}

type foundRecord struct {
	id  [16]byte
	rec editRecord
}

func (v *Volume) records(kind byte) ([]foundRecord, error) {
	var found []foundRecord
	var bad error
	err := v.log.Local(func(r eventlog.Reader) {
		r.Scan([]byte{kind}, []byte{kind}, func(k, val []byte) bool {
			fr := foundRecord{}
			if len(k) != 17 {
				bad = fmt.Errorf("record of an edit: key %x: %w", k, ErrDamaged)
				return false
			}
			copy(fr.id[:], k[1:])
			if fr.rec, bad = decodeEdit(val); bad != nil {
				return false
			}
			found = append(found, fr)
			return true
		})
	})
	if err == nil {
		err = bad
	}
	return found, err
}

// heldOps are the SetContent ops that wait for their bytes, by version.
func (v *Volume) heldOps() (map[tree.VersionID]tree.SetContent, error) {
	held, err := v.log.Held()
	if err != nil {
		return nil, err
	}
	ops := map[tree.VersionID]tree.SetContent{}
	for _, h := range held {
		list, err := tree.Decode(h.Event.Body)
		if err != nil {
			return nil, fmt.Errorf("held event %d: %w", h.Seq, err)
		}
		for _, op := range list {
			if sc, ok := op.(tree.SetContent); ok {
				ops[sc.Version.ID] = sc
			}
		}
	}
	return ops, nil
}

// recoverPending takes up a version by its record; nil: it is gone.
func (v *Volume) recoverPending(fr foundRecord, held map[tree.VersionID]tree.SetContent) (*pending, error) {
	p := &pending{vol: v, id: fr.id, rec: fr.rec}
	p.noted.Store(fr.rec.Boot == "")
	if fr.rec.Local || fr.rec.Kept {
		gone := false
		err := v.view(fr.rec.Local, func(r eventlog.Reader) error {
			ver, ok := tree.GetVersion(r, p.id)
			if gone = !ok && fr.rec.Kept; gone {
				return nil
			}
			if !ok {
				return fmt.Errorf("pending version %x: %w", p.id[:4], ErrDamaged)
			}
			p.op = tree.SetContent{ID: fr.rec.File, Version: ver}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if gone { // a quiet second's version that its successor dropped
			return nil, v.update(func(t *txn) error {
				t.dropPending(p.id)
				return nil
			})
		}
	} else {
		op, ok := held[p.id]
		if !ok {
			return nil, fmt.Errorf("pending version %x: its event is missing: %w", p.id[:4], ErrDamaged)
		}
		p.op = op
	}
	v.pending[p.id] = p
	return p, nil
}

// layer puts the bytes that a record describes together; id is the version's, if it is one.
func (v *Volume) layer(l *layered, rec editRecord, id tree.VersionID) error {
	*l = layered{size: rec.Size}
	if rec.Spill == 0 {
		return v.log.Local(func(r eventlog.Reader) {
			// What is missing here shows as damage when it is read.
			l.mem, _ = r.Get(localKey(localBytes, id))
		})
	}
	l.spill = v.fs.spills.existing(rec.Spill, rec.Boot == "")
	l.have, l.holes = rec.Have, rec.Holes
	l.below = rec.Below
	base, err := v.base(rec)
	if errors.Is(err, ErrDamaged) {
		base, err = damagedContent{size: rec.Below, err: err}, nil // reading it fails, the rest of the edit is there
	}
	l.base = base
	return err
}

// base opens what an edit stands on.
func (v *Volume) base(rec editRecord) (content, error) {
	switch {
	case rec.Base == tree.VersionID{} || rec.Below == 0:
		return nil, nil
	case rec.BaseAs != nil:
		return sealed{v.fs.openSealed(*rec.BaseAs), *rec.BaseAs}, nil
	}
	v.mu.Lock()
	p, ok := v.pending[rec.Base]
	v.mu.Unlock()
	if ok {
		p.below.Store(true)
		return p, nil
	}
	return v.content(rec.Local, rec.Base)
}

// recoverJournal brings an edit that a crash interrupted to its end: what fsync acknowledged becomes a version.
func (v *Volume) recoverJournal(rec editRecord) error {
	n := v.hold(rec.File, rec.Local)
	n.mu.Lock()
	defer n.mu.Unlock()
	b := newBuffer(v.fs.spills, nil)
	if rec.Spill != 0 {
		if err := v.layer(&b.layered, rec, tree.VersionID{}); err != nil {
			return err
		}
		b.baseVer, b.held, b.journal.spill = rec.Base, b.have.total(), b.spill
		if err := v.loadLeft(b.spill, rec); err != nil {
			return err
		}
	} else {
		b.mem = []byte{}
	}
	var chunks [][]byte
	err := v.log.Local(func(r eventlog.Reader) {
		prefix := localKey(localChunk, rec.File)
		r.Scan(prefix, prefix, func(_, val []byte) bool {
			chunks = append(chunks, slices.Clone(val))
			return true
		})
	})
	if err != nil {
		return err
	}
	for _, c := range chunks {
		if len(c) < 8 {
			return fmt.Errorf("journal of %x: %w", rec.File[:4], ErrDamaged)
		}
		if err := b.rewriteAt(c[8:], int64(binary.BigEndian.Uint64(c))); err != nil {
			return err
		}
	}
	if err := b.truncate(rec.Size); err != nil {
		return err
	}
	b.mtime, b.replaces, b.journaled = rec.Mtime, rec.Replaces, true
	b.journal.chunks = uint64(len(chunks))
	n.buf = b
	v.fs.table.setDirty(n, true)
	err = n.endEditLocked(true)
	if errors.Is(err, ErrNotExist) { // the file is gone, and nobody can have it open
		err = errors.Join(n.dropEditLocked(), v.update(func(t *txn) error {
			t.deleteJournal(rec.File, b.journal)
			return nil
		}))
	}
	if err != nil {
		return fmt.Errorf("end the edit that a crash interrupted: %w", err)
	}
	v.fs.table.release(n)
	return nil
}

// loadLeft reads the sums that an fsync of an earlier run stored. What is damaged fails who reads it.
func (v *Volume) loadLeft(p *spill, rec editRecord) error {
	l := left{rec: rec, local: v.log.Local, fs: v.fs.st.FS(), trail: v.fs.spills.trailPath(rec.Spill), boot: v.fs.boot}
	var believed int64
	err := p.use(func(f vfs.File) (err error) {
		believed, err = l.load(&p.sums, f)
		return err
	})
	if errors.Is(err, ErrDamaged) { // there is no file
		return nil
	}
	if err != nil {
		return fmt.Errorf("sums of an edit that a crash interrupted: %w", err)
	}
	if p.sums.bad != nil {
		v.fs.damage.add(v, rec.File, p.sums.bad)
	}
	if believed > 0 {
		v.fs.log.Info("pages of an edit were written after its last fsync, and are as they were at some moment before the power went", "pages", believed)
	}
	if p.sums.of != nil {
		return p.follow(rec.Have)
	}
	return nil
}

// rewriteAt is WriteAt of bytes that a journal has, as it was at a kill. A page of the spill file that is damaged, and of which they are a part, stays damaged: it has
// them already, or they are lost with it.
func (b *buffer) rewriteAt(p []byte, off int64) error {
	for len(p) > 0 {
		n := min(int64(len(p)), page-off%page)
		_, err := b.WriteAt(p[:n], off)
		if errors.Is(err, ErrDamaged) && b.spill != nil {
			b.held += b.have.add(off, n)
			b.size, err = max(b.size, off+n), nil
		}
		if err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// Sweep removes spill files that nothing names: leftovers of edits that a crash cut off before anything was
// promised. It is called once, when all identities have been added.
func (f *FS) Sweep() error {
	keep := map[uint64]bool{}
	for _, v := range f.allVolumes() {
		v.mu.Lock()
		for _, p := range v.pending {
			keep[p.rec.Spill] = true
		}
		v.mu.Unlock()
	}
	return f.spills.sweep(keep)
}
