package store

import (
	"encoding/binary"
	"hash/crc32"
)

// The write-ahead log is a row of segment files, wal/NNNNNNNNNNNNNNNN.wal, numbered in hexadecimal from
// 1; numbers are never used twice. All integers are little endian. A segment begins with 16 bytes:
//
//	0  8  "RHZWAL", 0, version (1)
//	8  8  the segment's number
//
// Records follow, each padded with zeros to a multiple of 8 bytes:
//
//	 0  4  CRC-32C of the segment's number (8 bytes), then of the record from its byte 4 on
//	 4  4  length of the payload, at least 1
//	 8  8  position: 1 for the store's first record, then one more each time
//	16  8  mark: everything up to this position was on disk when the record was written
//	24     payload: a Pebble batch, which sets positionKey to the record's position
//
// What follows a segment's last record is old bytes of a file that was used before, zeros, or what a
// crash left: no record, since the checksum covers the segment's number. The position finds a hole: the
// log ends before the first record that is not the successor of the one before it. The mark tells an
// end from damage: if any record that can be read says that more was on disk than can be read now, the
// disk has lost something that was promised.
const (
	segmentHeader = 16
	recordHeader  = 24
	segmentMagic  = "RHZWAL\x00\x01"
)

type record struct {
	pos, mark uint64
	payload   []byte
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// seed is the checksum's start for the records of a segment.
func seed(segment uint64) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, segment), castagnoli())
}

// appendRecord appends r to buf.
func appendRecord(buf []byte, seed uint32, r record) []byte {
	start := len(buf)
	buf = binary.LittleEndian.AppendUint32(buf, 0)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(r.payload)))
	buf = binary.LittleEndian.AppendUint64(buf, r.pos)
	buf = binary.LittleEndian.AppendUint64(buf, r.mark)
	buf = append(buf, r.payload...)
	sum := crc32.Update(seed, castagnoli(), buf[start+4:])
	binary.LittleEndian.PutUint32(buf[start:], sum)
	for len(buf)%8 != start%8 {
		buf = append(buf, 0)
	}
	return buf
}

// parseRecord reads the record at the start of data. It returns the record's padded length, or 0 if
// there is no record. The payload is part of data.
func parseRecord(data []byte, seed uint32) (r record, size int) {
	if len(data) < recordHeader {
		return record{}, 0
	}
	n := int64(binary.LittleEndian.Uint32(data[4:]))
	if n == 0 || n > int64(len(data)-recordHeader) {
		return record{}, 0
	}
	end := recordHeader + int(n)
	if crc32.Update(seed, castagnoli(), data[4:end]) != binary.LittleEndian.Uint32(data) {
		return record{}, 0
	}
	r.pos = binary.LittleEndian.Uint64(data[8:])
	r.mark = binary.LittleEndian.Uint64(data[16:])
	r.payload = data[recordHeader:end]
	return r, min((end+7)&^7, len(data))
}

// readSegment calls fn for the records of a segment from its start to the first that can't be read,
// until fn returns false, and returns the highest mark in the whole segment, also behind that end.
func readSegment(data []byte, segment uint64, fn func(record) (bool, error)) (mark uint64, err error) {
	if len(data) < segmentHeader || string(data[:8]) != segmentMagic ||
		binary.LittleEndian.Uint64(data[8:]) != segment {
		return 0, nil // a file made ready but not yet used
	}
	seed, reading := seed(segment), true
	for data = data[segmentHeader:]; len(data) >= recordHeader; {
		r, n := parseRecord(data, seed)
		if n == 0 {
			reading = false
			data = data[8:]
			continue
		}
		mark = max(mark, r.mark)
		if reading {
			if reading, err = fn(r); err != nil {
				return mark, err
			}
		}
		data = data[n:]
	}
	return mark, nil
}
