package ipld

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rhizome-fs/rhizome/internal/report"
)

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
