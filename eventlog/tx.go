package eventlog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// A LocalSeq numbers this device's events until they are framed. It means nothing elsewhere; the first is 1.
type LocalSeq uint64

var (
	// ErrNoKeys says that this process holds the volume's frames and can't read or write its events.
	ErrNoKeys = errors.New("this device has no keys for the volume")
	// ErrNotHeld says that an event can't be amended: it is not held, or is not there.
	ErrNotHeld = errors.New("event is not held")
)

// A Tx is one atomic change, made within Update by one goroutine. It reads what it wrote.
type Tx struct {
	l      *Log
	batch  *pebble.Batch
	state  *overlay
	local  *overlay
	next   LocalSeq
	held   []LocalSeq // appended held
	freed  []LocalSeq // amended
	patch  []func(State)
	begun  [][]byte // prefixes
	undo   undo
	at     Moment // of the change, once it has an event
	record []byte // scratch
	err    error
}

// Update runs fn under the log's exclusive lock, and makes everything it did visible at once: the events
// it appended, the state they lead to, their before-images, and the device-local keys it set. If fn
// returns an error nothing changes, and Update returns that error. When it returns the change is handed to the kernel; the
// caller waits for more than that, if it needs to, outside of every lock: commit.Wait(store.OnDisk).
//
// fn must not call the log's other methods.
func (l *Log) Update(fn func(tx *Tx) error) (store.Commit, error) {
	if l.keys == nil {
		return store.Commit{}, fmt.Errorf("update volume %x: %w", l.volume, ErrNoKeys)
	}
	l.brake.wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	tx := &l.tx
	tx.begin()
	defer tx.end()
	if err := fn(tx); err != nil {
		return store.Commit{}, err
	}
	if err := tx.finish(); err != nil {
		return store.Commit{}, fmt.Errorf("update volume %x: %w", l.volume, err)
	}
	if tx.batch.Empty() {
		return store.Commit{}, nil
	}
	b := tx.batch
	tx.batch = nil
	c, err := l.store.Hand(b)
	if err != nil {
		return store.Commit{}, fmt.Errorf("update volume %x: %w", l.volume, err)
	}
	tx.publish()
	return c, nil
}

func (tx *Tx) begin() {
	tx.batch = tx.l.db().NewBatch()
	tx.state.reset(tx.l.txState)
	tx.local.reset(tx.l.txLocal)
	tx.next, tx.at, tx.err = tx.l.next, Moment{}, nil
	tx.held, tx.freed, tx.patch, tx.begun = tx.held[:0], tx.freed[:0], tx.patch[:0], tx.begun[:0]
}

// end lets go of the batch of a change that came to nothing.
func (tx *Tx) end() {
	if tx.batch != nil {
		tx.batch.Close()
		tx.batch = nil
	}
}

// finish completes the batch by what the overlays hold.
func (tx *Tx) finish() error {
	if err := errors.Join(tx.err, tx.state.err, tx.local.err); err != nil {
		return err
	}
	tx.remember()
	putChanges(tx.batch, tx.l.txState.prefix, tx.state)
	putChanges(tx.batch, tx.l.txLocal.prefix, tx.local)
	return nil
}

// remember completes the batch by what the change makes history.
func (tx *Tx) remember() {
	if tx.at == (Moment{}) {
		return
	}
	l := tx.l
	if l.time.isNew(tx.at) {
		l.time.put(tx.batch, l.ks, tx.at)
	}
	tx.state.remember(l.reducer, func(c *cell) {
		tx.record = putFact(tx.batch, tx.record, l.ks, c.key, tx.at, c.orig, c.origOK, nil)
	})
}

// publish moves the log's marks in memory to where the batch has moved them on disk.
func (tx *Tx) publish() {
	tx.l.next = tx.next
	if tx.at != (Moment{}) {
		tx.l.time.keep(tx.at)
		tx.l.time.saved = true
	}
	for _, prefix := range tx.begun {
		tx.l.cache.begin(prefix)
	}
	tx.l.cache.learn(tx.state)
	for _, n := range tx.held {
		tx.l.held[n] = true
	}
	for _, n := range tx.freed {
		delete(tx.l.held, n)
	}
	if tx.l.rebasing {
		tx.l.patches = append(tx.l.patches, tx.patch...)
	}
}

// putChanges adds what o changed to b, below prefix, if it was not added before.
func putChanges(b *pebble.Batch, prefix []byte, o *overlay) {
	o.putOut(func(c *cell) {
		if !c.ok {
			op := b.DeleteDeferred(len(prefix) + len(c.key))
			copy(op.Key[copy(op.Key, prefix):], c.key)
			_ = op.Finish() // fails on indexed batches only
			return
		}
		op := b.SetDeferred(len(prefix)+len(c.key), len(c.val))
		copy(op.Key[copy(op.Key, prefix):], c.key)
		copy(op.Value, c.val)
		_ = op.Finish()
	})
}

// Get implements Reader, on the volume's state.
func (tx *Tx) Get(key []byte) ([]byte, bool) { return tx.state.Get(key) }

// Scan implements Reader, on the volume's state.
func (tx *Tx) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	tx.state.Scan(prefix, from, fn)
}

// Absent says that no state stands behind key: it holds an id that was drawn just now. It saves the lookup, which is
// the costliest part of creating something; if it is wrong, the state is.
func (tx *Tx) Absent(key []byte) { tx.state.Absent(key) }

// AbsentBelow is Absent for all keys with a prefix that holds such an id; it is remembered beyond the change. All
// prefixes that a log is told of, here and by Know, are of one length.
func (tx *Tx) AbsentBelow(prefix []byte) { tx.begun = append(tx.begun, prefix) }

// Append adds an event of this device to the log and applies it.
func (tx *Tx) Append(e Event) LocalSeq { return tx.add(e, false) }

// AppendHeld is Append for an event that may not leave the device yet, nor may those after it: its content is
// still being made durable. Amend releases it.
func (tx *Tx) AppendHeld(e Event) LocalSeq { return tx.add(e, true) }

func (tx *Tx) add(e Event, held bool) LocalSeq {
	n := tx.next
	if tx.next++; tx.at == (Moment{}) {
		tx.at = tx.l.time.next()
	}
	if len(e.Body) > MaxBody {
		tx.fail(fmt.Errorf("append event of %d bytes: %w", len(e.Body), ErrTooBig))
		return n
	}
	tx.putEvent(n, e, held)
	if held {
		tx.batch.Set(tx.key(kindHeld, n), nil, nil)
		tx.held = append(tx.held, n)
	}
	tx.state.beginUnit()
	tx.l.reducer.Apply(tx.state, tx.l.self, e)
	tx.state.endUnit(&tx.undo)
	tx.undo.moment = tx.at
	tx.record = tx.undo.encode(tx.record[:0])
	tx.batch.Set(tx.key(kindUndo, n), tx.record, nil)
	return n
}

// Amend replaces the body of held event n by its final form, and releases it. patch changes
// in the state what the new body does otherwise: it reads and sets keys that n alone has written, in parts that no event
// decides by. It may run again in another goroutine, on a state in which n came at another place. Amend returns
// ErrNotHeld if n is not held.
func (tx *Tx) Amend(n LocalSeq, body []byte, patch func(s State)) error {
	if !tx.l.held[n] {
		return fmt.Errorf("amend event %d: %w", n, ErrNotHeld)
	}
	if len(body) > MaxBody {
		return fmt.Errorf("amend event %d to %d bytes: %w", n, len(body), ErrTooBig)
	}
	e, _, err := tx.l.unframed(tx.l.db(), n)
	if err != nil {
		return fmt.Errorf("amend event %d: %w", n, err)
	}
	e.Body = body
	tx.putEvent(n, e, false)
	tx.batch.Delete(tx.key(kindHeld, n), nil)
	tx.freed = append(tx.freed, n)
	if patch != nil {
		patch(patcher{tx})
		tx.patch = append(tx.patch, patch)
	}
	return nil
}

// A patcher is the State of a patch.
type patcher struct{ *Tx }

func (p patcher) Set(key, val []byte) { p.state.Set(key, val) }

func (p patcher) Delete(key []byte) {
	p.fail(fmt.Errorf("amend: key %x would be deleted", key))
}

func (tx *Tx) putEvent(n LocalSeq, e Event, held bool) {
	tx.record = appendEventRecord(tx.record[:0], e, held)
	tx.batch.Set(tx.key(kindUnframed, n), tx.record, nil)
}

// GetLocal returns a device-local value: one that is no part of the state and that no rebase takes back.
func (tx *Tx) GetLocal(key []byte) ([]byte, bool) { return tx.local.Get(key) }

// SetLocal sets a device-local value. val must stay as it is until Update returns.
func (tx *Tx) SetLocal(key, val []byte) { tx.local.overwrite(key, val, true) }

// DeleteLocal deletes a device-local value.
func (tx *Tx) DeleteLocal(key []byte) { tx.local.overwrite(key, nil, false) }

// ScanLocal is Scan on the device-local keys.
func (tx *Tx) ScanLocal(prefix, from []byte, fn func(key, val []byte) bool) {
	tx.local.Scan(prefix, from, fn)
}

func (tx *Tx) key(kind byte, n LocalSeq) []byte {
	tx.l.txKey = appendLocalKey(tx.l.txKey[:0], tx.l.ks, kind, n)
	return tx.l.txKey
}

func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// appendEventRecord encodes an unframed event: [held, time, body].
func appendEventRecord(b []byte, e Event, held bool) []byte {
	b = appendHead(b, majorArray, 3)
	b = appendBool(b, held)
	b = appendInt(b, e.Time)
	return appendBytes(b, e.Body)
}

func decodeEventRecord(rec []byte) (e Event, held bool, err error) {
	s := scanner{b: rec}
	if s.count() != 3 {
		return Event{}, false, fmt.Errorf("event record: %w", errShort)
	}
	held, e.Time, e.Body = s.boolean(), s.integer(), s.bytes()
	if err := s.end(); err != nil {
		return Event{}, false, fmt.Errorf("event record: %w", err)
	}
	return e, held, nil
}
