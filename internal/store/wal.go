package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segmentSize is where a segment is full. A record that is larger has a segment of its own.
const segmentSize = 4 << 20

// keepObsolete is how many obsolete segments wait to be used again: about what one flush makes obsolete.
const keepObsolete = 6

// A segment is one file of the write-ahead log.
type segment struct {
	num  uint64
	file vfs.File
	seed uint32
	off  int64  // where the next record goes
	last uint64 // position of its last record; 0: none yet

	suspect bool // a write or a sync failed: it takes no more records, and its file is not used again
}

func (l *walDir) segmentPath(num uint64) string {
	return l.fs.PathJoin(l.path, fmt.Sprintf("%016x.wal", num))
}

// A walDir makes, lists and removes the files of the write-ahead log. Open uses it first, then the keeper and
// who mends the log.
type walDir struct {
	fs   vfs.FS
	path string
	dir  vfs.File // to sync names
	size int64    // of a segment, if its records are smaller

	mu       sync.Mutex
	numbers  uint64     // GUARDED_BY(mu): the highest number in use
	obsolete []*segment // GUARDED_BY(mu): files that nothing needs any more, oldest first
}

func openWALDir(fs vfs.FS, path string, size int64) (*walDir, error) {
	if err := fs.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	dir, err := fs.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &walDir{fs: fs, path: path, dir: dir, size: size}, nil
}

// list returns the numbers of the segments there are, in order.
func (l *walDir) list() ([]uint64, error) {
	names, err := l.fs.List(l.path)
	if err != nil {
		return nil, err
	}
	var nums []uint64
	for _, name := range names {
		var n uint64
		if _, err := fmt.Sscanf(name, "%016x.wal", &n); err == nil && strings.HasSuffix(name, ".wal") {
			nums = append(nums, n)
			l.numbers = max(l.numbers, n)
		}
	}
	slices.Sort(nums)
	return nums, nil
}

// create makes the next segment, ready to be written to. Its name is on disk on return. If it can, it
// takes an obsolete segment's file: a sync is cheap if the file system need not allocate anything. A new
// file is filled with zeros for the same reason; they are on disk too if sync says so, which takes time.
func (l *walDir) create(sync bool) (*segment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var old *segment
	if len(l.obsolete) > 0 {
		old, l.obsolete = l.obsolete[0], l.obsolete[1:]
	}
	l.numbers++
	s := &segment{num: l.numbers, seed: seed(l.numbers), off: segmentHeader}
	path := l.segmentPath(s.num)
	var err error
	if old != nil {
		s.file = old.file
		err = l.fs.Rename(l.segmentPath(old.num), path)
	} else {
		s.file, err = l.fs.OpenReadWrite(path, "rhizome-wal")
	}
	if err == nil {
		err = l.prepare(s, old == nil, sync)
	}
	if err != nil {
		if s.file != nil {
			_ = s.close()
		}
		_ = l.fs.Remove(path) // what is left of it holds nothing
		return nil, fmt.Errorf("new log segment %s: %w", path, err)
	}
	return s, nil
}

func (l *walDir) prepare(s *segment, fill, sync bool) error {
	if fill && s.file.Fd() != vfs.InvalidFd {
		// Page by page: what was written as one piece Linux keeps as one, and a record in the midst of a large
		// piece costs twice as much as one in a page.
		page := make([]byte, 4096)
		for off := int64(0); off < l.size; off += int64(len(page)) {
			if _, err := s.file.WriteAt(page, off); err != nil {
				return err
			}
		}
	}
	header := binary.LittleEndian.AppendUint64([]byte(segmentMagic), s.num)
	if _, err := s.file.WriteAt(header, 0); err != nil {
		return err
	}
	if sync {
		if err := s.file.SyncData(); err != nil {
			return err
		}
	}
	return l.dir.Sync()
}

// retire takes segments that nothing needs any more. keep of their files are kept, to be used again.
func (l *walDir) retire(segments []*segment, keep int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	var nums []uint64
	for _, s := range segments {
		if s.suspect {
			nums = append(nums, s.num)
			err = errors.Join(err, s.close())
			continue
		}
		l.obsolete = append(l.obsolete, s)
	}
	for ; len(l.obsolete) > keep; l.obsolete = l.obsolete[1:] {
		nums = append(nums, l.obsolete[0].num)
		err = errors.Join(err, l.obsolete[0].close())
	}
	return errors.Join(err, l.remove(nums...))
}

// forgetObsolete lets go of the files that could be used again.
func (l *walDir) forgetObsolete() error { return l.retire(nil, 0) }

// remove deletes segments that are not open. After a crash they may be back. What can't be removed stays until
// the next start.
func (l *walDir) remove(nums ...uint64) error {
	var err error
	for _, n := range nums {
		err = errors.Join(err, l.fs.Remove(l.segmentPath(n)))
	}
	return err
}

func (l *walDir) close() error {
	return errors.Join(closeSegments(l.obsolete), l.dir.Close())
}

// room reports whether a record of n bytes goes into s. An empty segment takes any.
func (l *walDir) room(s *segment, n int) bool {
	return s.off == segmentHeader || s.off+int64(n) <= l.size
}

// halfFull says that s will be full soon.
func (l *walDir) halfFull(s *segment) bool { return s.off > l.size/2 }

// write appends an encoded record. If it fails, the segment is as before, but for bytes behind its end.
func (s *segment) write(rec []byte, pos uint64) error {
	if _, err := s.file.WriteAt(rec, s.off); err != nil {
		return err
	}
	s.off += int64(len(rec))
	s.last = pos
	return nil
}

func (s *segment) close() error { return s.file.Close() }

func closeSegments(segments []*segment) error {
	var err error
	for _, s := range segments {
		err = errors.Join(err, s.close())
	}
	return err
}
