package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A savepoint is a checkpoint that was made in the midst of a history, and what it needs.
type savepoint struct {
	by     *replica
	is     eventlog.Checkpoint
	blocks *ipld.Memory
}

// save makes a checkpoint of a replica, if it has nothing tentative. It is a try: histories are seldom that calm.
func (w *world) save(r *replica) (savepoint, bool) {
	if !r.up() {
		return savepoint{}, false
	}
	p, err := r.log.Prefix()
	if errors.Is(err, eventlog.ErrUnsettled) {
		return savepoint{}, false
	}
	w.must("committed prefix", err)
	defer p.Close()
	s := savepoint{by: r, blocks: ipld.NewMemory()}
	s.is, _, err = p.Checkpoint(context.Background(), s.blocks, w.sealer, nil, func() error { return nil })
	w.must("checkpoint", err)
	w.tell("%s has a checkpoint at %d, order %x, %d records", r.name, s.is.Index, s.is.OrderHash[:4], s.is.Table.Records)
	return s, true
}

// saveSometime makes one checkpoint at some moment, of whoever has nothing tentative then or a while after.
func (w *world) saveSometime() {
	w.after(w.between(0, w.plan.length), func() {
		for _, i := range rand.New(rand.NewPCG(w.made, 1)).Perm(len(w.replicas)) {
			if s, ok := w.save(w.replicas[i]); ok {
				w.saved = append(w.saved, s)
				return
			}
		}
		if w.now < w.plan.length {
			w.saveSometime()
		}
	})
}

// checkSaved has a new device go on from each checkpoint: what was ordered since leads it to the state that all have, and to the checkpoint that
// each of them would make.
func (w *world) checkSaved() {
	want := w.replicas[0].dump()
	end, ok := w.save(w.replicas[0])
	if !ok {
		w.fail("in the end there is something tentative")
	}
	for _, r := range w.replicas[1:] {
		if s, ok := w.save(r); !ok || s.is != end.is {
			w.fail("%s makes the checkpoint %+v in the end, %s another", r.name, s.is, end.by.name)
		}
	}
	for _, s := range w.saved {
		st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
		w.must("new store", err)
		o := eventlog.Options{
			Store: st, Volume: w.volume, Keys: w.keys, Reducer: tree.New(), Rand: rand.NewChaCha8([32]byte{}),
			Feed: eventlog.Feed{Volume: w.volume, Device: w.devices[0].Device(), Incarnation: 1 << 40}, Sign: w.devices[0].Sign,
			Member: func(d identity.DeviceID) bool { return w.members[d] },
			Now:    func() time.Time { return time.Unix(0, w.clock()) },
		}
		w.must("restore", eventlog.Restore(o, s.blocks, s.is))
		log, err := eventlog.Open(o)
		w.must("open", err)
		for _, e := range w.sequencer.entries {
			w.must("follow", log.Commit(e.index, e.frames...))
		}
		r := &replica{w: w, name: "from the checkpoint of " + s.by.name, st: st, log: log}
		if d := r.dump().differ(want); d != "" {
			w.fail("a device that goes on from the checkpoint of %s at %d has another tree: %s", s.by.name, s.is.Index, d)
		}
		if again, ok := w.save(r); !ok || again.is != end.is {
			w.fail("a device that goes on from the checkpoint of %s at %d makes %+v, others %+v", s.by.name, s.is.Index, again.is, end.is)
		}
		w.must("close", st.Close())
	}
}
