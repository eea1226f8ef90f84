package eventlog

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// At runs fn on the state as it was just after moment m, of what the reducer remembers. Nothing is replayed, whatever has happened since: a
// key costs one search more than one of the state now. It holds no lock, and shows one state whatever changes meanwhile.
// It returns ErrNoHistory if m is before Since.
func (l *Log) At(m Moment, fn func(r Reader)) error {
	l.mu.RLock()
	since := l.time.since()
	l.mu.RUnlock()
	if m.Compare(since) < 0 {
		return fmt.Errorf("volume %v at %v: %w", l.volume, m.When(), ErrNoHistory)
	}
	snap := l.db().NewSnapshot()
	r := &pastReader{snap: snap, ks: l.ks, state: newDBState(snap, l.ks.kind(kindState)), at: m}
	fn(r)
	err := r.close()
	l.store.CloseSnapshot(snap)
	return err
}

// Former calls fn for what stood behind key before each change of it, newest first, until fn returns false. History begins at Since.
func (l *Log) Former(key []byte, fn func(f Fact) bool) error {
	it, err := l.db().NewIter(&pebble.IterOptions{
		LowerBound: append(appendFactsOf(nil, l.ks, key), 0, 0), UpperBound: appendBehindFacts(nil, l.ks, key),
	})
	if err != nil {
		return err
	}
	for ok := it.Last(); ok && err == nil; ok = it.Prev() {
		var f Fact
		if f, err = l.factAt(it); err != nil || !fn(f) {
			break
		}
	}
	return errors.Join(err, it.Close())
}

// Later calls fn for what stood behind key at m and later, until a change behind m each, oldest first, until fn returns false. What it has now is not
// among that.
func (l *Log) Later(key []byte, m Moment, fn func(f Fact) bool) error {
	it, err := l.db().NewIter(&pebble.IterOptions{
		LowerBound: appendFactKey(nil, l.ks, key, m.next()), UpperBound: appendBehindFacts(nil, l.ks, key),
	})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var f Fact
		if f, err = l.factAt(it); err != nil || !fn(f) {
			break
		}
	}
	return errors.Join(err, it.Close())
}

// factAt reads the fact that an iterator is at.
func (l *Log) factAt(it *pebble.Iterator) (f Fact, err error) {
	rec, err := it.ValueAndErr()
	if err != nil {
		return f, err
	}
	if f, err = parseFact(rec, l.own); err != nil {
		return f, err
	}
	k := it.Key()
	f.Until = readMoment(k[len(k)-momentLen:])
	return f, nil
}

// A pastReader reads the state at a moment: of each key the first fact behind it, else what stands there now.
type pastReader struct {
	snap  *pebble.Snapshot
	ks    keyspace
	state *dbState
	at    Moment
	facts *pebble.Iterator // of Get; nil: not needed yet
	buf   []byte
	err   error
}

func (r *pastReader) keep(err error) {
	if err != nil && r.err == nil {
		r.err = err
	}
}

func (r *pastReader) close() error {
	if r.facts != nil {
		r.keep(r.facts.Close())
	}
	return errors.Join(r.err, r.state.err)
}

// Get implements Reader.
func (r *pastReader) Get(key []byte) ([]byte, bool) {
	if r.facts == nil {
		prefix := r.ks.kind(kindFact)
		it, err := r.snap.NewIter(&pebble.IterOptions{
			LowerBound: prefix, UpperBound: after(prefix), PointKeyFilters: store.NotOlder(r.at.next().age()),
		})
		if err != nil {
			r.keep(err)
			return nil, false
		}
		r.facts = it
	}
	r.buf = appendFactKey(r.buf[:0], r.ks, key, r.at.next())
	if r.facts.SeekGE(r.buf) {
		if k := r.facts.Key(); len(k) == len(r.buf) && bytes.Equal(k[:len(k)-momentLen], r.buf[:len(r.buf)-momentLen]) {
			rec, err := r.facts.ValueAndErr()
			if err != nil {
				r.keep(err)
				return nil, false
			}
			f, err := parseFact(rec, identity.DeviceID{})
			r.keep(err)
			return bytes.Clone(f.Val), f.Had
		}
	}
	r.keep(r.facts.Error())
	return r.state.Get(key)
}

// next is the first moment behind m.
func (m Moment) next() Moment { return Moment{m.Era, m.Time + 1} }

// Scan implements Reader.
func (r *pastReader) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	if end := after(prefix); end != nil && bytes.Compare(from, end) >= 0 {
		return
	}
	fs, err := r.factScan(prefix, from)
	if err != nil {
		r.keep(err)
		return
	}
	stopped := false
	emit := func(key, val []byte) bool {
		stopped = !fn(key, val)
		return !stopped
	}
	r.state.Scan(prefix, from, func(key, val []byte) bool {
		for fs.ok {
			d := bytes.Compare(fs.key, key)
			if d > 0 {
				break
			}
			if fs.had && !emit(fs.key, fs.val) {
				return false
			}
			fs.next()
			if d == 0 {
				return true
			}
		}
		return emit(key, val)
	})
	for ; fs.ok && !stopped && r.state.err == nil; fs.next() {
		if fs.had {
			emit(fs.key, fs.val)
		}
	}
	r.keep(fs.close())
}

// A factScan goes through the keys that have a fact behind a moment, in order: the first one of each.
type factScan struct {
	ks  keyspace
	it  *pebble.Iterator
	at  Moment
	buf []byte
	err error

	ok       bool // there is another one
	key, val []byte
	had      bool
}

func (r *pastReader) factScan(prefix, from []byte) (*factScan, error) {
	it, err := r.snap.NewIter(&pebble.IterOptions{
		LowerBound: appendFactsOf(nil, r.ks, from), UpperBound: after(appendFactsOf(nil, r.ks, prefix)),
		PointKeyFilters: store.NotOlder(r.at.next().age()),
	})
	if err != nil {
		return nil, err
	}
	s := &factScan{ks: r.ks, it: it, at: r.at}
	s.settle(it.First())
	return s, nil
}

// next goes on to the next key.
func (s *factScan) next() {
	s.buf = appendBehindFacts(s.buf[:0], s.ks, s.key)
	s.settle(s.skipTo(s.buf))
}

// stepsBeforeSeek is how many facts are stepped over before a search: nearly all keys have few, and a step costs a tenth of one.
const stepsBeforeSeek = 4

// skipTo goes on to the first fact whose key is not before to. It reports whether there is one.
func (s *factScan) skipTo(to []byte) bool {
	for range stepsBeforeSeek {
		if !s.it.Next() {
			return false
		}
		if bytes.Compare(s.it.Key(), to) >= 0 {
			return true
		}
	}
	return s.it.SeekGE(to)
}

// settle goes to the next fact that counts, if the iterator is at a fact.
func (s *factScan) settle(at bool) {
	s.ok = false
	for at && s.err == nil {
		key, m, err := splitFactKey(s.key[:0], s.it.Key()[len(s.ks.prefix)+1:])
		if err != nil {
			s.err = err
			return
		}
		s.key = key
		if m.Compare(s.at) > 0 {
			rec, err := s.it.ValueAndErr()
			if err == nil {
				var f Fact
				f, err = parseFact(rec, identity.DeviceID{})
				s.val, s.had = f.Val, f.Had
			}
			s.err, s.ok = err, err == nil
			return
		}
		s.buf = appendFactKey(s.buf[:0], s.ks, key, s.at.next())
		at = s.skipTo(s.buf)
	}
}

func (s *factScan) close() error { return errors.Join(s.err, s.it.Close()) }

// FormerBelow is Former for all keys that begin with prefix: in the order of the keys, and of each oldest first. key is valid during the call only.
func (l *Log) FormerBelow(prefix []byte, fn func(key []byte, f Fact) bool) error {
	from := appendFactsOf(nil, l.ks, prefix)
	it, err := l.db().NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(from)})
	if err != nil {
		return err
	}
	var key []byte
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var rec []byte
		if rec, err = it.ValueAndErr(); err != nil {
			break
		}
		var m Moment
		if key, m, err = splitFactKey(key[:0], it.Key()[len(l.ks.prefix)+1:]); err != nil {
			break
		}
		var f Fact
		if f, err = parseFact(rec, l.own); err != nil {
			break
		}
		if f.Until = m; !fn(key, f) {
			break
		}
	}
	return errors.Join(err, it.Close())
}
