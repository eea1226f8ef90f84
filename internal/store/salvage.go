package store

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// When a table is damaged or missing, or the list of tables is, the database can't be read beyond that. But tables are whole each by itself, and
// most of one that is damaged is too. Salvage makes a new database of every record that can be read, the newest of each key, as the sequence numbers in the
// tables say. What was in the damaged part only is lost, and of a key whose newest record was there, an older one may show: who
// mends a store makes anew what follows from other records, and names the rest.
//
// It reads all tables in the directory, not those that the list names: the list may be what is damaged, and tables that it
// does not name any more are removed within moments.
//
// Names on the way: db.new is being made, db.salvaged is complete, db.damaged-TIME is what was there. A start that finds no database and a
// complete one takes that.
const (
	salvagedDir = "db.salvaged"
	makingDir   = "db.new"
)

// Salvage replaces the database of a home that nobody has open by what can be read of it. The old one is kept beside it, and named in r.
func Salvage(fs vfs.FS, home string, r *report.Report) error {
	lock, err := lockHome(fs, home)
	if err != nil {
		return err
	}
	defer lock.Close()
	s := &salvage{fs: fs, home: home, r: r}
	if err := s.run(); err != nil {
		return fmt.Errorf("salvage the database: %w", errors.Join(err, s.close()))
	}
	return nil
}

type salvage struct {
	fs   vfs.FS
	home string
	r    *report.Report

	open    []*tableCursor
	deleted []deletedRange
	records int
	lost    []lostPart
	whole   bool // the log has all that ever was, so nothing is lost
}

// A lostPart is what of a table could not be read.
type lostPart struct{ path, what string }

// A deletedRange is a deletion of all keys from start on and before end that are older.
type deletedRange struct {
	start, end []byte
	seq        uint64
}

func (s *salvage) path(elem ...string) string {
	return s.fs.PathJoin(append([]string{s.home}, elem...)...)
}

func (s *salvage) run() error {
	names, err := s.fs.List(s.path("db"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, tableSuffix) {
			if err := s.table(s.path("db", name)); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(s.fs.RemoveAll(s.path(makingDir)), s.fs.RemoveAll(s.path(salvagedDir))); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	return s.swap()
}

// table begins to read a table.
func (s *salvage) table(path string) error {
	t, _, err := openTable(s.fs, path)
	if err != nil {
		if Passing(err) {
			return err
		}
		s.lost = append(s.lost, lostPart{path, fmt.Sprintf("nothing in it could be read (%v)", err)})
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
		s.lost = append(s.lost, lostPart{path, fmt.Sprintf("records from %q to %q could not be read", from, to)})
		return nil
	}
	it, err := t.NewIter(block.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	c.it = it
	return c.step(true)
}

// write makes the new database.
func (s *salvage) write() error {
	st := &Store{pebble: newPatient(s.fs, again, func(error) {})}
	st.log = slog.New(slog.DiscardHandler)
	o := st.pebbleOptions()
	o.EventListener = nil
	db, err := pebble.Open(s.path(makingDir), o)
	if err != nil {
		return err
	}
	if err := s.merge(db); err != nil {
		return errors.Join(err, db.Close())
	}
	err = s.setPosition(db)
	if err == nil {
		err = db.Flush()
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	s.r.Did(report.Table, s.path("db"), "made a new database of the %d records that can be read", s.records)
	return syncDir(s.fs, s.path(makingDir))
}

// merge puts the newest record of each key into db.
func (s *salvage) merge(db *pebble.DB) error {
	h := cursors(slices.DeleteFunc(slices.Clone(s.open), func(c *tableCursor) bool { return !c.valid() }))
	heap.Init(&h)
	b := db.NewBatch()
	var last []byte
	for len(h) > 0 {
		c := h[0]
		if last == nil || !bytes.Equal(c.now.key, last) {
			last = append(last[:0], c.now.key...)
			if c.now.set && !s.isDeleted(c.now) {
				s.records++
				if err := b.Set(c.now.key, c.now.val, nil); err != nil {
					return err
				}
			}
		}
		if err := c.next(); err != nil {
			return err
		}
		if c.valid() {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
		if b.Len() > 1<<20 {
			if err := b.Commit(pebble.NoSync); err != nil {
				return err
			}
			b = db.NewBatch()
		}
	}
	return b.Commit(pebble.NoSync)
}

func (s *salvage) isDeleted(e tableEntry) bool {
	for _, d := range s.deleted {
		if d.seq > e.seq && bytes.Compare(d.start, e.key) <= 0 && bytes.Compare(e.key, d.end) < 0 {
			return true
		}
	}
	return false
}

// setPosition has the whole log read again, if it reaches as far as the tables did: what is applied twice changes nothing, since all
// that follows is applied again too, and what is lost from a table may be in it. So it is if the record of where to begin is lost.
func (s *salvage) setPosition(db *pebble.DB) error {
	is, err := position(db, false)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	first, last, err := s.logged()
	if err != nil || first == 0 || last < is {
		return err
	}
	s.whole = first == 1
	b := db.NewBatch()
	if err := setPosition(b, first-1); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

// tell says what is lost. What follows from other records is made anew, and then nothing shows any more that there were others, which do not.
func (s *salvage) tell() {
	for _, l := range s.lost {
		if s.whole {
			s.r.Did(report.Table, l.path, "%s; the write-ahead log has them all", l.what)
		} else {
			s.r.Bad(report.Table, l.path, report.Nothing, "%s: they are lost, or older ones have come back, as far as they are not made anew", l.what)
		}
	}
}

// logged returns the first and the last position of the log that can be read without a gap; 0: it has none.
func (s *salvage) logged() (first, last uint64, err error) {
	l := &walDir{fs: s.fs, path: s.path("wal")}
	nums, err := l.list()
	if err != nil {
		return 0, 0, ignoreMissing(err)
	}
	for _, num := range nums {
		f, err := l.fs.Open(l.segmentPath(num))
		if err != nil {
			return 0, 0, err
		}
		data, err := readAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return 0, 0, err
		}
		_, _ = readSegment(data, num, func(r record) (bool, error) {
			if first == 0 {
				first, last = r.pos, r.pos-1
			}
			if r.pos != last+1 {
				return false, nil
			}
			last = r.pos
			return true, nil
		})
	}
	return first, last, nil
}

// swap puts the new database in the place of the old one.
func (s *salvage) swap() error {
	if err := s.close(); err != nil {
		return err
	}
	aside := s.path("db.damaged-" + time.Now().UTC().Format("20060102T150405.000000000"))
	for _, step := range [][2]string{{s.path(makingDir), s.path(salvagedDir)}, {s.path("db"), aside}, {s.path(salvagedDir), s.path("db")}} {
		if err := errors.Join(s.fs.Rename(step[0], step[1]), syncDir(s.fs, s.home)); err != nil {
			return err
		}
	}
	s.r.Did(report.Home, s.home, "kept the database as it was: %s", aside)
	s.tell()
	return nil
}

func (s *salvage) close() error {
	var err error
	for _, c := range s.open {
		if c.it != nil {
			_ = c.it.Close() // of a table that is told of
			c.it = nil
		}
		if c.t != nil {
			err = errors.Join(err, c.t.Close())
			c.t = nil
		}
	}
	return err
}

// finishSalvage takes a new database that was complete when a salvage was interrupted.
func finishSalvage(fs vfs.FS, home string) error {
	db, done := fs.PathJoin(home, "db"), fs.PathJoin(home, salvagedDir)
	if _, err := fs.Stat(db); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := fs.Stat(done); err != nil {
		return ignoreMissing(err)
	}
	return errors.Join(fs.Rename(done, db), syncDir(fs, home))
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
