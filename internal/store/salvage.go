package store

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// When a table is damaged or missing, or the list of tables is, the database can't be read beyond that. But tables are whole each by itself, and
// most of one that is damaged is too. Salvage makes a new database of every record that can be read, the newest of each key, as the sequence numbers in the
// tables say. What was in the damaged part only is lost, and of a key whose newest record was there, an older one may show: who
// mends a store makes anew what follows from other records, and names the rest.
//
// It reads the tables that the list names. One that it does not name any more may have records that were deleted since, and stays unread. If the end of
// the list is damaged, tables that came after it are read too; only if there is no list that can be read all tables are, and that is told.
//
// Names on the way: db.new is being made, db.salvaged is complete, db.damaged-TIME is what was there. A start that finds no database and a
// complete one takes that.
const (
	salvagedDir = "db.salvaged"
	makingDir   = "db.new"
)

// Salvage replaces the database of a home that nobody has open by what can be read of it. The old one is kept beside it, and named in r.
// The new one says what may be lost: see Store.Lost.
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
type lostPart struct {
	path, what string
	keys       KeyRange // between these; both empty: any
}

// A deletedRange is a deletion of all keys from start on and before end that are older.
type deletedRange struct {
	start, end []byte
	seq        uint64
}

func (s *salvage) path(elem ...string) string {
	return s.fs.PathJoin(append([]string{s.home}, elem...)...)
}

func (s *salvage) run() error {
	if err := s.tables(); err != nil {
		return err
	}
	if err := errors.Join(s.fs.RemoveAll(s.path(makingDir)), s.fs.RemoveAll(s.path(salvagedDir))); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	return s.swap()
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
	if err = s.setPosition(db); err == nil {
		err = s.noteLost(db)
	}
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

// lostKey holds what a salvage could not bring back, until a repair has dealt with it.
func lostKey() []byte { return []byte("s\x00lost") }

// noteLost leaves in the new database what it may lack. What an earlier salvage noted stands there already.
func (s *salvage) noteLost(db *pebble.DB) error {
	if s.whole || len(s.lost) == 0 {
		return nil
	}
	lost, err := lostIn(db)
	if err != nil {
		return err
	}
	for _, l := range s.lost {
		lost = append(lost, l.keys)
	}
	rec, err := json.Marshal(lost)
	if err != nil {
		return err
	}
	return db.Set(lostKey(), rec, pebble.NoSync)
}

func lostIn(db *pebble.DB) (lost []KeyRange, err error) {
	rec, closer, err := db.Get(lostKey())
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	if json.Unmarshal(rec, &lost) != nil {
		return []KeyRange{{}}, nil // anything
	}
	return lost, nil
}

// Lost returns the keys of which a salvage may have lost records, or brought older ones back, if no repair has dealt with that.
func (s *Store) Lost() ([]KeyRange, error) { return lostIn(s.DB()) }

// ForgetLost notes that a repair has dealt with it.
func (s *Store) ForgetLost() error {
	b := s.DB().NewBatch()
	if err := b.Delete(lostKey(), nil); err != nil {
		return errors.Join(err, b.Close())
	}
	return s.Commit(b, OnDisk)
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
