package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

// A Checkpoint is a point of the committed order from which a log can go on without what came before: the state there, all that the reducer
// hides in it, and what later frames may build on. Devices that have committed the same make the same one.
type Checkpoint struct {
	Index     Index // the last that the sequencer gave
	OrderHash [32]byte
	Frames    uint64 // committed
	Events    uint64
	Table     table.Root // the records, under their keys below the volume's
}

var (
	// ErrUnsettled says that a log has tentative frames: a checkpoint is made when it has none.
	ErrUnsettled = errors.New("there are tentative frames")
	// ErrNotEmpty says that a checkpoint would be restored over something.
	ErrNotEmpty = errors.New("the log is not empty")
)

// checkpointKinds are the records that a checkpoint holds, in the order of their keys.
var checkpointKinds = []byte{kindCommitted, kindHead, kindMeta, kindState}

// pauseRecords is after how many records somebody else may have a turn.
const pauseRecords = 1024

// A Prefix is what was committed at one moment, whatever comes after. Close it: the database keeps what it needs till then.
type Prefix struct {
	l      *Log
	snap   *pebble.Snapshot
	marks  marks
	next   LocalSeq
	moment Moment // the last that was given
}

// Prefix returns what is committed now. It returns at once: ErrUnsettled while there are tentative frames, ErrNoKeys if this log has no state.
func (l *Log) Prefix() (*Prefix, error) {
	l.order.Lock()
	defer l.order.Unlock()
	err := l.reload()
	switch {
	case l.keys == nil:
		err = ErrNoKeys
	case err == nil && len(l.graph.tentative) > 0:
		err = ErrUnsettled
	}
	if err != nil {
		return nil, fmt.Errorf("committed prefix of volume %v: %w", l.volume, err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return &Prefix{l: l, snap: l.db().NewSnapshot(), marks: l.marks, next: l.next, moment: l.time.last}, nil
}

// Close lets go of it.
func (p *Prefix) Close() { p.l.store.CloseSnapshot(p.snap) }

// Checkpoint makes one: blocks go to a store, where the caller holds them until something refers to the table. memo makes the next one
// cheap, see table.Memo; the table that it is of must be kept. pause is called between parts of the work, without a lock; its error ends
// it.
func (p *Prefix) Checkpoint(ctx context.Context, to ipld.Store, sealer *ipld.Sealer, memo *table.Memo, pause func() error) (Checkpoint, ipld.Added, error) {
	l := p.l
	c := Checkpoint{Index: p.marks.Index, OrderHash: p.marks.OrderHash, Frames: p.marks.Frames, Events: p.marks.Events}
	w := table.NewWriter(ctx, to, sealer, memo)
	n := 0
	err := p.each(func(key, val []byte) error {
		if n++; n%pauseRecords == 0 {
			if err := pause(); err != nil {
				return err
			}
		}
		return w.Add(key, val)
	})
	var added ipld.Added
	if err == nil {
		c.Table, added, err = w.Close()
	}
	if err != nil {
		return c, added, fmt.Errorf("checkpoint of volume %v: %w", l.volume, err)
	}
	return c, added, nil
}

// each calls fn for the records of a checkpoint in the order of their keys.
func (p *Prefix) each(fn func(key, val []byte) error) error {
	l := p.l
	for _, kind := range checkpointKinds {
		if kind == kindState {
			break
		}
		prefix := l.ks.kind(kind)
		err := scanRange(p.snap, prefix, after(prefix), func(key, val []byte) error {
			if kind == kindMeta { // also of what waits
				var m frameMeta
				if err := dagcbor.DecodeTrusted(val, &m); err != nil || m.Index == 0 {
					return err
				}
			}
			return fn(key[len(l.ks.prefix):], val)
		})
		if err != nil {
			return err
		}
	}
	state := newOverlay(newDBState(p.snap, l.ks.kind(kindState)))
	if err := l.takeBackUnframed(state, p.snap, p.marks.First, p.next); err != nil {
		return err
	}
	var err error
	record := []byte{kindState}
	state.Scan(nil, nil, func(key, val []byte) bool {
		record = append(record[:1], key...)
		err = fn(record, val)
		return err == nil
	})
	return errors.Join(err, state.err)
}

// takeBackUnframed undoes the unframed events in o.
func (l *Log) takeBackUnframed(o *overlay, db pebble.Reader, first, end LocalSeq) error {
	var us []*undo
	err := scanRange(db, l.ks.local(kindUndo, first), l.ks.local(kindUndo, end), func(_, val []byte) error {
		u, err := decodeUndo(bytes.Clone(val))
		us = append(us, u)
		return err
	})
	if err == nil && len(us) != int(end-first) {
		err = fmt.Errorf("undo of events %d to %d: %w", first, end-1, errMissing)
	}
	if err != nil || len(us) == 0 {
		return err
	}
	o.takeBack(mergeUndos(us))
	return o.err
}
