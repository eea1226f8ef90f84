package ipld

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// A mending makes the index agree with the segments again.
type mending struct {
	st      *store.Store
	check   *segmentCheck
	r       *report.Report
	batch   *pebble.Batch
	changed int
}

// MendIndex makes the index and the segments' records anew where they are not what the segments say, before the segments are opened: every
// whole block gets an entry; an entry that leads to no block goes, and the record of a segment that is missing or cut is set to what is there. What an
// entry led to is not touched: a segment that comes back is found again. It says how much it changed.
func MendIndex(st *store.Store, r *report.Report) (changed int, err error) {
	m := &mending{st: st, r: r, batch: st.DB().NewBatch()}
	m.check = &segmentCheck{fs: st.FS(), dir: st.Path(segmentsDir), db: st.DB(), atRest: true, r: report.New(context.Background(), nil), right: map[segmentNumber]int64{}}
	if err := m.run(); err != nil {
		return m.changed, fmt.Errorf("mend index: %w", errors.Join(err, m.batch.Close()))
	}
	if m.changed > 0 {
		r.Did(report.Index, "db", "made %d entries of the index and records of segments anew, as the segments say", m.changed)
	}
	return m.changed, st.Commit(m.batch, store.OnDisk)
}

func (m *mending) run() error {
	sizes, err := m.check.files()
	if err != nil {
		return err
	}
	if m.check.records, err = m.check.loadRecords(); err != nil {
		return err
	}
	err = scan(m.st.DB(), segmentPrefix, func(key, val []byte) error {
		if _, _, err := decodeSegmentRecord(key, val); err != nil { // an unknown segment is read when they are opened
			return m.delete(key)
		}
		return nil
	})
	for n, rec := range m.check.records {
		if err == nil && !rec.Dropped && rec.Mark > 0 {
			err = m.segment(n, rec.Mark, sizes)
		}
	}
	if err != nil {
		return err
	}
	return eachEntry(m.st.DB(), func(c CID, l location, err error) error {
		if err != nil {
			return m.delete(blockKey(c))
		}
		if leads, err := m.leads(c, l); err != nil || leads {
			return err
		}
		return m.deleteUnlessSet(c)
	})
}

// segment enters the blocks of a segment that the index does not know.
func (m *mending) segment(n segmentNumber, mark int64, sizes map[segmentNumber]int64) error {
	size, there := sizes[n]
	if !there {
		m.r.Did(report.Segment, m.check.path(n), "forgot the segment, which is missing; if it comes back it is read again")
		return m.delete(segmentKey(n))
	}
	f, err := m.st.FS().Open(m.check.path(n))
	if err != nil {
		return err
	}
	defer f.Close()
	end := int64(len(carHeader)) // of the last whole section
	s := &segmentScan{segmentCheck: m.check, n: n, f: f, off: end, end: min(size, mark), mark: mark}
	for s.off < s.end {
		c, l, err := scanSection(f, n, s.off, s.end)
		if err == nil {
			s.off, end = l.end(), l.end()
			if err := m.enter(c, l); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		next, err := s.next(s.off)
		if err != nil {
			return err
		}
		if next == s.end && !c.IsZero() && l.end() <= s.end {
			next = l.end()
			end = next // only the bytes are wrong
		}
		s.off = next
	}
	if size >= mark {
		return nil
	}
	m.r.Did(report.Segment, m.check.path(n), "set the segment's end to %d, where its last whole block ends; it had been %d", end, mark)
	m.changed++
	return setRecord(m.batch, n, segmentRecord{Mark: end})
}

// enter makes the entry of a block that is at l, unless it has one that leads to it.
func (m *mending) enter(c CID, l location) error {
	is, ok, err := lookUp(m.st.DB(), c)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if err == nil && ok {
		if is == l {
			return nil
		}
		if whole, err := m.whole(c, is); err != nil || whole {
			return err
		}
	}
	m.changed++
	if err := m.batch.Set(blockKey(c), l.encode(), nil); err != nil {
		return err
	}
	return m.flush()
}

// whole reports whether a block is where an entry leads, and what it was.
func (m *mending) whole(c CID, l location) (bool, error) {
	f, err := m.st.FS().Open(m.check.path(l.segment))
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	got, at, err := scanSection(f, l.segment, l.off, l.end())
	return err == nil && got == c && at == l, nil
}

// leads reports whether an entry leads to a section of its block, whole or damaged.
func (m *mending) leads(c CID, l location) (bool, error) {
	f, err := m.st.FS().Open(m.check.path(l.segment))
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || l.end() > info.Size() {
		return false, err
	}
	head := make([]byte, carSectionHead(l.size))
	if _, err := f.ReadAt(head, l.off); err != nil {
		return false, ignoreEOF(err)
	}
	got, size, _, err := parseCARSection(head)
	return err == nil && got == c && size == l.size, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func (m *mending) delete(key []byte) error {
	m.changed++
	return errors.Join(m.batch.Delete(slices.Clone(key), nil), m.flush())
}

// deleteUnlessSet deletes an entry, unless it has been made anew.
func (m *mending) deleteUnlessSet(c CID) error {
	if err := m.flushAll(); err != nil {
		return err
	}
	l, ok, err := lookUp(m.st.DB(), c)
	if err != nil || !ok {
		return err
	}
	if leads, err := m.leads(c, l); err != nil || leads {
		return err
	}
	return m.delete(blockKey(c))
}

func (m *mending) flush() error {
	if m.batch.Count() < indexBatch {
		return nil
	}
	return m.flushAll()
}

func (m *mending) flushAll() error {
	if m.batch.Empty() {
		return nil
	}
	b := m.batch
	m.batch = m.st.DB().NewBatch()
	return m.st.Commit(b, store.Applied)
}

// MendHeaders gives segments whose CAR header is not as it must be the right one: they are written anew, and kept as they were beside that.
func MendHeaders(fs vfs.FS, home string, r *report.Report) error {
	c := &segmentCheck{fs: fs, dir: fs.PathJoin(home, segmentsDir), r: report.New(context.Background(), nil)}
	sizes, err := c.files()
	if err != nil {
		return err
	}
	for n, size := range sizes {
		if err := mendHeader(fs, c.path(n), size, r); err != nil {
			return fmt.Errorf("mend segment %v: %w", n, err)
		}
	}
	return nil
}

func mendHeader(fs vfs.FS, path string, size int64, r *report.Report) error {
	f, err := fs.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, len(carHeader))
	if n, err := f.ReadAt(head, 0); n < len(head) || string(head) == carHeader {
		return ignoreEOF(err)
	}
	if _, _, err := scanSection(f, 1, int64(len(carHeader)), size); err != nil {
		return nil // it is not the header alone
	}
	out, err := fs.Create(path+tempSuffix, blocksCategory)
	if err != nil {
		return err
	}
	rest := io.NewSectionReader(f, int64(len(carHeader)), size-int64(len(carHeader)))
	_, err = io.Copy(struct{ io.Writer }{out}, io.MultiReader(strings.NewReader(carHeader), rest))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := fs.Link(path, path+damagedSuffix); err != nil && !errors.Is(err, iofs.ErrExist) {
		return err
	}
	if err := fs.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	r.Did(report.Segment, path+":0", "gave it the header that it must have; the file as it was is %s", path+damagedSuffix)
	return nil
}

// FindBlocks looks for blocks in all CAR files in dir and below: another store's segments, the packs of a backup, what export wrote. It calls
// fn for each that is what its CID says, and takes it out of wanted.
func FindBlocks(ctx context.Context, fs vfs.FS, dir string, wanted map[CID]struct{}, fn func(Block) error) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil || len(wanted) == 0 {
			continue // a socket, or what went meanwhile
		}
		switch {
		case info.IsDir():
			err = FindBlocks(ctx, fs, path, wanted, fn)
		case strings.Contains(name, segmentSuffix):
			err = findIn(ctx, fs, path, info.Size(), wanted, fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func findIn(ctx context.Context, fs vfs.FS, path string, size int64, wanted map[CID]struct{}, fn func(Block) error) error {
	f, err := fs.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	off, ok := carStart(f)
	for ok && off < size && len(wanted) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, next, err := ReadCARAt(f, off, size)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		if next == 0 {
			return nil
		}
		if _, is := wanted[b.CID]; is && err == nil {
			delete(wanted, b.CID)
			if err := fn(b); err != nil {
				return err
			}
		}
		off = next
	}
	return nil
}

// carStart is where the first section of a CAR file begins: behind its header.
func carStart(f io.ReaderAt) (int64, bool) {
	head := make([]byte, 10)
	n, _ := f.ReadAt(head, 0)
	length, used := uvarint(head[:n])
	return int64(used) + int64(length), used > 0 && length > 0 && length < MaxBlock
}

// PutAnew puts blocks even if they are thought to be here: in the place of ones that are damaged.
func (s *Segments) PutAnew(blocks ...Block) error {
	if _, _, err := s.put(blocks, true); err != nil {
		return fmt.Errorf("put %d blocks anew: %w", len(blocks), explain(err))
	}
	return nil
}
