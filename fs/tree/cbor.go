package tree

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// Ops and records are written by hand, for speed: the same canonical DAG-CBOR as package dagcbor writes.

const (
	majorUint  = 0 << 5
	majorInt   = 1 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5

	cborNull = 0xf6

	// cidTag is how a link begins: tag 42, a byte string of 37 bytes, the identity multibase.
	cidTag = "\xd8\x2a\x58\x25\x00"
)

var errForm = errors.New("malformed or not canonical")

func putHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func putUint(b []byte, n uint64) []byte { return putHead(b, majorUint, n) }
func putArray(b []byte, n int) []byte   { return putHead(b, majorArray, uint64(n)) }

func putInt(b []byte, n int64) []byte {
	if n < 0 {
		return putHead(b, majorInt, uint64(-1-n))
	}
	return putHead(b, majorUint, uint64(n))
}

func putBytes(b, v []byte) []byte {
	return append(putHead(b, majorBytes, uint64(len(v))), v...)
}

func putText(b []byte, v string) []byte {
	return append(putHead(b, majorText, uint64(len(v))), v...)
}

func putID[ID ~[16]byte](b []byte, id ID) []byte {
	return append(append(b, majorBytes|16), id[:]...)
}

func putIDs[ID ~[16]byte](b []byte, ids []ID) []byte {
	b = putArray(b, len(ids))
	for _, id := range ids {
		b = putID(b, id)
	}
	return b
}

// A scanner reads canonical CBOR. After its first error everything that it returns is zero. What it
// returns lies in the scanned bytes.
type scanner struct {
	b   []byte
	bad bool
}

func (s *scanner) fail() { s.bad, s.b = true, nil }

// head reads a head and insists on its shortest form.
func (s *scanner) head() (major byte, n uint64) {
	if len(s.b) == 0 {
		s.fail()
		return 0xff, 0
	}
	c := s.b[0]
	major, n = c&0xe0, uint64(c&0x1f)
	if n < 24 {
		s.b = s.b[1:]
		return major, n
	}
	size := 1 << (n - 24)
	if n > 27 || len(s.b) < 1+size {
		s.fail()
		return 0xff, 0
	}
	least := uint64(24)
	switch arg := s.b[1:]; size {
	case 1:
		n = uint64(arg[0])
	case 2:
		n, least = uint64(binary.BigEndian.Uint16(arg)), 1<<8
	case 4:
		n, least = uint64(binary.BigEndian.Uint32(arg)), 1<<16
	default:
		n, least = binary.BigEndian.Uint64(arg), 1<<32
	}
	if n < least {
		s.fail()
		return 0xff, 0
	}
	s.b = s.b[1+size:]
	return major, n
}

// uint reads a number that is at most limit.
func (s *scanner) uint(limit uint64) uint64 {
	major, n := s.head()
	if major != majorUint || n > limit {
		s.fail()
		return 0
	}
	return n
}

func (s *scanner) int() int64 {
	major, n := s.head()
	if major > majorInt || n > math.MaxInt64 {
		s.fail()
		return 0
	}
	if major == majorInt {
		return -1 - int64(n)
	}
	return int64(n)
}

func (s *scanner) string(major byte, limit int) []byte {
	m, n := s.head()
	if m != major || n > uint64(limit) || n > uint64(len(s.b)) {
		s.fail()
		return nil
	}
	v := s.b[:n:n]
	s.b = s.b[n:]
	return v
}

func (s *scanner) bytes(limit int) []byte { return s.string(majorBytes, limit) }

func (s *scanner) text(limit int) string { return string(s.textBytes(limit)) }

func (s *scanner) textBytes(limit int) []byte {
	v := s.string(majorText, limit)
	if !utf8.Valid(v) {
		s.fail()
		return nil
	}
	return v
}

func (s *scanner) name() []byte {
	v := s.bytes(MaxName)
	if !ValidName(v) {
		s.fail()
	}
	return v
}

// array reads the head of an array of at most limit elements.
func (s *scanner) array(limit int) int {
	major, n := s.head()
	// Every element takes a byte at least.
	if major != majorArray || n > uint64(limit) || n > uint64(len(s.b)) {
		s.fail()
		return 0
	}
	return int(n)
}

// exactly reads the head of an array of n elements.
func (s *scanner) exactly(n int) {
	if s.array(n) != n {
		s.fail()
	}
}

// null reads a null if one is next.
func (s *scanner) null() bool {
	if len(s.b) > 0 && s.b[0] == cborNull {
		s.b = s.b[1:]
		return true
	}
	return false
}

func (s *scanner) fixed(dst []byte) {
	v := s.bytes(len(dst))
	if len(v) != len(dst) {
		s.fail()
		return
	}
	copy(dst, v)
}

func scanID[ID ~[16]byte](s *scanner) (id ID) {
	if len(s.b) < 17 || s.b[0] != majorBytes|16 {
		s.fail()
		return id
	}
	id = ID(s.b[1:17])
	s.b = s.b[17:]
	return id
}

func scanIDs[ID ~[16]byte](s *scanner, limit int) []ID {
	n := s.array(limit)
	if n == 0 || s.bad {
		return nil
	}
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = scanID[ID](s)
	}
	return ids
}

// end reports whether everything was read and was well formed.
func (s *scanner) end() bool { return !s.bad && len(s.b) == 0 }
