package ipld

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// recover makes the segments and the index agree after a crash, or after nothing.
func (s *Segments) recover() error {
	records, err := s.loadRecords()
	if err != nil {
		return err
	}
	sizes, err := s.listFiles()
	if err != nil {
		return err
	}
	if err := s.finishDrops(records, sizes); err != nil {
		return err
	}
	found, marks := map[CID]location{}, map[segmentNumber]int64{}
	for _, n := range slices.Sorted(maps.Keys(sizes)) {
		r, known := records[n]
		s.segments[n] = &segment{size: sizes[n], mark: r.Mark}
		s.next = max(s.next, n+1)
		if known && sizes[n] <= r.Mark {
			continue
		}
		end, err := s.recoverTail(n, r.Mark, sizes[n], found)
		if err != nil {
			return err
		}
		if end == 0 {
			delete(s.segments, n)
			continue
		}
		marks[n] = end
		*s.segments[n] = segment{size: end, mark: end}
	}
	for n, r := range records {
		s.next = max(s.next, n+1)
		s.noteDamage(n, r.Mark)
	}
	if len(marks) > 0 {
		s.log.Info("segments recovered", "segments", len(marks), "blocks", len(found))
		if err := errors.Join(s.syncDir(s.dir), s.enterIndex(found, marks)); err != nil {
			return err
		}
	}
	return s.reopenTail()
}

// listFiles makes the directory if it is missing, removes what an interrupted copy left, and returns
// the segments' sizes.
func (s *Segments) listFiles() (map[segmentNumber]int64, error) {
	vol := s.st.FS()
	if _, err := vol.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(vol.MkdirAll(s.dir, 0o700), s.syncDir(s.st.Path())); err != nil {
			return nil, err
		}
	}
	names, err := vol.List(s.dir)
	if err != nil {
		return nil, err
	}
	sizes := map[segmentNumber]int64{}
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			if err := vol.Remove(vol.PathJoin(s.dir, name)); err != nil {
				return nil, err
			}
			continue
		}
		n, ok := parseSegmentName(name)
		if !ok {
			continue // not ours
		}
		info, err := vol.Stat(s.path(n))
		if err != nil {
			return nil, err
		}
		sizes[n] = info.Size()
	}
	return sizes, nil
}

func parseSegmentName(name string) (segmentNumber, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	n, err := strconv.ParseUint(digits, 10, 32)
	num := segmentNumber(n)
	return num, ok && err == nil && num != 0 && num.file() == name
}

// finishDrops removes segments that a collection had emptied when it was interrupted.
func (s *Segments) finishDrops(records map[segmentNumber]segmentRecord, sizes map[segmentNumber]int64) error {
	for n, r := range records {
		if !r.Dropped {
			continue
		}
		s.next = max(s.next, n+1)
		_, there := sizes[n]
		if err := s.removeFile(n, there); err != nil {
			return err
		}
		delete(records, n)
		delete(sizes, n)
	}
	return nil
}

// removeFile removes a segment whose record says that it is dropped, and the record behind it.
func (s *Segments) removeFile(n segmentNumber, there bool) error {
	if there {
		s.files.drop(n)
		if err := s.st.FS().Remove(s.path(n)); err != nil {
			return fmt.Errorf("remove segment %v: %w", n, err)
		}
		// Without this the file could come back without its record, as if it were new.
		if err := s.syncDir(s.dir); err != nil {
			return err
		}
	}
	b := s.st.DB().NewBatch()
	if err := b.Delete(segmentKey(n), nil); err != nil {
		return errors.Join(err, b.Close())
	}
	return s.st.Commit(b, store.Applied)
}

// noteDamage compares a segment with its record.
func (s *Segments) noteDamage(n segmentNumber, mark int64) {
	seg := s.segments[n]
	switch {
	case seg == nil:
		s.segments[n] = &segment{mark: mark, wrong: "the file is missing"}
	case seg.size < mark:
		seg.wrong = fmt.Sprintf("the file is cut: %d of %d bytes are left", seg.size, mark)
	default:
		return
	}
	s.log.Error("segment damaged", "segment", n.String(), "what", s.segments[n].wrong)
}

// recoverTail looks at what was appended to a segment behind its mark. It adds the whole blocks to
// found, and cuts the segment behind the last of them; it returns the new end, 0 if nothing is left.
//
// The segment is copied even if its tail is whole: after a failed sync the kernel may hold bytes that
// never reach the disk, and calls them clean. Only what is written anew is certain.
func (s *Segments) recoverTail(n segmentNumber, mark, size int64, found map[CID]location) (int64, error) {
	f, err := s.files.acquire(n)
	if err != nil {
		return 0, err
	}
	defer s.files.release(f)
	end := mark
	if mark == 0 {
		head := make([]byte, len(carHeader))
		if _, err := f.ReadAt(head, 0); err == nil && string(head) == carHeader {
			end = int64(len(carHeader))
		}
	}
	for end > 0 {
		c, l, err := scanSection(f, n, end, size)
		if errors.Is(err, ErrDamaged) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break // what follows was on its way when the crash came
		}
		if err != nil {
			return 0, fmt.Errorf("read segment %v: %w", n, err)
		}
		found[c] = l
		end = l.end()
	}
	if mark == 0 && end <= int64(len(carHeader)) {
		s.files.drop(n)
		return 0, s.st.FS().Remove(s.path(n))
	}
	if err := s.copyPrefix(f, n, end); err != nil {
		return 0, fmt.Errorf("cut segment %v: %w", n, err)
	}
	return end, nil
}

// scanSection reads the section at off, and checks it.
func scanSection(f io.ReaderAt, n segmentNumber, off, size int64) (CID, location, error) {
	head := make([]byte, min(maxCARSectionHead, size-off))
	if _, err := f.ReadAt(head, off); err != nil {
		return CID{}, location{}, err
	}
	c, length, at, err := parseCARSection(head)
	if err != nil {
		return CID{}, location{}, err
	}
	l := location{n, off, length}
	if l.end() > size {
		return CID{}, location{}, io.ErrUnexpectedEOF
	}
	data := make([]byte, length)
	if _, err := f.ReadAt(data, off+int64(at)); err != nil && length > 0 {
		return CID{}, location{}, err
	}
	return c, l, Block{c, data}.Verify()
}

// copyPrefix replaces a segment by its first bytes, written anew and synced. The directory is not.
func (s *Segments) copyPrefix(f io.ReaderAt, n segmentNumber, size int64) (err error) {
	vol := s.st.FS()
	temp := s.path(n) + tempSuffix
	out, err := vol.Create(temp, blocksCategory)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, io.NewSectionReader(f, 0, size), make([]byte, appendBytes))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, vol.Remove(temp))
	}
	s.files.drop(n)
	return vol.Rename(temp, s.path(n))
}

// cutTail removes what a failed write left behind a tail that is about to be closed.
func (s *Segments) cutTail(t *tail) error {
	info, err := t.file.Stat()
	if err != nil || info.Size() <= t.size {
		return err
	}
	if err := s.copyPrefix(t.file, t.num, t.size); err != nil {
		return fmt.Errorf("cut segment %v: %w", t.num, err)
	}
	s.mu.Lock()
	s.newFiles = true
	s.mu.Unlock()
	return nil
}

// reopenTail goes on with the last segment if it has room.
func (s *Segments) reopenTail() error {
	n := s.next - 1
	seg := s.segments[n]
	if seg == nil || seg.wrong != "" || seg.size >= s.opts.Size {
		return nil
	}
	f, err := s.st.FS().OpenReadWrite(s.path(n), blocksCategory)
	if err != nil {
		return err
	}
	s.tail = &tail{num: n, file: f, size: seg.size}
	return nil
}
