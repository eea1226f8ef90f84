package store

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// aSegment is a file of the log with a few records.
func aSegment(t *testing.T, num uint64) []byte {
	t.Helper()
	data := binary.LittleEndian.AppendUint64([]byte(segmentMagic), num)
	for pos := uint64(7); pos < 10; pos++ {
		b := new(pebble.Batch)
		if err := b.Set([]byte("key"), bytes.Repeat([]byte{byte(pos)}, int(pos)), nil); err != nil {
			t.Fatal(err)
		}
		if err := setPosition(b, pos); err != nil {
			t.Fatal(err)
		}
		data = appendRecord(data, seed(num), record{pos: pos, mark: 3, payload: b.Repr()})
	}
	return append(data, make([]byte, 64)...)
}

// TestEveryFlipIsPutRight flips each bit of a segment of the log. What matters is put right, and what is put right is as it was.
func TestEveryFlipIsPutRight(t *testing.T) {
	data := aSegment(t, 5)
	positions := func(d []byte) (list []uint64) {
		_, _ = readSegment(d, 5, func(r record) (bool, error) {
			list = append(list, r.pos)
			return true, nil
		})
		return list
	}
	for bit := range 8 * len(data) {
		d := bytes.Clone(data)
		d[bit/8] ^= 1 << (bit % 8)
		damaged := bytes.Clone(d)
		flips := unflip(d, 5, 7)
		if len(positions(damaged)) < 3 && len(flips) == 0 {
			t.Fatalf("bit %d of byte %d: not found", bit%8, bit/8)
		}
		if len(flips) > 0 && !bytes.Equal(d, data) {
			t.Fatalf("bit %d of byte %d: put right to something else", bit%8, bit/8)
		}
		if got := positions(d); len(got) != 3 {
			t.Fatalf("bit %d of byte %d: records %v", bit%8, bit/8, got)
		}
	}
	// What a crash leaves is not mended.
	for end := segmentHeader; end < len(data)-64; end += 8 {
		d := append(bytes.Clone(data[:end]), make([]byte, len(data)-end)...)
		if flips := unflip(d, 5, 7); len(flips) > 0 {
			t.Fatalf("cut at %d: %v", end, flips)
		}
		if flips := unflip(bytes.Clone(data), 7, 7); len(flips) > 0 { // 5 and 7 differ in one bit
			t.Fatalf("a segment of another number: %v", flips)
		}
	}
}

// TestLookChangesNothing opens a store that was killed, and leaves its disk as it is.
func TestLookChangesNothing(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s, err := Open("/home", Options{FS: disk, FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	b := s.DB().NewBatch()
	if err := b.Set([]byte("xkey"), []byte("value"), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(b, OnDisk); err != nil {
		t.Fatal(err)
	}
	killed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	before := killed.String()
	look, err := Look("/home", Options{FS: killed})
	if err != nil {
		t.Fatal(err)
	}
	val, closer, err := look.DB().Get([]byte("xkey"))
	if err != nil || string(val) != "value" {
		t.Fatalf("%q, %v", val, err)
	}
	closer.Close()
	b = look.DB().NewBatch()
	if err := b.Set([]byte("xother"), []byte("value"), nil); err != nil {
		t.Fatal(err)
	}
	if err := look.Commit(b, OnDisk); err != nil {
		t.Fatal(err)
	}
	if err := look.Close(); err != nil {
		t.Fatal(err)
	}
	if after := killed.String(); after != before {
		t.Errorf("the disk changed from\n%s\nto\n%s", before, after)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
