package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	pebblerecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// VerifyFiles checks the files of a home that are this package's: its format, the write-ahead log, the database's list of tables, and
// every block of every table. It opens no database and changes nothing. Nobody may be at work on the home. The error is the disk's, or
// says that r has had enough.
func VerifyFiles(fs vfs.FS, home string, r *report.Report) error {
	if err := checkHome(fs, home); err != nil {
		r.Bad(report.Home, fs.PathJoin(home, formatFile), report.Nothing, "%v", err)
	}
	r.Checked(report.Home, 1)
	if err := verifyWAL(fs, fs.PathJoin(home, "wal"), r); err != nil {
		return err
	}
	if err := verifyManifest(fs, fs.PathJoin(home, "db"), r); err != nil {
		return err
	}
	names, err := fs.List(fs.PathJoin(home, "db"))
	if err != nil {
		return ignoreMissing(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, tableSuffix) {
			continue
		}
		if err := verifyTable(fs, fs.PathJoin(home, "db", name), r); err != nil {
			return err
		}
	}
	return nil
}

const tableSuffix = ".sst"

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func verifyTable(fs vfs.FS, path string, r *report.Report) error {
	size, err := checkTable(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		if Passing(err) {
			return err
		}
		r.Bad(report.Table, path, report.Rebuild, "%v", err)
	}
	r.Checked(report.Table, 1)
	return r.Read(size)
}

// checkTable reads every block of a table and compares it with its checksum.
func checkTable(fs vfs.FS, path string) (size int64, err error) {
	t, size, err := openTable(fs, path)
	if err != nil {
		return size, err
	}
	err = t.ValidateBlockChecksums()
	return size, errors.Join(err, t.Close())
}

// openTable opens one table by itself.
func openTable(fs vfs.FS, path string) (*sstable.Reader, int64, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, 0, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	o := (&Store{}).pebbleOptions()
	o.EnsureDefaults()
	t, err := sstable.NewReader(context.Background(), readable, o.MakeReaderOptions())
	if err != nil {
		return nil, readable.Size(), err // it has closed the file
	}
	return t, readable.Size(), nil
}

// verifyManifest reads the list of tables to its end. The database takes what it can't read for the end.
func verifyManifest(fs vfs.FS, dir string, r *report.Report) error {
	where, err := readManifest(fs, dir)
	if where == "" {
		return err
	}
	r.Checked(report.Manifest, 1)
	if err != nil {
		r.Bad(report.Manifest, where, report.Rebuild, "%v", err)
	}
	return nil
}

// readManifest reads the list of tables, and says where it can't be read on, or where it is. where is empty if there is no database.
func readManifest(fs vfs.FS, dir string) (where string, err error) {
	desc, err := pebble.Peek(dir, fs)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil || !desc.Exists {
		return dir, fmt.Errorf("there is no list of tables: %w", cmp.Or(err, os.ErrNotExist))
	}
	f, err := fs.Open(desc.ManifestFilename)
	if err != nil {
		return desc.ManifestFilename, err
	}
	defer f.Close()
	list := pebblerecord.NewReader(f, 0)
	for {
		at := list.Offset()
		rec, err := list.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, rec)
		}
		if errors.Is(err, io.EOF) {
			return desc.ManifestFilename, nil
		}
		if err != nil {
			return fmt.Sprintf("%s:%d", desc.ManifestFilename, at), err
		}
	}
}

// verifyWAL reads every segment of the log. What it is to say of an end that is none is decided by the marks, as a start does.
func verifyWAL(fs vfs.FS, dir string, r *report.Report) error {
	l := &walDir{fs: fs, path: dir}
	nums, err := l.list()
	if err != nil {
		return ignoreMissing(err)
	}
	w := walCheck{r: r, l: l}
	for _, num := range nums {
		if err := w.segment(num); err != nil {
			return err
		}
	}
	if w.lost != "" && w.mark >= w.lostPos {
		r.Bad(report.WAL, w.lost, report.Nothing, "record %d, which was on disk, can't be read", w.lostPos)
	} else if w.lost != "" {
		r.Note(report.WAL, w.lost, "the log ends at record %d, though later ones can be read: a power cut leaves that, and nobody was promised more", w.lostPos-1)
	}
	return nil
}

// A walCheck goes through the log.
type walCheck struct {
	r    *report.Report
	l    *walDir
	last uint64 // position of the last record that was read
	mark uint64 // everything up to here was on disk

	lost    string // where a record is missing
	lostPos uint64 // which
}

func (w *walCheck) segment(num uint64) error {
	path := w.l.segmentPath(num)
	f, err := w.l.fs.Open(path)
	if err != nil {
		return err
	}
	data, err := readAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, x := range unflip(data, num, w.last+1) {
		w.r.Bad(report.WAL, fmt.Sprintf("%s:%d", path, x.off), report.Rebuild, "bit %d is flipped: the record's checksum tells", x.bit)
	}
	if len(data) >= segmentHeader && string(data[:8]) == segmentMagic && binary.LittleEndian.Uint64(data[8:]) == num {
		w.records(path, data, num)
	}
	return w.r.Read(int64(len(data)))
}

// records reads all that can be read, behind what can't too.
func (w *walCheck) records(path string, data []byte, num uint64) {
	seed, end := seed(num), segmentHeader // end: of what was read
	for off := segmentHeader; off+recordHeader <= len(data); {
		rec, n := parseRecord(data[off:], seed)
		if n == 0 {
			off += 8
			continue
		}
		w.r.Checked(report.WAL, 1)
		if w.lost == "" && (off > end || w.last != 0 && rec.pos > w.last+1) {
			w.lost, w.lostPos = fmt.Sprintf("%s:%d", path, end), rec.pos-1
		}
		w.last, w.mark = max(w.last, rec.pos), max(w.mark, rec.mark)
		off += n
		end = off
	}
}

// MendFiles puts right what VerifyFiles found in the log and what its checksums tell: each flipped bit. It keeps a copy of
// each file that it changes beside it.
func MendFiles(fs vfs.FS, home string, r *report.Report) error {
	l := &walDir{fs: fs, path: fs.PathJoin(home, "wal")}
	nums, err := l.list()
	if err != nil {
		return ignoreMissing(err)
	}
	last := uint64(0)
	for _, num := range nums {
		if last, err = mendSegment(l, num, last, r); err != nil {
			return err
		}
	}
	return nil
}

func mendSegment(l *walDir, num, last uint64, r *report.Report) (uint64, error) {
	path := l.segmentPath(num)
	f, err := l.fs.Open(path)
	if err != nil {
		return 0, err
	}
	data, err := readAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	old := slices.Clone(data)
	flips := unflip(data, num, last+1)
	_, err = readSegment(data, num, func(rec record) (bool, error) {
		last = max(last, rec.pos)
		return true, nil
	})
	if err != nil || len(flips) == 0 {
		return last, err
	}
	if err := WriteFile(l.fs, path+damagedSuffix, old); err != nil {
		return 0, err
	}
	if err := WriteFile(l.fs, path, data); err != nil {
		return 0, err
	}
	for _, x := range flips {
		r.Did(report.WAL, fmt.Sprintf("%s:%d", path, x.off), "put flipped bit %d right; the file as it was is %s", x.bit, path+damagedSuffix)
	}
	return last, nil
}

// damagedSuffix ends the names of files as they were before they were mended.
const damagedSuffix = ".damaged"
