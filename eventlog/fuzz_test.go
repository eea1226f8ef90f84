package eventlog

import (
	"bytes"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

func FuzzParseFrame(f *testing.F) {
	f.Add(readGolden(f, "frame1"))
	f.Add(readGolden(f, "frame2"))
	f.Add([]byte{0x83, 0x40, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, raw []byte) {
		fr, err := ParseFrame(raw)
		if err != nil {
			return
		}
		again := dagcbor.Encode(&frameRecord{Header: dagcbor.Encode(&fr.Header), Sig: fr.sig, Ciphertext: fr.ciphertext})
		if !bytes.Equal(again, raw) {
			t.Fatalf("%x reads as what is written %x", raw, again)
		}
		fr.Verify()
	})
}

func FuzzHeader(f *testing.F) {
	f.Add(readGolden(f, "frame1.header"))
	f.Add(readGolden(f, "frame2.header"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var h Header
		if parseHeader(raw, &h) == nil && !bytes.Equal(dagcbor.Encode(&h), raw) {
			t.Fatalf("%x reads as %+v", raw, h)
		}
	})
}

func FuzzUnpackEvents(f *testing.F) {
	p := newPacker()
	for _, name := range []string{"frame1.events", "frame2.events"} {
		es, err := decodeEvents(readGolden(f, name))
		if err != nil {
			f.Fatal(err)
		}
		plain, err := p.pack(es)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		es, err := p.unpack(plain)
		if err != nil {
			return
		}
		again, err := p.pack(es)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := p.unpack(again); err != nil || len(back) != len(es) {
			t.Fatalf("%d events come back as %d: %v", len(es), len(back), err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(readGolden(f, "undo"))
	f.Add(readGolden(f, "event"))
	f.Fuzz(func(t *testing.T, rec []byte) {
		if u, err := decodeUndo(rec); err == nil && len(u.images) > len(rec) {
			t.Fatal("more images than bytes")
		}
		decodeEventRecord(rec)
	})
}
