package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// VerifyOpen checks the store's own files while it is at work: the write-ahead log as far as it is written, the list of tables, and every
// block of every table. The error is the disk's, or says that r has had enough.
func (s *Store) VerifyOpen(r *report.Report) error {
	for _, step := range []func(*report.Report) error{s.verifyLog, s.verifyList, s.verifyTables} {
		if err := step(r); err != nil {
			return err
		}
	}
	return nil
}

// A written is a segment of the log, and how far it was written.
type written struct {
	seg *segment
	off int64
}

// written are the segments of the log that are needed.
func (s *Store) written() (list []written) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range append(s.behind[:len(s.behind):len(s.behind)], s.cur) {
		list = append(list, written{seg, seg.off})
	}
	return list
}

// verifyLog reads the records of the log that are whole by now. The database has them too, in memory at least.
func (s *Store) verifyLog(r *report.Report) error {
	for _, w := range s.written() {
		if w.off == 0 { // of an earlier run: it was read at the start, and goes
			continue
		}
		path := s.wal.segmentPath(w.seg.num)
		records, err := s.readWritten(path, w)
		stays := slices.ContainsFunc(s.written(), func(now written) bool { return now.seg == w.seg })
		if !stays {
			continue // its file may be another segment's by now
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		if err != nil {
			r.Bad(report.WAL, path, report.Nothing, "%v; the database still has what it says", err)
		}
		r.Checked(report.WAL, records)
		if err := r.Read(w.off); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) readWritten(path string, w written) (records int64, err error) {
	f, err := s.fs.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data := make([]byte, w.off)
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return 0, fmt.Errorf("%w: %d of %d bytes are there: %w", ErrDamaged, n, w.off, err)
	}
	if string(data[:8]) != segmentMagic || binary.LittleEndian.Uint64(data[8:]) != w.seg.num {
		return 0, fmt.Errorf("%w: its header is wrong", ErrDamaged)
	}
	for off := segmentHeader; off < len(data); records++ {
		_, n := parseRecord(data[off:], w.seg.seed)
		if n == 0 {
			return records, fmt.Errorf("%w: the record at %d can't be read", ErrDamaged, off)
		}
		off += n
	}
	return records, nil
}

// What is being appended to the list of tables may be there in part for a moment.
const (
	listTries = 4
	listWait  = 50 * time.Millisecond
)

func (s *Store) verifyList(r *report.Report) error {
	var was string
	for try := 0; ; try++ {
		where, err := readManifest(s.fs, s.Path("db"))
		if err == nil || try == listTries && where == was {
			r.Checked(report.Manifest, 1)
			if err != nil {
				r.Bad(report.Manifest, where, report.Rebuild, "%v", err)
			}
			return nil
		}
		if where != was {
			was, try = where, 0
		}
		if err := r.Read(0); err != nil {
			return err
		}
		time.Sleep(listWait)
	}
}

// verifyTables checks every block of every table that the database has now. Tables stay until it returns.
func (s *Store) verifyTables(r *report.Report) error {
	pin, err := s.DB().NewIter(&pebble.IterOptions{}) // its tables are not removed
	if err != nil {
		return err
	}
	defer pin.Close()
	levels, err := s.db.SSTables()
	if err != nil {
		return err
	}
	for _, level := range levels {
		for _, t := range level {
			path := s.Path("db", tableName(uint64(t.BackingSSTNum)))
			if _, err := s.fs.Stat(path); errors.Is(err, os.ErrNotExist) {
				continue // merged since
			}
			if err := verifyTable(s.fs, path, r); err != nil {
				return err
			}
		}
	}
	return nil
}
