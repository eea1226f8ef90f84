package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// current reads the database as it is at each read, with all that was handed to the store.
type current struct{ store *store.Store }

func (c current) Get(key []byte) ([]byte, io.Closer, error) { return c.store.DB().Get(key) }

func (c current) NewIter(o *pebble.IterOptions) (*pebble.Iterator, error) {
	return c.store.DB().NewIter(o)
}

func (c current) NewIterWithContext(ctx context.Context, o *pebble.IterOptions) (*pebble.Iterator, error) {
	return c.store.DB().NewIterWithContext(ctx, o)
}

// Close implements pebble.Reader. The database is the store's to close.
func (c current) Close() error { return nil }

// dbState reads the keys below one prefix of the database, or of a snapshot of it. It is used by one
// goroutine at a time.
type dbState struct {
	db     pebble.Reader
	prefix []byte
	buf    []byte      // the whole key that is being looked up
	cache  *stateCache // nil: none
	fill   bool        // put what is read into the cache
	err    error       // of a Reader's method, which has no other way to tell
}

func newDBState(db pebble.Reader, prefix []byte) *dbState {
	return &dbState{db: db, prefix: prefix, buf: append(make([]byte, 0, 128), prefix...)}
}

func (d *dbState) whole(key []byte) []byte {
	d.buf = append(d.buf[:len(d.prefix)], key...)
	return d.buf
}

func (d *dbState) get(key []byte) ([]byte, bool, error) {
	if d.cache == nil {
		return dbGet(d.db, d.whole(key))
	}
	if v, known := d.cache.get(key); known {
		if invariants {
			d.checkCached(key, v)
		}
		return v.val, v.ok, nil
	}
	val, ok, err := dbGet(d.db, d.whole(key))
	if err == nil && d.fill {
		d.cache.put(key, val, ok)
	}
	return val, ok, err
}

// checkCached panics if the cache says something else than the database.
func (d *dbState) checkCached(key []byte, v cached) {
	val, ok, err := dbGet(d.db, d.whole(key))
	if err == nil && (ok != v.ok || !bytes.Equal(val, v.val)) {
		panic(fmt.Sprintf("eventlog: key %x is cached as %x, %t, and is %x, %t", key, v.val, v.ok, val, ok))
	}
}

func (d *dbState) scan(prefix, from []byte, fn func(key, val []byte) bool) error {
	low := append(append([]byte(nil), d.prefix...), prefix...)
	high := after(low)
	if bytes.Compare(from, prefix) > 0 {
		low = append(low[:len(d.prefix)], from...)
	}
	if high != nil && bytes.Compare(low, high) >= 0 {
		return nil
	}
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		val, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !fn(it.Key()[len(d.prefix):], val) {
			break
		}
	}
	return it.Close()
}

func (d *dbState) getAll(keys [][]byte, fn func(i int, val []byte, ok bool)) error {
	if len(keys) == 0 {
		return nil
	}
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: d.prefix, UpperBound: after(d.prefix)})
	if err != nil {
		return err
	}
	for i, key := range keys {
		key := d.whole(key)
		if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
			fn(i, nil, false)
			continue
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		fn(i, append(make([]byte, 0, len(val)), val...), true)
	}
	return it.Close()
}

// Get implements Reader.
func (d *dbState) Get(key []byte) ([]byte, bool) {
	val, ok, err := d.get(key)
	d.keep(err)
	return val, ok
}

// Scan implements Reader.
func (d *dbState) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	d.keep(d.scan(prefix, from, fn))
}

func (d *dbState) keep(err error) {
	if err != nil && d.err == nil {
		d.err = err
	}
}

// dbGet returns a copy of what stands behind key.
func dbGet(db pebble.Reader, key []byte) ([]byte, bool, error) {
	val, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	own := append(make([]byte, 0, len(val)), val...)
	return own, true, closer.Close()
}
