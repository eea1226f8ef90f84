package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// A record of the log whose checksum is wrong is where the log ends: a crash leaves such records, and what it leaves was never
// promised. But a disk may flip a bit of a record that was whole, and with it all that follows would be gone, without a word if
// nothing of it had been synced. A CRC of one bit's error tells which bit it was. A record that is whole but for one bit, has the
// next position and sets it in its batch was not left by a crash.

// A flip is one bit that is not as it was written.
type flip struct {
	off int64 // of its byte
	bit uint8
}

func (f flip) in(data []byte) { data[f.off] ^= 1 << f.bit }

// flippedBit finds the bit whose flipping makes data begin with the record at position pos.
func flippedBit(data []byte, seed uint32, pos uint64) (flip, bool) {
	if len(data) < recordHeader {
		return flip{}, false
	}
	for _, f := range suspects(data, seed, pos) {
		f.in(data)
		r, n := parseRecord(data, seed)
		ok := n > 0 && r.pos == pos && setsPosition(r.payload, pos)
		f.in(data)
		if ok {
			return f, true
		}
	}
	return flip{}, false
}

// suspects lists the bits that would explain a wrong checksum.
func suspects(data []byte, seed uint32, pos uint64) []flip {
	var list []flip
	if bits.OnesCount64(binary.LittleEndian.Uint64(data[8:])^pos) > 1 {
		return nil
	}
	for i := range 32 { // the length's bits: each means another record
		list = append(list, flip{4 + int64(i/8), uint8(i % 8)})
	}
	n := int64(binary.LittleEndian.Uint32(data[4:]))
	if n == 0 || n > int64(len(data)-recordHeader) {
		return list
	}
	end := recordHeader + n
	wrong := crc32.Update(seed, castagnoli(), data[4:end]) ^ binary.LittleEndian.Uint32(data)
	if bits.OnesCount32(wrong) == 1 {
		i := bits.TrailingZeros32(wrong)
		list = append(list, flip{int64(i / 8), uint8(i % 8)})
	}
	return append(list, syndromes(wrong, 4, end)...)
}

// syndromes lists the bits between from and end that would change the checksum of these bytes by wrong.
func syndromes(wrong uint32, from, end int64) []flip {
	table := castagnoli()
	var list []flip
	var of [8]uint32
	for b := range of {
		of[b] = table[1<<b]
	}
	for off := end - 1; off >= from; off-- {
		for b, s := range of {
			if s == wrong {
				list = append(list, flip{off, uint8(b)})
			}
			of[b] = table[byte(s)] ^ s>>8
		}
	}
	return list
}

// setsPosition reports whether a batch sets the position key to pos.
func setsPosition(payload []byte, pos uint64) bool {
	want := append(positionKey(), 8)
	return bytes.Contains(payload, binary.LittleEndian.AppendUint64(want, pos))
}

// findFlip finds the first bit that keeps a segment from being read on, if that is what keeps it. next is the position of the record
// that would follow the segment before.
func findFlip(data []byte, segment, next uint64) (flip, bool) {
	if len(data) < segmentHeader+recordHeader {
		return flip{}, false
	}
	seed := seed(segment)
	if f, differ := headerFlip(data, segment); differ > 0 {
		// The file may have been made ready from another segment's: then none of its records is this segment's.
		_, n := parseRecord(data[segmentHeader:], seed)
		return f, differ == 1 && n > 0
	}
	for off := segmentHeader; off+recordHeader <= len(data); {
		r, n := parseRecord(data[off:], seed)
		if n > 0 {
			off, next = off+n, r.pos+1
			continue
		}
		for _, pos := range []uint64{binary.LittleEndian.Uint64(data[off+8:]), next} {
			if f, ok := flippedBit(data[off:], seed, pos); ok && pos > 0 {
				return flip{f.off + int64(off), f.bit}, true
			}
		}
		break
	}
	return flip{}, false
}

// headerFlip tells in how many bits a file's header is not its segment's, and which is the last of them.
func headerFlip(data []byte, segment uint64) (last flip, differ int) {
	want := binary.LittleEndian.AppendUint64([]byte(segmentMagic), segment)
	for i := range want {
		if x := want[i] ^ data[i]; x != 0 {
			differ += bits.OnesCount8(x)
			last = flip{int64(i), uint8(bits.TrailingZeros8(x))}
		}
	}
	return last, differ
}

// mostFlips bounds how many bits of one segment are put right.
const mostFlips = 16

// unflip puts the flipped bits of a segment right, and returns them.
func unflip(data []byte, segment, next uint64) []flip {
	var all []flip
	for len(all) < mostFlips {
		f, ok := findFlip(data, segment, next)
		if !ok {
			break
		}
		f.in(data)
		all = append(all, f)
	}
	return all
}
