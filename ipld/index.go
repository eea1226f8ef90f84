package ipld

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// The database's keys of this package.
//
//	'b' digest codec   where a block is: uvarint segment, uvarint offset, uvarint length
//	'g' segment        a segmentRecord; the number is big endian
const (
	blockPrefix   = 'b'
	segmentPrefix = 'g'
)

// A segmentNumber names a segment; it is never used twice.
type segmentNumber uint32

func (n segmentNumber) String() string { return fmt.Sprintf("%08d", uint32(n)) }

func (n segmentNumber) file() string { return n.String() + segmentSuffix }

// A location is where a block's section begins in a segment, and how many bytes the block has.
type location struct {
	segment segmentNumber
	off     int64
	size    int
}

// end is where the section ends.
func (l location) end() int64 { return l.off + int64(carSectionHead(l.size)+l.size) }

// A segmentRecord is what the database knows of a segment. Mark: the bytes before it are on disk and in
// the index.
type segmentRecord struct {
	_       struct{} `cbor:",toarray"`
	Mark    int64
	Dropped bool // nothing in it is needed; its file is being removed
}

func blockKey(c CID) []byte {
	return append(append(make([]byte, 0, 34), blockPrefix), indexSuffix(c)...)
}

// indexSuffix puts the digest first: keys that share their beginning are long to compare.
func indexSuffix(c CID) []byte {
	var b [33]byte
	copy(b[:], c[cidPrefixLen:])
	b[32] = c[1]
	return b[:]
}

func cidOfBlockKey(key []byte) (CID, error) {
	if len(key) != 34 {
		return CID{}, fmt.Errorf("read block index: a key of %d bytes: %w", len(key), ErrDamaged)
	}
	c := CID{0x01, key[33], 0x12, 0x20}
	copy(c[cidPrefixLen:], key[1:33])
	if !c.valid() {
		return CID{}, fmt.Errorf("read block index: %w: %w", ErrNotCID, ErrDamaged)
	}
	return c, nil
}

func segmentKey(n segmentNumber) []byte {
	return binary.BigEndian.AppendUint32([]byte{segmentPrefix}, uint32(n))
}

func (l location) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 16), uint64(l.segment))
	b = binary.AppendUvarint(b, uint64(l.off))
	return binary.AppendUvarint(b, uint64(l.size))
}

func decodeLocation(b []byte) (location, error) {
	var v [3]uint64
	for i := range v {
		n, used := uvarint(b)
		if used == 0 {
			return location{}, fmt.Errorf("read block index: bad number: %w", ErrDamaged)
		}
		v[i], b = n, b[used:]
	}
	if len(b) != 0 || v[0] > math.MaxUint32 || v[1] > math.MaxInt64/2 || v[2] > MaxBlock {
		return location{}, fmt.Errorf("read block index: bad entry: %w", ErrDamaged)
	}
	return location{segmentNumber(v[0]), int64(v[1]), int(v[2])}, nil
}

// indexed looks a block up in the database.
func (s *Segments) indexed(c CID) (location, bool, error) { return lookUp(s.st.DB(), c) }

// lookUp is indexed for any reader of the database.
func lookUp(db pebble.Reader, c CID) (location, bool, error) {
	val, closer, err := db.Get(blockKey(c))
	if errors.Is(err, pebble.ErrNotFound) {
		return location{}, false, nil
	}
	if err != nil {
		return location{}, false, fmt.Errorf("look up block %v: %w", c, err)
	}
	l, err := decodeLocation(val)
	closer.Close()
	return l, err == nil, err
}

// eachIndexed calls fn for every entry of the index.
func (s *Segments) eachIndexed(fn func(CID, location) error) error {
	return eachEntry(s.st.DB(), func(c CID, l location, err error) error {
		if err != nil {
			return err
		}
		return fn(c, l)
	})
}

// eachEntry calls fn for every entry of the index, with an error for one that can't be read.
func eachEntry(db pebble.Reader, fn func(CID, location, error) error) error {
	return scan(db, blockPrefix, func(key, val []byte) error {
		c, err := cidOfBlockKey(key)
		if err != nil {
			return fn(c, location{}, err)
		}
		l, err := decodeLocation(val)
		return fn(c, l, err)
	})
}

// scan calls fn for the database's keys that begin with a byte.
func scan(db pebble.Reader, first byte, fn func(key, val []byte) error) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{first}, UpperBound: []byte{first + 1}})
	if err != nil {
		return fmt.Errorf("read block index: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

// loadRecords reads what the database knows of the segments.
func (s *Segments) loadRecords() (map[segmentNumber]segmentRecord, error) {
	records := map[segmentNumber]segmentRecord{}
	err := scan(s.st.DB(), segmentPrefix, func(key, val []byte) error {
		n, r, err := decodeSegmentRecord(key, val)
		records[n] = r
		return err
	})
	return records, err
}

func decodeSegmentRecord(key, val []byte) (segmentNumber, segmentRecord, error) {
	var r segmentRecord
	if len(key) != 5 {
		return 0, r, fmt.Errorf("read segments' records: bad key: %w", ErrDamaged)
	}
	if err := dagcbor.Decode(val, &r); err != nil {
		return 0, r, fmt.Errorf("read segments' records: %w: %w", ErrDamaged, err)
	}
	if r.Mark < 0 {
		return 0, r, fmt.Errorf("read segments' records: mark %d: %w", r.Mark, ErrDamaged)
	}
	return segmentNumber(binary.BigEndian.Uint32(key[1:])), r, nil
}
