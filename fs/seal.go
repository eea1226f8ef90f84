package fs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A pending is a closed version whose bytes are not in the block store yet. It is content all along: its readers do
// not notice when its bytes move there.
type pending struct {
	vol *Volume
	id  tree.VersionID
	rec editRecord
	op  tree.SetContent

	below atomic.Bool // an edit stands on it
	noted atomic.Bool // the record says that the bytes are on disk
	kept  atomic.Bool // its event went without its bytes, see letGo
	lost  bool        // a power loss took the bytes before they were on disk

	mu    sync.RWMutex
	bytes layered
	mem   int64         // of bytes, in spills.mem
	as    *ipld.Content // where they are once sealed
	now   content       // reads them then
}

func (v *Volume) newPending(n *Node, id tree.VersionID) *pending {
	p := &pending{vol: v, id: id, rec: n.record(n.buf), bytes: n.buf.layered}
	if s := p.bytes.spill; s != nil {
		var err error
		if p.rec.Sums, err = s.storeSums(); err != nil { // the disk is full, say
			v.fs.log.Debug("a version has no checksums until it is sealed", "err", err)
		}
	}
	return p
}

func (p *pending) Size() int64 { return p.rec.Size }

func (p *pending) ReadAt(b []byte, off int64) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.now != nil {
		return p.now.ReadAt(b, off)
	}
	if p.lost {
		return 0, ErrDamaged
	}
	return p.bytes.ReadAt(b, off)
}

func (p *pending) extent(off int64) (int64, bool, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.now != nil {
		return p.now.extent(off)
	}
	if p.lost {
		return 0, false, ErrDamaged
	}
	return p.bytes.extent(off)
}

func (p *pending) sealedForm() *ipld.Content {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.as
}

// sync makes the bytes durable that are not below.
func (p *pending) sync() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.now != nil || p.bytes.spill == nil {
		return nil
	}
	return p.bytes.spill.sync()
}

func (p *pending) base() content {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.bytes.base
}

func (p *pending) unsynced() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.now == nil && p.bytes.isUnsynced()
}

// syncBelow makes durable what an edit or a version stands on. A version must say so itself: after a power loss it counts
// as lost else, and what stands on it with it.
func syncBelow(base content) error {
	if p, ok := base.(*pending); ok {
		return p.toDisk()
	}
	return nil
}

// toDisk makes the bytes durable where they are, and notes that they are: the note is on disk with the next sync of the log.
// No lock is held but nodes'.
func (p *pending) toDisk() error {
	if p.lost {
		return nil // a note would have the next start trust them
	}
	if err := errors.Join(p.sync(), syncBelow(p.base())); err != nil {
		if errors.Is(err, ErrDamaged) {
			p.vol.fs.damage.add(p.vol, p.rec.File, err)
		}
		return err
	}
	if p.noted.Load() {
		return nil
	}
	key := localKey(localPending, p.id)
	return p.vol.updateTo(store.Applied, func(t *txn) error {
		t.opening = true
		val, ok := t.GetLocal(key)
		if !ok {
			return nil // sealed meanwhile
		}
		rec, err := decodeEdit(val)
		if err != nil {
			return err
		}
		rec.Boot = ""
		t.SetLocal(key, dagcbor.Encode(rec))
		t.then(func() { p.noted.Store(true) })
		return nil
	})
}

// moved lets go of where the bytes were.
func (p *pending) moved(c ipld.Content) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = sealed{p.vol.fs.openSealed(c), c}
	s := p.bytes.spill
	if s == nil && c.Depth == 0 {
		p.vol.fs.cache.Keep(c.Root, p.bytes.mem) // what was written is often read soon
	}
	p.bytes = layered{}
	p.vol.fs.spills.mem.Add(-p.mem)
	p.mem = 0
	if s != nil {
		return s.remove()
	}
	return nil
}

// hold makes the version visible, and leaves a record of where its bytes are. Its event may not leave the
// device before they are sealed.
func (t *txn) hold(p *pending, op tree.SetContent) {
	p.op = op
	t.opening = !p.rec.Local // sealing is about to let the event go
	p.rec.settle(p.bytes.base)
	if p.bytes.isUnsynced() {
		p.rec.Boot = t.v.fs.boot
	}
	p.noted.Store(p.rec.Boot == "")
	if p.rec.Local {
		t.apply(true, op)
	} else {
		p.rec.Seq = uint64(t.AppendHeld(eventlog.Event{Time: t.now, Body: tree.Encode(op)}))
	}
	if p.bytes.spill == nil {
		t.SetLocal(localKey(localBytes, p.id), p.bytes.mem)
	}
	t.SetLocal(localKey(localPending, p.id), dagcbor.Encode(p.rec))
	t.v.mu.Lock() // before the version can be seen: who sees it finds its bytes
	t.v.pending[p.id] = p
	t.v.mu.Unlock()
}

// drop forgets a pending version: it is sealed, or never came to be.
func (v *Volume) drop(p *pending) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.pending, p.id)
}

const sealRetry = 2 * time.Second

// runSealing seals closed versions in the background, one batch after the other.
func (f *FS) runSealing(ctx context.Context) {
	var last time.Time
	for f.seal.wait(ctx) {
		if since := time.Since(last); since < sealIdle {
			f.seal.gather(ctx, sealGather-since)
		}
		batch := f.seal.take()
		err := f.sealAll(ctx, batch)
		if err != nil {
			f.seal.back(batch)
		}
		f.seal.sealed(err)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if errors.Is(err, store.ErrNoSpace) && f.spills.reclaim() {
				continue
			}
			f.st.Report(partSeal, err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(sealRetry):
			}
			continue
		}
		f.st.Report(partSeal, nil)
		last = time.Now()
	}
}

// sealAll cuts, seals and stores the bytes of a batch, syncs them once, and then lets their events go.
func (f *FS) sealAll(ctx context.Context, batch []*pending) error {
	// From being put to being named by the state, blocks are reached by nothing.
	defer f.blocks.Hold()()
	done := make([]ipld.Content, len(batch))
	aside := make([]bool, len(batch))
	m := f.newManners(ctx)
	for i, p := range batch {
		m.rest()
		c, err := p.write(ctx, m)
		if errors.Is(err, ErrDamaged) || errors.Is(err, ipld.ErrDamaged) || errors.Is(err, ipld.ErrNotFound) {
			f.damage.add(p.vol, p.rec.File, err)
			f.log.Error("content can't be sealed", "version", fmt.Sprintf("%x", p.id[:4]), "err", err)
			aside[i] = true
			continue
		}
		if err != nil {
			return fmt.Errorf("seal version %x: %w", p.id[:4], err)
		}
		done[i] = c
	}
	if err := f.blocks.Sync(); err != nil {
		return fmt.Errorf("sync blocks: %w", err)
	}
	for i, p := range batch {
		if aside[i] {
			if err := p.letGo(ctx); err != nil {
				return err
			}
			continue
		}
		if p.lost { // before it counts as sealed: after a crash in between it must be known as lost still
			if err := p.vol.restore(p); err != nil {
				return fmt.Errorf("go back from lost version %x: %w", p.id[:4], err)
			}
		}
		if err := p.vol.sealed(p, done[i]); err != nil {
			return err
		}
	}
	return nil
}

// write seals the bytes. It holds no lock meanwhile: only the sealing goroutine, which runs it, takes them away.
func (p *pending) write(ctx context.Context, m *manners) (ipld.Content, error) {
	if as := p.sealedForm(); as != nil {
		return *as, nil
	}
	if p.lost {
		return p.lostContent(ctx)
	}
	r := politeReader{&p.bytes, m}
	// Of an edit in memory nobody knows what differs from its base: all of it is cut anew.
	if p.bytes.spill != nil {
		old := &ipld.Content{} // holes cost nothing
		if p.bytes.base != nil && p.bytes.below > 0 {
			old = sealedForm(p.bytes.base)
		}
		if old != nil {
			return p.vol.sealer.Update(ctx, p.vol.fs.blocks, *old, p.rec.Size, p.bytes.dirty(), r)
		}
	}
	return p.vol.sealer.Write(ctx, p.vol.fs.blocks, r, p.rec.Size)
}

// sealed puts the final form of a version in place of its pending one, in the event and in the state.
func (v *Volume) sealed(p *pending, c ipld.Content) error {
	v.mu.Lock()
	_, waits := v.pending[p.id]
	v.mu.Unlock()
	if !waits {
		return nil // an earlier try came this far
	}
	op := p.op
	op.Version.Pending = false
	op.Version.Content = c
	// Records of edits that stand on p are made under the log's lock: those made before this change are
	// amended by it, those made after it see p.as.
	p.mu.Lock()
	p.as = &c
	p.mu.Unlock()
	err := v.updateTo(store.Applied, func(t *txn) error {
		patch := func(s eventlog.State) { tree.Sealed(s, op.Version) }
		if p.rec.Local {
			patch(localState{t.Tx})
		} else if err := t.Amend(eventlog.LocalSeq(p.rec.Seq), tree.Encode(op), patch); err != nil {
			return err
		}
		t.dropPending(p.id)
		if p.below.Load() {
			t.settle(p.id, c)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("seal version %x: %w", p.id[:4], err)
	}
	err = p.moved(c)
	v.drop(p)
	return err
}

// dropPending drops the records of a version's bytes.
func (t *txn) dropPending(id tree.VersionID) {
	t.DeleteLocal(localKey(localPending, id))
	t.DeleteLocal(localKey(localBytes, id))
}

// settle tells the records of edits that stand on a version where its bytes are now: the version itself may go
// before they end.
func (t *txn) settle(base tree.VersionID, c ipld.Content) {
	for _, kind := range []byte{localPending, localJournal} {
		type change struct{ key, val []byte }
		var changes []change
		t.ScanLocal([]byte{kind}, []byte{kind}, func(k, val []byte) bool {
			rec, err := decodeEdit(val)
			if err == nil && rec.Base == base && rec.BaseAs == nil {
				rec.BaseAs = &c
				changes = append(changes, change{append([]byte(nil), k...), dagcbor.Encode(rec)})
			}
			return true
		})
		for _, ch := range changes {
			t.SetLocal(ch.key, ch.val)
		}
	}
}

// syncPending makes the bytes of closed versions durable where they are: the store calls it before its own
// periodic sync.
func (f *FS) syncPending() error {
	var first error
	for _, v := range f.allVolumes() {
		v.mu.Lock()
		ps := make([]*pending, 0, len(v.pending))
		for _, p := range v.pending {
			ps = append(ps, p)
		}
		v.mu.Unlock()
		for _, p := range ps {
			if err := p.toDisk(); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}
