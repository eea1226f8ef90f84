package ipld

import (
	"context"
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

// A segmentScan goes through one segment.
type segmentScan struct {
	*segmentCheck
	n              segmentNumber
	f              io.ReaderAt
	off, end, mark int64
	recorded       bool      // there is a record of the segment, or that it is missing was told
	known          []located // what the index says is here, by place; read when something is wrong
}

func (s *segmentScan) run() error {
	for s.off < s.end {
		at := s.off
		c, l, err := scanSection(s.f, s.n, at, s.end)
		switch {
		case err == nil:
			s.off = l.end()
			if err := s.found(c, l); err != nil {
				return err
			}
		case at >= s.mark && s.db != nil:
			s.r.Note(report.Segment, fmt.Sprintf("%s:%d", s.path(s.n), at), "%d bytes at the end are no whole block: a crash leaves that", s.end-at)
			return nil
		case errors.Is(err, ErrDamaged), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			if err := s.damaged(c, l, err); err != nil {
				return err
			}
		default:
			return err
		}
		if err := s.r.Read(s.off - at); err != nil {
			return err
		}
	}
	return nil
}

// found takes a block that is what its CID says.
func (s *segmentScan) found(c CID, l location) error {
	s.r.Checked(report.Block, 1)
	if s.db == nil || l.off >= s.mark && s.recorded {
		return nil
	}
	is, ok, err := lookUp(s.db, c)
	if l.off >= s.mark {
		if err == nil && ok && is == l { // else it was appended just before a crash
			s.recorded = true
			s.r.Bad(report.Mark, s.path(s.n), report.Rebuild, "the database has no record of the segment, and knows of blocks in it")
		}
		return nil
	}
	where := fmt.Sprintf("%s:%d", s.path(s.n), l.off)
	switch {
	case errors.Is(err, ErrDamaged):
		s.r.Bad(report.Index, "block "+Format(c), report.Rebuild, "%v", err)
	case err != nil:
		return err
	case !ok && s.atRest:
		s.r.Bad(report.Index, where, report.Rebuild, "block %s is not in the index", Format(c))
	case is == l:
		s.right[s.n]++
	}
	return nil
}

// damaged tells of a section that is not what it was, and finds the next one.
func (s *segmentScan) damaged(c CID, l location, why error) error {
	at := s.off
	next, err := s.next(at)
	if err != nil {
		return err
	}
	// If only the bytes are wrong, the section still says where the next one begins.
	if next == s.end && !c.IsZero() && l.end() <= s.end {
		next = l.end()
	}
	where := fmt.Sprintf("%s:%d", s.path(s.n), at)
	if is, ok := s.indexed(at); ok {
		s.want(is.cid)
		s.r.Bad(report.Block, where, report.Copy, "block %s is not what was written: %v", Format(is.cid), why)
		s.right[s.n]++ // the entry is right, the block is not
	} else if s.db == nil && c.IsZero() {
		s.r.Bad(report.Segment, where, report.Copy, "what follows can't be read: %v", why)
	} else {
		s.r.Note(report.Block, where, "a block that nothing leads to is not what was written: %v", why)
	}
	s.off = next
	return nil
}

// next is where the first block behind at begins, as far as the index knows.
func (s *segmentScan) next(at int64) (int64, error) {
	if s.known == nil && s.db != nil {
		s.known = []located{}
		err := eachEntry(s.db, func(c CID, l location, err error) error {
			if err == nil && l.segment == s.n {
				s.known = append(s.known, located{c, l})
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		slices.SortFunc(s.known, func(a, b located) int { return int(a.off - b.off) })
	}
	for _, k := range s.known {
		if k.off > at {
			return min(k.off, s.end), nil
		}
	}
	return s.end, nil
}

func (s *segmentScan) indexed(at int64) (located, bool) {
	for _, k := range s.known {
		if k.off == at {
			return k, true
		}
	}
	return located{}, false
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

// A ContentCheck opens content, each block once however many files have it.
type ContentCheck struct {
	st   Store
	seen map[uint64]struct{} // by the digest's beginning
	deep bool
	r    *report.Report

	Wanted map[CID]struct{} // blocks that are damaged or missing are added here; nil: they are not
}

// NewContentCheck returns one over the blocks in st. deep: leaves are opened too, and not only looked for.
func NewContentCheck(st Store, deep bool, r *report.Report) *ContentCheck {
	return &ContentCheck{st: st, seen: map[uint64]struct{}{}, deep: deep, r: r}
}

// Check opens what c reaches under the keys of its links, and tells what is missing, damaged, or opens to something else. where names c for
// people; it is asked only if there is something to tell.
func (k *ContentCheck) Check(ctx context.Context, c Content, where func() string) error {
	k.r.Checked(report.Link, 1)
	if err := c.Check(); err != nil {
		k.r.Bad(report.Link, where(), report.Nothing, "%v", err)
		return nil
	}
	if c.Root.IsZero() {
		return nil
	}
	return k.tree(ctx, c.Root, int(c.Depth), c.Size, where)
}

// Store is where the blocks are that Check opens.
func (k *ContentCheck) Store() Store { return k.st }

// tree checks a tree of a level that holds size bytes.
func (k *ContentCheck) tree(ctx context.Context, link Link, level int, size int64, where func() string) error {
	if _, ok := k.seen[fingerprint(link.CID)]; ok {
		return nil
	}
	k.seen[fingerprint(link.CID)] = struct{}{}
	if err := ctx.Err(); err != nil {
		return err
	}
	if level == 0 {
		return k.leaf(link, size, where)
	}
	if level == 1 {
		chunks, err := loadSection(k.st, link, size)
		if err != nil {
			return k.blame(link.CID, where, err)
		}
		for _, ch := range chunks {
			if ch.link.IsZero() {
				continue
			}
			if err := k.tree(ctx, ch.link, 0, ch.size, where); err != nil {
				return err
			}
		}
		return k.r.Read(0)
	}
	b, err := loadBranch(k.st, link, level, childrenFor(level, size))
	if err != nil {
		return k.blame(link.CID, where, err)
	}
	below := span(level - 1)
	for i, child := range b {
		if child.IsZero() {
			continue
		}
		if err := k.tree(ctx, child, level-1, min(below, size-int64(i)*below), where); err != nil {
			return err
		}
	}
	return nil
}

func (k *ContentCheck) leaf(link Link, size int64, where func() string) error {
	if !k.deep {
		ok, err := k.st.Has(link.CID)
		if err == nil && !ok {
			err = ErrNotFound
		}
		return k.blame(link.CID, where, err)
	}
	if _, err := loadLeaf(k.st, link, size); err != nil {
		return k.blame(link.CID, where, err)
	}
	return k.r.Read(size)
}

// blame tells of a block that is not to be had.
func (k *ContentCheck) blame(c CID, where func() string, err error) error {
	if k.Wanted != nil && (errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged)) {
		k.Wanted[c] = struct{}{}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound):
		k.r.Bad(report.Link, where(), report.Copy, "block %s is not here", Format(c))
	case errors.Is(err, ErrDamaged):
		k.r.Bad(report.Link, where(), report.Copy, "block %s: %v", Format(c), err)
	default:
		return err
	}
	return nil
}
