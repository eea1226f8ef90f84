package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// thinChunk is how many facts Thin looks at before it pauses.
const thinChunk = 1024

// Thinned is what Thin did away with.
type Thinned struct {
	Facts int
	Bytes int64 // of their records
}

// Thin makes history as coarse as grid says, but for the moments in pins, and drops the facts that this needs no longer. What was coarser
// stays so. MomentAt gives no other moments from the beginning on. pause is called between parts of the work, without a
// lock; its error ends the work, and a later Thin goes on. If dry, nothing changes: Thin tells what it would do.
func (l *Log) Thin(grid Grid, pins []Moment, dry bool, pause func() error) (Thinned, error) {
	t := &thinning{l: l, pins: slices.SortedFunc(slices.Values(pins), Moment.Compare), dry: dry}
	err := t.begin(grid)
	for from := l.ks.kind(kindFact); from != nil && err == nil; {
		if from, err = t.chunk(from); err == nil {
			err = pause()
		}
	}
	if err != nil {
		return t.Thinned, fmt.Errorf("thin history of volume %v: %w", l.volume, err)
	}
	return t.Thinned, nil
}

// A thinning is one run of Thin.
type thinning struct {
	Thinned
	l      *Log
	grids  grids
	starts map[uint32]int64 // of eras: these count
	pins   []Moment
	dry    bool

	key   []byte // of the last fact; nil: there is none
	since Moment // its moment
}

// begin has readers know the grid, before anything is dropped.
func (t *thinning) begin(grid Grid) error {
	l := t.l
	l.mu.Lock()
	defer l.mu.Unlock()
	t.grids, t.starts = l.time.grids.with(grid, l.time.last.Era), l.time.starts()
	if t.dry {
		return nil
	}
	b := l.db().NewBatch()
	put(b, l.ks.kind(kindGrid), &t.grids)
	if err := l.store.Commit(b, store.Applied); err != nil { // what is dropped survives nothing that this does not
		return err
	}
	l.time.grids = t.grids
	return nil
}

// chunk looks at some facts, and returns where to go on; nil at the end.
func (t *thinning) chunk(from []byte) (next []byte, err error) {
	prefix := t.l.ks.kind(kindFact)
	b := t.l.db().NewBatch()
	n := 0
	err = scanRange(t.l.db(), from, after(prefix), func(key, val []byte) error {
		if n++; n > thinChunk {
			next = bytes.Clone(key)
			return errStop
		}
		k, m, err := splitFactKey(nil, key[len(prefix):])
		if err != nil {
			return err
		}
		if t.key == nil || !bytes.Equal(k, t.key) {
			t.key, t.since = k, Moment{1, math.MinInt64}
		}
		if !t.keeps(m) {
			t.Facts++
			t.Bytes += int64(len(key) + len(val))
			b.Delete(key, nil)
		}
		t.since = m
		return nil
	})
	if err != nil && !errors.Is(err, errStop) || t.dry || b.Empty() {
		if errors.Is(err, errStop) {
			err = nil
		}
		return next, errors.Join(err, b.Close())
	}
	return next, t.l.store.Commit(b, store.Applied)
}

// keeps reports whether a moment counts that is not before the last fact of the key, and before until.
func (t *thinning) keeps(until Moment) bool {
	i, _ := slices.BinarySearchFunc(t.pins, t.since, Moment.Compare)
	if i < len(t.pins) && t.pins[i].Compare(until) < 0 {
		return true
	}
	if t.since.Era != until.Era {
		return true
	}
	start, ok := t.starts[until.Era]
	return ok && t.since.Time <= start && start < until.Time || t.grids.of(until.Era).Keeps(t.since.Time, until.Time)
}
