package ipld

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// VerifySegments reads every segment below home, and compares each block with its hash and the index with where the blocks are. db is the
// database, or a snapshot of it; nil: there is none, and only the segments are looked at. What is behind a segment's mark is
// looked at only if nobody appends to it. It changes nothing. The blocks that are damaged or missing, and that something may need, are added to
// wanted, unless that is nil. The error is the disk's, or says that r has had enough.
func VerifySegments(fs vfs.FS, home string, db pebble.Reader, atRest bool, wanted map[CID]struct{}, r *report.Report) error {
	v := &segmentCheck{fs: fs, dir: fs.PathJoin(home, segmentsDir), db: db, atRest: atRest, wanted: wanted, r: r, right: map[segmentNumber]int64{}}
	sizes, err := v.files()
	if err != nil {
		return err
	}
	if db != nil {
		if v.records, err = v.loadRecords(); err != nil {
			return err
		}
	}
	for _, n := range slices.Sorted(maps.Keys(sizes)) {
		if err := v.segment(n, sizes[n]); err != nil {
			return err
		}
	}
	for n, rec := range v.records {
		if _, ok := sizes[n]; !ok && !rec.Dropped {
			r.Bad(report.Segment, v.path(n), report.Copy, "the file is missing: it had %d bytes", rec.Mark)
		}
	}
	if db == nil {
		return nil
	}
	return v.index(sizes)
}

// damagedSuffix ends the names of files as they were before they were mended.
const damagedSuffix = ".damaged"

func ignoreMissing(err error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}

// A segmentCheck compares segments with the index.
type segmentCheck struct {
	fs      vfs.FS
	dir     string
	db      pebble.Reader
	atRest  bool
	wanted  map[CID]struct{}
	r       *report.Report
	records map[segmentNumber]segmentRecord
	right   map[segmentNumber]int64 // how many entries of the index lead to a block of that segment as they should
}

func (v *segmentCheck) want(c CID) {
	if v.wanted != nil {
		v.wanted[c] = struct{}{}
	}
}

func (v *segmentCheck) path(n segmentNumber) string { return v.fs.PathJoin(v.dir, n.file()) }

// files lists the segments' sizes.
func (v *segmentCheck) files() (map[segmentNumber]int64, error) {
	sizes := map[segmentNumber]int64{}
	names, err := v.fs.List(v.dir)
	if err != nil {
		return sizes, ignoreMissing(err)
	}
	for _, name := range names {
		n, ok := parseSegmentName(name)
		if !ok {
			if !strings.HasSuffix(name, tempSuffix) && !strings.HasSuffix(name, damagedSuffix) {
				v.r.Note(report.Segment, v.fs.PathJoin(v.dir, name), "not a segment")
			}
			continue
		}
		info, err := v.fs.Stat(v.path(n))
		if err != nil {
			return nil, err
		}
		sizes[n] = info.Size()
	}
	return sizes, nil
}

// loadRecords reads the segments' records, and tells of those that can't be read.
func (v *segmentCheck) loadRecords() (map[segmentNumber]segmentRecord, error) {
	records := map[segmentNumber]segmentRecord{}
	err := scan(v.db, segmentPrefix, func(key, val []byte) error {
		v.r.Checked(report.Mark, 1)
		n, rec, err := decodeSegmentRecord(key, val)
		if err != nil {
			v.r.Bad(report.Mark, fmt.Sprintf("db:%x", key), report.Rebuild, "%v", err)
			return nil
		}
		records[n] = rec
		return nil
	})
	return records, err
}

// segment reads a segment from its beginning to its end.
func (v *segmentCheck) segment(n segmentNumber, size int64) error {
	rec, known := v.records[n]
	f, err := v.fs.Open(v.path(n))
	if err != nil {
		if !v.atRest { // a collection dropped it
			return ignoreMissing(err)
		}
		return err
	}
	defer f.Close()
	v.r.Checked(report.Segment, 1)
	end := size
	switch {
	case rec.Dropped:
		return nil
	case known && size < rec.Mark:
		v.r.Bad(report.Segment, v.path(n), report.Copy, "the file is cut: %d of %d bytes are left", size, rec.Mark)
	case known && !v.atRest:
		end = rec.Mark
	case !known && v.db != nil && !v.atRest:
		return nil // nothing of it is promised yet
	}
	head := make([]byte, min(int64(len(carHeader)), size))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(head) != carHeader && (known && rec.Mark > 0 || v.db == nil) {
		v.r.Bad(report.Segment, v.path(n)+":0", report.Rebuild, "the CAR file's header is wrong")
	}
	s := segmentScan{segmentCheck: v, n: n, f: f, off: int64(len(carHeader)), end: end, mark: rec.Mark, recorded: known || !v.atRest}
	return s.run()
}

// index goes through the index, and looks closer where it has entries that no segment confirmed.
func (v *segmentCheck) index(sizes map[segmentNumber]int64) error {
	entries := map[segmentNumber]int64{}
	err := eachEntry(v.db, func(c CID, l location, err error) error {
		v.r.Checked(report.Index, 1)
		if err != nil {
			v.r.Bad(report.Index, "block "+Format(c), report.Rebuild, "%v", err)
			return nil
		}
		entries[l.segment]++
		return nil
	})
	if err != nil {
		return err
	}
	wrong := map[segmentNumber]bool{}
	for n, count := range entries {
		if count != v.right[n] && (v.atRest || v.records[n].Mark > 0 && sizes[n] > 0) {
			wrong[n] = true
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return eachEntry(v.db, func(c CID, l location, err error) error {
		if err != nil || !wrong[l.segment] {
			return nil
		}
		return v.entry(c, l)
	})
}

// entry looks whether an entry of the index leads to its block.
func (v *segmentCheck) entry(c CID, l location) error {
	if err := v.r.Read(0); err != nil {
		return err
	}
	f, err := v.fs.Open(v.path(l.segment))
	if err != nil {
		if v.atRest && errors.Is(err, iofs.ErrNotExist) {
			v.want(c)
			v.r.Bad(report.Block, "block "+Format(c), report.Copy, "it was in segment %v, which is missing", l.segment)
			return nil
		}
		return ignoreMissing(err)
	}
	defer f.Close()
	head := make([]byte, carSectionHead(l.size))
	if n, err := f.ReadAt(head, l.off); n < len(head) {
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		v.want(c)
		v.r.Bad(report.Block, "block "+Format(c), report.Copy, "it was in segment %v at %d, which is cut", l.segment, l.off)
		return nil
	}
	if got, size, _, err := parseCARSection(head); err != nil || got != c || size != l.size {
		v.r.Bad(report.Index, "block "+Format(c), report.Rebuild, "the index leads to segment %v at %d, where it is not", l.segment, l.off)
	} else if info, err := f.Stat(); err == nil && l.end() > info.Size() {
		v.want(c)
		v.r.Bad(report.Block, "block "+Format(c), report.Copy, "segment %v is cut in the midst of it", l.segment)
	}
	return nil
}
