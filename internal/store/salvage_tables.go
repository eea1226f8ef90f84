package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// tables begins to read all tables that count.
func (s *salvage) tables() error {
	list, err := readTableList(s.fs, s.path("db"))
	if err != nil && Passing(err) {
		return err
	}
	if list == nil {
		list = &tableList{} // all came after it
		s.lost = append(s.lost, lostPart{path: s.path("db"), what: fmt.Sprintf("there is no list of tables (%v); all that are there were read", err)})
	} else if !list.whole {
		s.lost = append(s.lost, lostPart{path: list.path, what: "the end of the list of tables could not be read; all tables that came after what could be were read"})
	}
	names, err := s.fs.List(s.path("db"))
	if err != nil {
		return err
	}
	for _, name := range names {
		n, ok := tableNumber(name)
		if !ok {
			continue
		}
		path := s.path("db", name)
		keys, named := list.live[n]
		delete(list.live, n)
		if !named && n < list.next {
			s.r.Note(report.Table, path, "it was not read: the list of tables does not name it any more")
			continue
		}
		if err := s.table(path, keys); err != nil {
			return err
		}
	}
	for n, keys := range list.live {
		s.lost = append(s.lost, lostPart{s.path("db", tableName(n)), "the table is missing", keys})
	}
	return nil
}

func tableName(n uint64) string { return fmt.Sprintf("%06d%s", n, tableSuffix) }

func tableNumber(name string) (n uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, tableSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// within narrows a range to what lies between two keys; an empty one does not narrow it.
func within(keys KeyRange, from, to []byte) KeyRange {
	if len(from) > 0 {
		keys.From = from
	}
	if len(to) > 0 {
		keys.To = to
	}
	return keys
}

// table begins to read a table, of which the list says that it has these keys.
func (s *salvage) table(path string, keys KeyRange) error {
	t, _, err := openTable(s.fs, path)
	if err != nil {
		if Passing(err) {
			return err
		}
		s.lost = append(s.lost, lostPart{path, fmt.Sprintf("nothing in it could be read (%v)", err), keys})
		return nil
	}
	c := &tableCursor{t: t}
	s.open = append(s.open, c)
	if spans, err := t.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv); err == nil && spans != nil {
		span, err := spans.First()
		for ; span != nil && err == nil; span, err = spans.Next() {
			for _, k := range span.Keys {
				s.deleted = append(s.deleted, deletedRange{slices.Clone(span.Start), slices.Clone(span.End), uint64(k.SeqNum())})
			}
		}
		spans.Close()
	}
	if t.ValidateBlockChecksums() != nil {
		from, to := c.readWhatCanBe()
		s.lost = append(s.lost, lostPart{path, fmt.Sprintf("records from %q to %q could not be read", from, to), within(keys, from, to)})
		return nil
	}
	it, err := t.NewIter(block.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	c.it = it
	return c.step(true)
}

// A tableEntry is one record of a table.
type tableEntry struct {
	key, val []byte
	seq      uint64
	set      bool // else the key was deleted
}

// A tableCursor goes through one table, or through what could be read of it.
type tableCursor struct {
	t    *sstable.Reader
	it   sstable.Iterator // nil: all is in rest
	rest []tableEntry
	now  tableEntry
	ok   bool
}

func (c *tableCursor) valid() bool { return c.ok }

func (c *tableCursor) next() error {
	if c.it != nil {
		return c.step(false)
	}
	if c.ok = len(c.rest) > 0; c.ok {
		c.now, c.rest = c.rest[0], c.rest[1:]
	}
	return nil
}

// step goes on in the table, or to its first entry.
func (c *tableCursor) step(first bool) (err error) {
	next := c.it.Next
	if first {
		next = c.it.First
	}
	kv := next()
	if c.ok = kv != nil; !c.ok {
		return c.it.Error()
	}
	c.now, err = entryOf(kv.K.UserKey, kv.Kind(), uint64(kv.SeqNum()), kv.Value)
	return err
}

func entryOf(key []byte, kind pebble.InternalKeyKind, seq uint64, value func([]byte) ([]byte, bool, error)) (tableEntry, error) {
	e := tableEntry{key: slices.Clone(key), seq: seq}
	if e.set = kind == pebble.InternalKeyKindSet || kind == pebble.InternalKeyKindSetWithDelete; !e.set {
		return e, nil
	}
	val, _, err := value(nil)
	e.val = slices.Clone(val)
	return e, err
}

// readWhatCanBe reads a damaged table from both ends, each as far as it goes, and says between which keys it could not be read.
func (c *tableCursor) readWhatCanBe() (from, to []byte) {
	head := c.readEnd(false, nil)
	if len(head) > 0 {
		from = head[len(head)-1].key
	}
	tail := c.readEnd(true, from)
	if len(tail) > 0 {
		to = tail[len(tail)-1].key
	}
	slices.Reverse(tail)
	c.rest = append(head, tail...)
	_ = c.next() // from memory
	return from, to
}

// readEnd reads a table from its beginning or its end on, until something is damaged or until is reached.
func (c *tableCursor) readEnd(back bool, until []byte) (list []tableEntry) {
	it, err := c.t.NewIter(block.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil
	}
	defer it.Close()
	first, next := it.First, it.Next
	if back {
		first, next = it.Last, it.Prev
	}
	for kv := first(); kv != nil; kv = next() {
		e, err := entryOf(kv.K.UserKey, kv.Kind(), uint64(kv.SeqNum()), kv.Value)
		if err != nil || until != nil && bytes.Compare(e.key, until) <= 0 {
			break
		}
		list = append(list, e)
	}
	return list
}

// cursors is a heap: the least key first, of one key the newest record.
type cursors []*tableCursor

func (h cursors) Len() int { return len(h) }
func (h cursors) Less(i, j int) bool {
	if d := bytes.Compare(h[i].now.key, h[j].now.key); d != 0 {
		return d < 0
	}
	return h[i].now.seq > h[j].now.seq
}
func (h cursors) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)   { *h = append(*h, x.(*tableCursor)) }
func (h *cursors) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}
