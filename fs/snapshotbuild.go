package fs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A volume remembers the snapshot that it has made last, whether it has its name still or not: the next one is made from it and from what
// has changed since. It is forgotten with the last name.

// builtRecord stands behind localBuilt.
type builtRecord struct {
	_      struct{} `cbor:",toarray"`
	Moment momentRecord
	Mark   eventlog.Mark
	Root   ipld.Link
}

// built reads the last snapshot; false if there is none, or its record can't be read: then the next one is made from nothing.
func (v *Volume) built() (b builtRecord, ok bool) {
	err := v.log.Local(func(r eventlog.Reader) {
		var rec []byte
		if rec, ok = r.Get([]byte{localBuilt}); ok {
			ok = dagcbor.DecodeTrusted(rec, &b) == nil
		}
	})
	return b, ok && err == nil
}

// forgetBuilt forgets the last snapshot, and has the log note no more changes. The caller holds v.building.
func (v *Volume) forgetBuilt() error {
	_, err := v.log.Update(func(tx *eventlog.Tx) error {
		tx.DeleteLocal([]byte{localBuilt})
		return nil
	})
	return errors.Join(err, v.log.StopNotes())
}

const (
	settleEvery = 20 * time.Millisecond
	sealedEvery = 10 * time.Millisecond
)

// settle waits until all of a volume is committed, but not for long.
func (v *Volume) settle(ctx context.Context, most time.Duration) {
	for end := time.Now().Add(most); time.Now().Before(end); {
		if s := v.log.Stats(); s.UnframedEvents+s.TentativeEvents == 0 {
			return
		}
		v.home.id.Wake(true)
		if !pause(ctx, settleEvery) {
			return
		}
	}
}

// makeSnapshot builds a snapshot of the state as it is now. The caller holds v.building.
func (v *Volume) makeSnapshot(ctx context.Context, name string, progress func(uint64)) (s Snapshot, err error) {
	defer v.fs.blocks.Hold()()
	m := v.beginMaking()
	defer v.endMaking(m)
	var mark eventlog.Mark
	err = v.log.Pin(func(p *eventlog.Pin) { m.at(p, v.allPending()) }, func(p *eventlog.Pin) error {
		defer m.release()
		s = Snapshot{
			Name: name, Time: v.fs.now(), Moment: p.Moment, Index: p.Index, OrderHash: p.OrderHash, Tentative: p.Tentative > 0,
		}
		mark = p.Mark
		o := snapshot.Options{Content: v.sealedBy(ctx, m.waiting), Rest: v.fs.newLongManners(ctx).rest, Progress: progress}
		built, err := v.build(ctx, p, o)
		s.Root, s.Files, s.Bytes, s.Added = built.Root, built.Files, built.Bytes, built.Added
		return err
	})
	if err == nil {
		err = v.fs.blocks.Sync()
	}
	if err == nil {
		err = v.keepSnapshot(s, mark)
	}
	if err != nil {
		return Snapshot{}, err
	}
	return s, v.log.ForgetNotes(mark)
}

// build makes the blocks of a snapshot: from the last one, if it is there and known what has changed since.
func (v *Volume) build(ctx context.Context, p *eventlog.Pin, o snapshot.Options) (built snapshot.Built, err error) {
	to := snapshot.Target{Store: v.fs.blocks, Sealer: v.sealer}
	info := snapshot.Info{Volume: v.id, Reducer: v.local.Name(), Index: p.Index, OrderHash: p.OrderHash, Tentative: p.Tentative > 0}
	last, ok := v.built()
	if !ok {
		return snapshot.Build(ctx, to, p, info, o)
	}
	keys, known, err := p.Changed(last.Mark)
	if err != nil {
		return built, err
	}
	if !known {
		return snapshot.Build(ctx, to, p, info, o)
	}
	update := func(r eventlog.Reader) {
		built, err = snapshot.Update(ctx, to, snapshot.Before{Root: last.Root, Reader: r}, p, keys, info, o)
	}
	if e := v.log.At(last.Moment.moment(), update); errors.Is(e, eventlog.ErrNoHistory) {
		update(p) // directories that have moved since are built from nothing
	} else if e != nil {
		return built, e
	}
	if errors.Is(err, ipld.ErrDamaged) || errors.Is(err, ipld.ErrNotFound) {
		v.fs.log.Warn("the last snapshot can't be read; the next is made from nothing", "err", err)
		return snapshot.Build(ctx, to, p, info, o)
	}
	return built, err
}

// allPending returns the versions that are not sealed now.
func (v *Volume) allPending() map[tree.VersionID]*pending {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make(map[tree.VersionID]*pending, len(v.pending))
	for id, p := range v.pending {
		all[id] = p
	}
	return all
}

// sealedBy waits for versions to be sealed, and says where their bytes are then. If a version was let go without its bytes, they are where the
// state says: nowhere.
func (v *Volume) sealedBy(ctx context.Context, waiting map[tree.VersionID]*pending) func(tree.Version) (ipld.Content, error) {
	return func(ver tree.Version) (c ipld.Content, err error) {
		p := waiting[ver.ID]
		for {
			if p != nil {
				if as := p.sealedForm(); as != nil {
					return *as, nil
				}
			}
			done := false
			err := v.view(false, func(r eventlog.Reader) error {
				is, ok := tree.GetVersion(r, ver.ID)
				c, done = is.Content, ok && !is.Pending
				return nil
			})
			if err != nil || done {
				return c, err
			}
			if p == nil {
				return c, fmt.Errorf("nothing is known of its bytes: %w", ErrDamaged)
			}
			if err := v.fs.seal.trouble(); err != nil {
				return c, fmt.Errorf("it can't be sealed: %w", err)
			}
			if !pause(ctx, sealedEvery) {
				return c, ctx.Err()
			}
		}
	}
}
