package eventlog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

// restoreBytes is about how much of a checkpoint goes into one batch.
const restoreBytes = 1 << 20

// Restore writes a checkpoint, and the history of what it has (see History; nil: there is none before it), into the place of a log that is not
// there, and has not been opened: Open then finds a log that has committed all up to k.Index, and keeps k. Nothing of it counts before all is on
// disk, so it may be begun again after a crash. It returns ErrNotEmpty if there is a log; ipld.ErrNotFound and ipld.ErrDamaged if a table
// is not here as a whole.
func Restore(o Options, from ipld.Store, k Kept, history *table.Root) error {
	r := &restoring{o: o, ks: newKeyspace(o.Volume), from: from}
	if err := r.run(k, history); err != nil {
		return fmt.Errorf("restore volume %v from checkpoint %d: %w", o.Volume, k.Index, err)
	}
	return nil
}

// A restoring is one run of Restore.
type restoring struct {
	o    Options
	ks   keyspace
	from ipld.Store
	b    *pebble.Batch
}

func (r *restoring) run(k Kept, history *table.Root) (err error) {
	if _, there, err := dbGet(r.o.Store.DB(), r.ks.kind(kindMarks)); err != nil || there {
		return cmp.Or(err, ErrNotEmpty)
	}
	r.b = r.o.Store.DB().NewBatch()
	defer func() {
		if r.b != nil {
			err = errors.Join(err, r.b.Close())
		}
	}()
	for _, kind := range append(bytes.Clone(checkpointKinds), historyKinds...) { // what an earlier attempt left
		r.b.DeleteRange(r.ks.kind(kind), after(r.ks.kind(kind)), nil)
	}
	if err := r.table(k.Table, checkpointKinds); err != nil {
		return err
	}
	if history != nil {
		if err := r.table(*history, historyKinds); err != nil {
			return err
		}
	} else if k.Until.Era > 0 {
		put(r.b, r.ks.era(k.Until.Era), &era{Start: k.Until.Time, Last: k.Until.Time})
	}
	put(r.b, r.ks.kind(kindBase), &k.Index)
	put(r.b, r.ks.kept(k.Index), k.record())
	put(r.b, r.ks.kind(kindMarks), &marks{
		Version: marksVersion, Device: r.o.Feed.Device, Incarnation: r.o.Feed.Incarnation, First: 1,
		Index: k.Index, OrderHash: k.OrderHash, Frames: k.Frames, Events: k.Events,
	})
	return r.commit(store.OnDisk)
}

// commit applies what was gathered.
func (r *restoring) commit(d store.Durability) error {
	b := r.b
	r.b = nil
	return r.o.Store.Commit(b, d)
}

// table writes the records of a table, which are of some kinds.
func (r *restoring) table(t table.Root, kinds []byte) error {
	var n uint64
	err := table.Each(r.from, t.Link, func(key, val []byte) error {
		if len(key) == 0 || !bytes.Contains(kinds, key[:1]) {
			return fmt.Errorf("record %x: %w", key, ipld.ErrDamaged)
		}
		n++
		r.b.Set(append(r.ks.prefix, key...), val, nil)
		if r.b.Len() < restoreBytes {
			return nil
		}
		err := r.commit(store.Applied)
		r.b = r.o.Store.DB().NewBatch()
		return err
	})
	if err == nil && n != t.Records {
		err = fmt.Errorf("%d records, want %d: %w", n, t.Records, ipld.ErrDamaged)
	}
	return err
}
