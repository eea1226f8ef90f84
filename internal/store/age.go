package store

import (
	"math"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// An Age says of some keys of the database how new they are: for readers who look for what is newer than something, in ranges where nearly all is
// older. It depends on the key alone, and is less than math.MaxUint64.
type Age func(key []byte) (age uint64, ok bool)

// ageProperty is its name in the tables.
const ageProperty = "rhizome.age"

// MapPointKey implements sstable.IntervalMapper: of each block of a table it is known how new the newest of its keys is.
func (a Age) MapPointKey(key pebble.InternalKey, _ []byte) (sstable.BlockInterval, error) {
	age, ok := a(key.UserKey)
	if !ok {
		return sstable.BlockInterval{}, nil
	}
	return sstable.BlockInterval{Lower: age, Upper: age + 1}, nil
}

// MapRangeKeys implements sstable.IntervalMapper. There are none.
func (Age) MapRangeKeys(sstable.Span) (sstable.BlockInterval, error) {
	return sstable.BlockInterval{}, nil
}

// collectors are what the database asks about the keys that it writes to its tables.
func (a Age) collectors() []func() pebble.BlockPropertyCollector {
	if a == nil {
		return nil
	}
	return []func() pebble.BlockPropertyCollector{func() pebble.BlockPropertyCollector {
		return sstable.NewBlockIntervalCollector(ageProperty, a, nil)
	}}
}

// NotOlder has an iterator pass over blocks of tables in which no key is as new as age, or newer. It still shows some that are older. Tables that
// were written without an Age are read whole, and so is what is not in a table yet.
//
// What a newer record deletes or replaces has its very key, and so its age: both are shown, or neither.
func NotOlder(age uint64) []pebble.BlockPropertyFilter {
	return []pebble.BlockPropertyFilter{sstable.NewBlockIntervalFilter(ageProperty, age, math.MaxUint64, nil)}
}
