package eventlog

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// An image is what stood behind a key before a unit changed it.
type image struct {
	key, val []byte
	ok       bool // false: nothing stood there
}

// A scanMark is a prefix that was scanned.
type scanMark struct {
	length uint16
	hash   uint64
}

// An undo takes a unit back (a frame, or an unframed event), and says what the unit touched: the keys it
// changed, the keys it read (in vain or not) and did not change, the prefixes it scanned.
type undo struct {
	images []image
	reads  []uint64
	scans  []scanMark
	moment Moment // at which an unframed event was appended
}

func keyHash(key []byte) uint64 { return xxhash.Sum64(key) }

const scanMarkLen = 2 + 8

// encode returns the record: [[[key, value or null]...], read hashes, scan marks], and of an unframed event the moment.
func (u *undo) encode(b []byte) []byte {
	if u.moment == (Moment{}) {
		b = appendHead(b, majorArray, 3)
	} else {
		b = appendHead(b, majorArray, 4)
	}
	b = appendHead(b, majorArray, uint64(len(u.images)))
	for _, im := range u.images {
		b = appendHead(b, majorArray, 2)
		b = appendBytes(b, im.key)
		if im.ok {
			b = appendBytes(b, im.val)
		} else {
			b = append(b, cborNull)
		}
	}
	b = appendHead(b, majorBytes, uint64(8*len(u.reads)))
	for _, h := range u.reads {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	b = appendHead(b, majorBytes, uint64(scanMarkLen*len(u.scans)))
	for _, s := range u.scans {
		b = binary.BigEndian.AppendUint16(b, s.length)
		b = binary.BigEndian.AppendUint64(b, s.hash)
	}
	if u.moment != (Moment{}) {
		b = appendHead(b, majorBytes, momentLen)
		b = appendMoment(b, u.moment)
	}
	return b
}

// decodeUndo reads a record that this device wrote. The undo keeps parts of rec.
func decodeUndo(rec []byte) (*undo, error) {
	s := scanner{b: rec}
	u := &undo{}
	parts := s.count()
	if parts != 3 && parts != 4 {
		return nil, fmt.Errorf("undo record: %w", errShort)
	}
	n := s.count()
	u.images = make([]image, 0, n)
	for range n {
		if s.count() != 2 {
			break
		}
		im := image{key: s.bytes()}
		im.val, im.ok = s.maybeBytes()
		u.images = append(u.images, im)
	}
	reads := s.bytes()
	scans := s.bytes()
	if parts == 4 {
		if m := s.bytes(); len(m) == momentLen {
			u.moment = readMoment(m)
		} else {
			s.fail()
		}
	}
	if err := s.end(); err != nil || len(u.images) != n {
		return nil, fmt.Errorf("undo record: %w", errShort)
	}
	for ; len(reads) >= 8; reads = reads[8:] {
		u.reads = append(u.reads, binary.BigEndian.Uint64(reads))
	}
	for ; len(scans) >= scanMarkLen; scans = scans[scanMarkLen:] {
		u.scans = append(u.scans, scanMark{binary.BigEndian.Uint16(scans), binary.BigEndian.Uint64(scans[2:])})
	}
	return u, nil
}

// mergeUndos returns the undo of units that were applied one after the other: the earliest
// before-image of each key, and everything any of them touched.
func mergeUndos(us []*undo) *undo {
	if len(us) == 1 {
		return &undo{images: us[0].images, reads: us[0].reads, scans: us[0].scans}
	}
	m := &undo{}
	images := make(map[string]bool)
	reads := make(map[uint64]bool)
	scans := make(map[scanMark]bool)
	for _, u := range us {
		for _, im := range u.images {
			if !images[string(im.key)] {
				images[string(im.key)] = true
				m.images = append(m.images, im)
			}
		}
		for _, h := range u.reads {
			if !reads[h] {
				reads[h] = true
				m.reads = append(m.reads, h)
			}
		}
		for _, s := range u.scans {
			if !scans[s] {
				scans[s] = true
				m.scans = append(m.scans, s)
			}
		}
	}
	return m
}
