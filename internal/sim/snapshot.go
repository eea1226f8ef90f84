package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// builtKey is where a replica notes its last snapshot, among its own keys, as package fs does.
var builtKey = []byte("built") // constant

type builtRecord struct {
	_    struct{} `cbor:",toarray"`
	Era  uint32
	Time int64
	Mark eventlog.Mark
	Root ipld.Link
}

// makesSnapshots makes a snapshot now and then while this life lasts. It draws from randomness of its own, so that nothing else
// in a history depends on it.
func (r *replica) makesSnapshots() {
	life, rnd := r.life, rand.New(rand.NewPCG(uint64(r.n), uint64(r.life)))
	var again func()
	again = func() {
		if r.life != life {
			return
		}
		r.snapshot()
		r.settle()
		r.w.after(time.Duration(500+rnd.IntN(8000))*time.Millisecond, again)
	}
	r.w.after(time.Duration(rnd.IntN(8000))*time.Millisecond, again)
}

// snapshot makes a snapshot of what a replica shows: from its last one, if there is one. It returns false while something is not sealed, or nothing is there.
func (r *replica) snapshot() (root ipld.Link, tentative, ok bool) {
	var last builtRecord
	r.w.must("read the last snapshot", r.log.Local(func(l eventlog.Reader) {
		if rec, ok := l.Get(builtKey); ok {
			r.w.must("read the last snapshot", dagcbor.Decode(rec, &last))
		}
	}))
	var is builtRecord
	err := r.log.Pin(nil, func(p *eventlog.Pin) error {
		tentative = p.Tentative > 0
		keys, known, err := p.Changed(last.Mark)
		if err != nil {
			return err
		}
		var b snapshot.Built
		if known {
			before := eventlog.Moment{Era: last.Era, Time: last.Time}
			e := r.log.At(before, func(old eventlog.Reader) {
				b, err = snapshot.Update(context.Background(), r.target(), snapshot.Before{Root: last.Root, Reader: old}, p, keys, r.infoOf(p), snapshot.Options{})
			})
			err = errors.Join(e, err)
		} else {
			b, err = snapshot.Build(context.Background(), r.target(), p, r.infoOf(p), snapshot.Options{})
		}
		is = builtRecord{Era: p.Moment.Era, Time: p.Moment.Time, Mark: p.Mark, Root: b.Root}
		return err
	})
	if errors.Is(err, snapshot.ErrPending) || errors.Is(err, snapshot.ErrNoRoot) {
		return root, tentative, false
	}
	r.w.must(r.name+" makes a snapshot", err)
	r.w.must("sync blocks", r.blocks.Sync())
	_, err = r.log.Update(func(tx *eventlog.Tx) error {
		tx.SetLocal(builtKey, dagcbor.Encode(&is))
		return nil
	})
	r.w.must("note a snapshot", errors.Join(err, r.log.ForgetNotes(is.Mark)))
	return is.Root, tentative, true
}

func (r *replica) target() snapshot.Target {
	return snapshot.Target{Store: r.blocks, Sealer: r.w.sealer}
}

func (r *replica) infoOf(p *eventlog.Pin) snapshot.Info {
	return snapshot.Info{Volume: r.w.volume, Reducer: tree.Name, Index: p.Index, OrderHash: p.OrderHash, Tentative: p.Tentative > 0}
}

// checkSnapshots makes a last snapshot on every replica, each from those that it has made at moments of its own, and one from nothing: all have
// one root, since all have committed the same.
func (w *world) checkSnapshots() {
	var want ipld.Link
	for i, r := range w.replicas {
		var fresh snapshot.Built
		err := r.log.Pin(nil, func(p *eventlog.Pin) (err error) {
			fresh, err = snapshot.Build(context.Background(), r.target(), p, r.infoOf(p), snapshot.Options{})
			return err
		})
		if errors.Is(err, snapshot.ErrNoRoot) {
			return // nobody has done anything
		}
		w.must(r.name+" makes a snapshot", err)
		root, tentative, ok := r.snapshot()
		if i == 0 {
			want = fresh.Root
		}
		if !ok || tentative || root != fresh.Root || root != want {
			w.fail("%s makes snapshot %v from its last one and %v from nothing, %s makes %v; tentative: %t", r.name, root.CID, fresh.Root.CID,
				w.replicas[0].name, want.CID, tentative)
		}
	}
	w.tell("all have the snapshot %v", want.CID)
}
