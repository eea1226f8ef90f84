package fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/ipld"
)

// sums are the checksums of a spill file's pages. A disk that fails may take back what was written: the kernel drops a page that it
// could not write, reads what the disk had before, and the only one it tells is the next sync. With sums that
// shows as damage.
//
// Who writes to the file and who reads what is still being written holds the node's lock; once the edit has ended nobody writes.
type sums struct {
	of  map[int64]*sumGroup // by number; nil: this file has none
	bad error               // the stored sums are damaged: nothing of the file can be believed
	end int64               // no byte was ever written from here on

	rest  uint32  // the sum of a page that is in no group: zeros, but in an edit that was taken up
	fresh []int64 // groups that have changed since an fsync stored them
	trail *trail  // nil: no fsync's record names the file

	last   []byte // the page that was last written in part, so that who writes on need not read it; nil: not known
	lastAt int64
}

// A sumGroup has the sums of as many neighbouring pages. A page that was never written is zeros.
type sumGroup struct {
	of    [groupPages]uint32
	fresh bool // it is in sums.fresh
}

const (
	groupPages = 64

	unwritten  = 0 // zeros
	unknown    = 1 // a write failed there: whatever is there may be
	leastOfSum = 2

	groupBytes = 8 + 4*groupPages // as stored
)

func sumOf(b []byte) uint32 {
	return max(leastOfSum, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func (s *sums) get(n int64) uint32 {
	if g := s.of[n/groupPages]; g != nil && g.of[n%groupPages] != unwritten {
		return g.of[n%groupPages]
	}
	return s.rest
}

func (s *sums) set(n int64, sum uint32) {
	g := s.of[n/groupPages]
	if g == nil {
		g = &sumGroup{}
		s.of[n/groupPages] = g
	}
	g.of[n%groupPages] = sum
	if !g.fresh {
		g.fresh = true
		s.fresh = append(s.fresh, n/groupPages)
	}
}

// stored notes that all sums are stored as they are.
func (s *sums) stored() {
	for _, n := range s.fresh {
		s.of[n].fresh = false
	}
	s.fresh = s.fresh[:0]
}

// unstored notes that none are.
func (s *sums) unstored() {
	s.fresh = s.fresh[:0]
	for n, g := range s.of {
		g.fresh = true
		s.fresh = append(s.fresh, n)
	}
}

// append adds a group as it is stored.
func (g *sumGroup) append(b []byte) []byte {
	for _, sum := range g.of {
		b = binary.LittleEndian.AppendUint32(b, sum)
	}
	return b
}

// parseGroup reads a group as it is stored.
func parseGroup(b []byte) *sumGroup {
	g := &sumGroup{}
	for i := range g.of {
		g.of[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return g
}

// check compares whole pages with their sums.
func (s *sums) check(b []byte, off int64) error {
	for ; len(b) > 0 && s.of != nil; b, off = b[page:], off+page {
		if want := s.get(off / page); want >= leastOfSum && sumOf(b[:page]) != want {
			return fmt.Errorf("spill file at %d: the disk lost what was written: %w", off, ErrDamaged)
		}
	}
	return nil
}

// readAt fills b by what was written at off.
func (s *sums) readAt(f vfs.File, b []byte, off int64) error {
	if s.bad != nil {
		return s.bad
	}
	if s.of == nil {
		return readFull(f, b, off)
	}
	for len(b) > 0 {
		in := off % page
		if n := int64(len(b)) / page * page; in == 0 && n > 0 {
			if err := readFull(f, b[:n], off); err != nil {
				return err
			}
			if err := s.check(b[:n], off); err != nil {
				return err
			}
			b, off = b[n:], off+n
			continue
		}
		p := make([]byte, page)
		if err := s.page(f, p, off-in); err != nil {
			return err
		}
		n := copy(b, p[in:])
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// page reads a page into p, with zeros behind the file's end.
func (s *sums) page(f vfs.File, p []byte, off int64) error {
	if s.get(off/page) == unwritten {
		clear(p)
		return nil
	}
	n, err := f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	clear(p[n:])
	return s.check(p, off)
}

// part returns a page that is about to be written in part, as last.
func (s *sums) part(f vfs.File, off int64) ([]byte, error) {
	p := s.last
	if p != nil && s.lastAt == off {
		return p, nil
	}
	s.last = nil
	if p == nil {
		p = make([]byte, page)
	}
	if err := s.page(f, p, off); err != nil {
		return nil, err
	}
	s.last, s.lastAt = p, off
	return p, nil
}

// writeAt writes b. What is left of a page that is written in part must be as it was written.
func (s *sums) writeAt(f vfs.File, b []byte, off int64) error {
	if s.of == nil || len(b) == 0 {
		_, err := f.WriteAt(b, off)
		return err
	}
	end := off + int64(len(b))
	first, last := off/page, (end-1)/page
	news := make([]uint32, 0, last-first+1)
	for n := first; n <= last; n++ {
		from, to := max(off, n*page), min(end, n*page+page)
		part := b[from-off : to-off]
		if to-from < page {
			p, err := s.part(f, n*page)
			if err != nil {
				return err
			}
			copy(p[from-n*page:], part)
			part = p
		} else if s.lastAt == n*page {
			s.last = nil
		}
		news = append(news, sumOf(part))
	}
	if err := s.mark(first, news); err != nil {
		s.last = nil
		return err
	}
	for n := first; n <= last; n++ {
		s.set(n, unknown)
	}
	s.end = max(s.end, end)
	if _, err := f.WriteAt(b, off); err != nil {
		s.last = nil
		for i := range news { // a part of it may be there
			news[i] = unknown
		}
		return errors.Join(err, s.mark(first, news))
	}
	for i, sum := range news {
		s.set(first+int64(i), sum)
	}
	return nil
}

// mark leaves in the trail what pages from first on are about to be.
func (s *sums) mark(first int64, will []uint32) error {
	if s.trail == nil {
		return nil
	}
	had := make([]uint32, len(will))
	for i := range had {
		had[i] = s.get(first + int64(i))
	}
	return s.trail.note(first, had, will)
}

// A sumsAt says where in its spill file the sums of a closed version stand: behind all else.
type sumsAt struct {
	_   struct{} `cbor:",toarray"`
	At  ipld.Range
	Sum uint32 // of these bytes
}

// encode returns the sums as they are stored.
func (s *sums) encode() []byte {
	b := make([]byte, 0, len(s.of)*groupBytes)
	for _, n := range slices.Sorted(maps.Keys(s.of)) {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
		b = s.of[n].append(b)
	}
	return b
}

// storeSums writes the sums behind what the file has.
func (p *spill) storeSums() (*sumsAt, error) {
	if p.sums.bad != nil { // nor will it be believed after the next start: no sum is like this
		return &sumsAt{Sum: unwritten}, nil
	}
	if len(p.sums.of) == 0 {
		return nil, nil
	}
	b := p.sums.encode()
	p.sums.last = nil
	at := sumsAt{At: ipld.Range{Off: (p.sums.end + page - 1) / page * page, Len: int64(len(b))}, Sum: sumOf(b)}
	if err := p.writeAt(b, at.At.Off); err != nil {
		return nil, err
	}
	return &at, nil
}

// loadSums reads the sums that an earlier run stored. Without any, what the disk has is believed; if they are damaged, nothing of it.
func (p *spill) loadSums(at *sumsAt) error {
	if at == nil {
		return nil
	}
	return p.use(func(f vfs.File) error { return p.sums.load(f, at) })
}

// load is loadSums for an open file.
func (s *sums) load(f vfs.File, at *sumsAt) error {
	if at.At.Len < 0 || at.At.Len > maxStoredSums || at.At.Len%groupBytes != 0 {
		s.bad = fmt.Errorf("sums of a spill file: %w", ErrDamaged)
		return s.bad
	}
	b := make([]byte, at.At.Len)
	if err := readFull(f, b, at.At.Off); err != nil {
		s.bad = fmt.Errorf("sums of a spill file: %w", err)
		return s.bad
	}
	if sumOf(b) != at.Sum {
		s.bad = fmt.Errorf("sums of a spill file: %w", ErrDamaged)
		return s.bad
	}
	s.of = make(map[int64]*sumGroup, len(b)/groupBytes)
	for ; len(b) > 0; b = b[groupBytes:] {
		s.of[int64(binary.LittleEndian.Uint64(b))] = parseGroup(b[8:])
	}
	s.end = at.At.Off + at.At.Len
	return nil
}

// maxStoredSums bounds the sums of one file: those of 16 TiB.
const maxStoredSums = 16 << 40 / (page * groupPages) * groupBytes
