package eventlog

import (
	"encoding/binary"
	"errors"
	"math"
)

// The records that every change writes are encoded by hand: the same canonical CBOR as package dagcbor
// writes, without its reflection.

const (
	majorUint  = 0 << 5
	majorInt   = 1 << 5
	majorBytes = 2 << 5
	majorArray = 4 << 5

	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
)

var errShort = errors.New("record is cut short or malformed")

func appendHead(b []byte, major byte, n uint64) []byte {
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

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, majorInt, uint64(-1-n))
	}
	return appendHead(b, majorUint, uint64(n))
}

func appendBytes(b, v []byte) []byte {
	return append(appendHead(b, majorBytes, uint64(len(v))), v...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, cborTrue)
	}
	return append(b, cborFalse)
}

// A scanner reads what the functions above wrote. After its first error everything it returns is zero.
type scanner struct {
	b   []byte
	err error
}

func (s *scanner) fail() { s.err, s.b = errShort, nil }

func (s *scanner) next() byte {
	if len(s.b) == 0 {
		s.fail()
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

// head reads a head and its argument.
func (s *scanner) head() (major byte, n uint64) {
	c := s.next()
	major, n = c&0xe0, uint64(c&0x1f)
	if n < 24 {
		return major, n
	}
	if n > 27 {
		s.fail()
		return 0, 0
	}
	size := 1 << (n - 24)
	if len(s.b) < size {
		s.fail()
		return 0, 0
	}
	n = 0
	for _, x := range s.b[:size] {
		n = n<<8 | uint64(x)
	}
	s.b = s.b[size:]
	return major, n
}

// count reads the head of an array, and refuses one that is longer than the bytes that are left.
func (s *scanner) count() int {
	major, n := s.head()
	if s.err != nil || major != majorArray || n > uint64(len(s.b)) {
		s.fail()
		return 0
	}
	return int(n)
}

func (s *scanner) integer() int64 {
	major, n := s.head()
	switch {
	case s.err == nil && major == majorUint && n <= math.MaxInt64:
		return int64(n)
	case s.err == nil && major == majorInt && n <= math.MaxInt64:
		return -1 - int64(n)
	}
	s.fail()
	return 0
}

func (s *scanner) boolean() bool {
	switch s.next() {
	case cborTrue:
		return true
	case cborFalse:
		return false
	}
	s.fail()
	return false
}

// bytes returns a part of what is scanned, not a copy.
func (s *scanner) bytes() []byte {
	major, n := s.head()
	if s.err != nil || major != majorBytes || n > uint64(len(s.b)) {
		s.fail()
		return nil
	}
	v := s.b[:n:n]
	s.b = s.b[n:]
	return v
}

// maybeBytes reads a byte string, or null as false.
func (s *scanner) maybeBytes() ([]byte, bool) {
	if len(s.b) > 0 && s.b[0] == cborNull {
		s.b = s.b[1:]
		return nil, false
	}
	v := s.bytes()
	return v, s.err == nil
}

// end returns an error unless everything was read.
func (s *scanner) end() error {
	if s.err == nil && len(s.b) > 0 {
		s.fail()
	}
	return s.err
}
