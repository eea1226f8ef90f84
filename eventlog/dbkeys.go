package eventlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

func appendLocalKey(b []byte, k keyspace, kind byte, n LocalSeq) []byte {
	b = append(append(b, k.prefix...), kind)
	return binary.BigEndian.AppendUint64(b, uint64(n))
}

// localSeqOf returns the number that ends a key.
func localSeqOf(key []byte) LocalSeq {
	return LocalSeq(binary.BigEndian.Uint64(key[len(key)-8:]))
}

// hashOf returns the hash that ends a key.
func hashOf(key []byte) FrameHash { return FrameHash(key[len(key)-len(FrameHash{}):]) }

// eachKey calls fn for the volume's keys of a kind, in order. fn gets the part behind the kind; its slices
// are valid during the call only.
func (l *Log) eachKey(kind byte, fn func(key, val []byte) error) error {
	prefix := l.ks.kind(kind)
	return scanRange(l.db(), prefix, after(prefix), func(key, val []byte) error { return fn(key[len(prefix):], val) })
}

// errMissing says that a record which must be in the database is not.
var errMissing = errors.New("record is missing")

// scanRange calls fn for the keys from low on and before high.
func scanRange(db pebble.Reader, low, high []byte, fn func(key, val []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		val, err := it.ValueAndErr()
		if err == nil {
			err = fn(it.Key(), val)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// lastKey returns the last key from low on and before high, or nil. What was deleted below low is not looked at.
func (l *Log) lastKey(low, high []byte) ([]byte, error) {
	it, err := l.db().NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return nil, err
	}
	var last []byte
	if it.Last() {
		last = slices.Clone(it.Key())
	}
	return last, it.Close()
}

// sortedUnique sorts keys and drops those that are there already. It leaves the slice of keys as it is.
func sortedUnique(keys [][]byte) [][]byte {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
