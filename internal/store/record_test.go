package store

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func segmentBytes(num uint64, records ...record) []byte {
	data := append([]byte(segmentMagic), byte(num), 0, 0, 0, 0, 0, 0, 0)
	for _, r := range records {
		data = appendRecord(data, seed(num), r)
	}
	return data
}

func TestSegmentFormat(t *testing.T) {
	data := segmentBytes(3, record{pos: 7, mark: 6, payload: []byte("batch")}, record{pos: 8, mark: 7, payload: []byte("12345678")})
	const golden = "52485a57414c00010300000000000000" +
		"a6220d080500000007000000000000000600000000000000" + "6261746368000000" +
		"ce59f2550800000008000000000000000700000000000000" + "3132333435363738"
	if got := hex.EncodeToString(data); got != golden {
		t.Fatalf("the format has changed:\n%s", got)
	}
	var got []record
	mark, err := readSegment(data, 3, func(r record) (bool, error) {
		got = append(got, r)
		return true, nil
	})
	if err != nil || mark != 7 || len(got) != 2 || got[0].pos != 7 || string(got[1].payload) != "12345678" {
		t.Fatal(got, mark, err)
	}
	if mark, _ := readSegment(data, 4, nil); mark != 0 {
		t.Fatal("a segment was read under another number")
	}
	data[segmentHeader+25]++ // the first record can't be read: the second is behind the end, but its mark counts
	mark, _ = readSegment(data, 3, func(record) (bool, error) { t.Fatal("read on behind the end"); return false, nil })
	if mark != 7 {
		t.Fatal(mark)
	}
}

func FuzzReadSegment(f *testing.F) {
	f.Add(segmentBytes(1, record{1, 0, []byte("a")}, record{2, 1, bytes.Repeat([]byte("b"), 100)}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		again, n := segmentBytes(1), 0
		if _, err := readSegment(data, 1, func(r record) (bool, error) {
			again = appendRecord(again, seed(1), r)
			n++
			return true, nil
		}); err != nil {
			t.Fatal(err)
		}
		_, _ = readSegment(again, 1, func(record) (bool, error) { n--; return true, nil })
		if n != 0 {
			t.Fatalf("%d records less when written again", n)
		}
	})
}
