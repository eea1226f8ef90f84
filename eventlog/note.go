package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// A Mark is a moment for Pin.Changed. The zero Mark is before all.
type Mark struct {
	_    struct{} `cbor:",toarray"`
	Note uint64
	Seq  LocalSeq
}

// Notes say which keys of the state have changed. Of this device's unframed events their undo records say it; a note is written when they are
// framed, or when a rebase has changed the state: never on the way of an Update. There are none until somebody asks for them by Pin.

// maxNotes bounds the bytes of notes that nobody has taken: beyond them they are dropped, and whoever asks must look at all of the state.
const maxNotes = 32 << 20

// lostNotes is the number from which a log counts on whose notes are damaged: then nothing that was noted is known.
const lostNotes = 1 << 62

// notes are what a log keeps of its notes.
type notes struct {
	on    bool
	from  uint64 // the first that there is
	next  uint64
	base  uint64 // bytes of all notes before from
	total uint64 // bytes of all notes before next
}

// notesRecord stands behind kindNotes.
type notesRecord struct {
	_    struct{} `cbor:",toarray"`
	On   bool
	From uint64
	Base uint64
}

// A note is the keys that changed with this device's events up to one, or with a rebase.
type note struct {
	_     struct{} `cbor:",toarray"`
	Last  LocalSeq // 0: a rebase
	Total uint64   // bytes of all notes up to this one
	Keys  [][]byte
}

func (k keyspace) note(n uint64) []byte { return binary.BigEndian.AppendUint64(k.kind(kindNote), n) }

func (l *Log) loadNotes() error {
	l.notes = notes{}
	rec, ok, err := dbGet(l.db(), l.ks.kind(kindNotes))
	if err != nil || !ok {
		return err
	}
	var r notesRecord
	if dagcbor.DecodeTrusted(rec, &r) != nil {
		l.notes = notes{from: lostNotes, next: lostNotes}
		return nil
	}
	l.notes = notes{on: r.On, from: r.From, next: r.From, base: r.Base, total: r.Base}
	last, err := l.lastKey(l.ks.note(r.From), after(l.ks.kind(kindNote)))
	if err != nil || last == nil {
		return err
	}
	val, _, err := dbGet(l.db(), last)
	if err != nil {
		return err
	}
	var n note
	if dagcbor.DecodeTrusted(val, &n) != nil {
		l.notes = notes{from: lostNotes, next: lostNotes}
		return nil
	}
	l.notes.next, l.notes.total = binary.BigEndian.Uint64(last[len(last)-8:])+1, n.Total
	return nil
}

// note adds to b that keys changed. l.order is held; if b comes to nothing, the log must be loaded again.
func (l *Log) note(b *pebble.Batch, last LocalSeq, keys [][]byte) {
	ns := &l.notes
	if !ns.on {
		return
	}
	n := note{Last: last, Total: ns.total}
	for _, k := range keys {
		if l.reducer.Remembers(k, true) {
			n.Keys = append(n.Keys, k)
			n.Total += uint64(len(k)) + 2
		}
	}
	if len(n.Keys) == 0 {
		return
	}
	if n.Total-ns.base > maxNotes {
		l.dropNotes(b, false, ns.next+1)
		return
	}
	put(b, l.ks.note(ns.next), &n)
	ns.next++
	ns.total = n.Total
}

// noteUndos is note for events that are being framed.
func (l *Log) noteUndos(b *pebble.Batch, last LocalSeq, us []*undo) {
	if !l.notes.on {
		return
	}
	var keys [][]byte
	for _, u := range us {
		for _, im := range u.images {
			keys = append(keys, im.key)
		}
	}
	l.note(b, last, sortedUnique(keys))
}

// note notes what a rebase changed, and also what those events had changed that were done again: their undo records, which told
// of it so far, don't any more, and it may have come about in another way.
func (ch *chase) note() {
	if !ch.c.l.notes.on {
		return
	}
	keys := slices.Clone(ch.changed)
	for _, u := range ch.touched.undos {
		for _, im := range u.images {
			keys = append(keys, im.key)
		}
	}
	ch.c.l.note(ch.c.batch, 0, sortedUnique(keys))
}

// dropNotes adds to b that there are no notes before from; if not on, there are none at all from here on.
func (l *Log) dropNotes(b *pebble.Batch, on bool, from uint64) {
	ns := &l.notes
	base := ns.total
	b.DeleteRange(l.ks.note(0), l.ks.note(from), nil)
	put(b, l.ks.kind(kindNotes), &notesRecord{On: on, From: from, Base: base})
	*ns = notes{on: on, from: from, next: max(ns.next, from), base: base, total: ns.total}
}

// ForgetNotes drops what was noted before a mark. Whoever asks Changed for what has changed since an earlier one, must look at
// all of the state.
func (l *Log) ForgetNotes(before Mark) error {
	return l.changeNotes(func(b *pebble.Batch) {
		if n := before.Note; l.notes.on && n > l.notes.from {
			l.dropNotes(b, true, n)
		}
	})
}

// StopNotes drops all notes; there are none until the next Pin.
func (l *Log) StopNotes() error {
	return l.changeNotes(func(b *pebble.Batch) {
		if l.notes.on {
			l.dropNotes(b, false, l.notes.next+1)
		}
	})
}

func (l *Log) changeNotes(fn func(b *pebble.Batch)) error {
	l.order.Lock()
	defer l.order.Unlock()
	if err := l.reload(); err != nil {
		return err
	}
	b := l.db().NewBatch()
	fn(b)
	if b.Empty() {
		return b.Close()
	}
	if err := l.store.Commit(b, store.Applied); err != nil {
		l.stale = true
		return fmt.Errorf("notes of volume %v: %w", l.volume, err)
	}
	return nil
}

// A Pin is a log at one moment: its state, and where in the order that is.
type Pin struct {
	Reader
	Moment    Moment
	Index     Index    // the last that the sequencer gave
	OrderHash [32]byte // there
	Tentative uint64   // events in the state that are not committed
	Mark      Mark

	l     *Log
	snap  *pebble.Snapshot
	first LocalSeq
	notes notes
}

// Pin runs fn on the log as it is now, for as long as that takes: without a lock, and nothing that changes meanwhile is seen. It waits
// for a rebase that goes on. From here on the log notes what changes. now is called under the lock at the moment of the pin: it must
// call nothing of the log; it may be nil.
func (l *Log) Pin(now func(p *Pin), fn func(p *Pin) error) error {
	if l.keys == nil {
		return fmt.Errorf("pin volume %v: %w", l.volume, ErrNoKeys)
	}
	if err := l.changeNotes(func(b *pebble.Batch) {
		if !l.notes.on {
			l.dropNotes(b, true, l.notes.next)
		}
	}); err != nil {
		return err
	}
	p := l.pin(now)
	defer l.store.CloseSnapshot(p.snap)
	r := newDBState(p.snap, l.ks.kind(kindState))
	p.Reader = r
	if err := fn(p); err != nil {
		return err
	}
	return r.err
}

func (l *Log) pin(now func(*Pin)) *Pin {
	l.order.Lock()
	defer l.order.Unlock()
	l.mu.RLock()
	defer l.mu.RUnlock()
	p := &Pin{
		Moment: l.time.last, Index: l.marks.Index, OrderHash: l.marks.OrderHash, Tentative: uint64(l.next - l.marks.First),
		Mark: Mark{Note: l.notes.next, Seq: l.next}, l: l, snap: l.db().NewSnapshot(), first: l.marks.First, notes: l.notes,
	}
	for _, n := range l.graph.tentative {
		p.Tentative += n.header.Count
	}
	if now != nil {
		now(p)
	}
	return p
}

// Beside runs fn on the pinned state with a Reader of its own, for another goroutine than that of Pin's fn, which has not returned yet.
func (p *Pin) Beside(fn func(r Reader)) error {
	r := newDBState(p.snap, p.l.ks.kind(kindState))
	fn(r)
	return r.err
}

// Changed returns the keys of the state that may have changed since an earlier pin's mark, of those that history remembers, each once. It returns
// false if that is not known any more.
func (p *Pin) Changed(since Mark) (keys [][]byte, known bool, err error) {
	if since == (Mark{}) || since.Note < p.notes.from {
		return nil, false, nil
	}
	err = scanRange(p.snap, p.l.ks.note(since.Note), p.l.ks.note(p.notes.next), func(_, val []byte) error {
		var n note
		if dagcbor.DecodeTrusted(val, &n) != nil {
			return errStop
		}
		if n.Last == 0 || n.Last >= since.Seq {
			keys = append(keys, n.Keys...)
		}
		return nil
	})
	if errors.Is(err, errStop) { // it is damaged
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("notes of volume %v: %w", p.l.volume, err)
	}
	low, high := p.l.ks.local(kindUndo, max(since.Seq, p.first)), p.l.ks.local(kindUndo, p.Mark.Seq)
	if bytes.Compare(low, high) < 0 {
		err = scanRange(p.snap, low, high, func(_, val []byte) error {
			u, err := decodeUndo(bytes.Clone(val))
			if err != nil {
				return err
			}
			for _, im := range u.images {
				if p.l.reducer.Remembers(im.key, true) {
					keys = append(keys, im.key)
				}
			}
			return nil
		})
	}
	if err != nil {
		return nil, false, fmt.Errorf("undo records of volume %v: %w", p.l.volume, err)
	}
	return sortedUnique(keys), true, nil
}
