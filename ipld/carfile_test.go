package ipld

import (
	"bytes"
	"errors"
	"io"
	"testing"

	carv2 "github.com/ipld/go-car/v2"
)

// Stock go-car reads what a CARWriter writes, and so does ReadCARAt, which tells every flipped bit.
func TestCARFile(t *testing.T) {
	blocks := []Block{{CIDOf(Raw, nil), nil}}
	for _, data := range []string{"one", "two", string(make([]byte, 70_000))} {
		blocks = append(blocks, Block{CIDOf(Raw, []byte(data)), []byte(data)})
	}
	for _, root := range []CID{{}, blocks[1].CID} {
		var file bytes.Buffer
		w, err := NewCARWriter(&file, root)
		if err != nil {
			t.Fatal(err)
		}
		first := w.Size()
		if root.IsZero() && first != CARHeaderSize {
			t.Errorf("the header has %d bytes", first)
		}
		sum := first
		for _, b := range blocks {
			if err := w.Put(b); err != nil {
				t.Fatal(err)
			}
			sum += CARSectionSize(len(b.Data))
		}
		if w.Size() != int64(file.Len()) || sum != w.Size() {
			t.Errorf("%d bytes, %d by the blocks, the writer says %d", file.Len(), sum, w.Size())
		}
		stock, err := carv2.NewBlockReader(bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if got := stock.Roots[0].Bytes(); !root.IsZero() && !bytes.Equal(got, root[:]) {
			t.Errorf("go-car finds the root %x", got)
		}
		off := first
		for i, b := range blocks {
			theirs, err := stock.Next()
			if err != nil || !bytes.Equal(theirs.RawData(), b.Data) || !bytes.Equal(theirs.Cid().Bytes(), b.CID[:]) {
				t.Fatalf("go-car reads block %d: %v", i, err)
			}
			got, next, err := ReadCARAt(bytes.NewReader(file.Bytes()), off, w.Size())
			if err != nil || got.CID != b.CID || !bytes.Equal(got.Data, b.Data) {
				t.Fatalf("block %d: %v", i, err)
			}
			off = next
		}
		if _, err := stock.Next(); !errors.Is(err, io.EOF) || off != w.Size() {
			t.Errorf("behind the last block: %v, %d", err, off)
		}
	}
}

func TestCARFileDamage(t *testing.T) {
	var file bytes.Buffer
	w, err := NewCARWriter(&file, CID{})
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("some bytes")
	if err := w.Put(Block{CIDOf(Raw, data), data}); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	for bit := int(CARHeaderSize) * 8; bit < len(whole)*8; bit++ {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		if _, _, err := ReadCARAt(bytes.NewReader(b), CARHeaderSize, int64(len(b))); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotCID) {
			t.Fatalf("bit %d flipped: %v", bit, err)
		}
	}
	for n := int(CARHeaderSize); n < len(whole); n++ {
		if _, next, err := ReadCARAt(bytes.NewReader(whole[:n]), CARHeaderSize, int64(n)); !errors.Is(err, ErrDamaged) || next != 0 {
			t.Fatalf("cut to %d bytes: %d, %v", n, next, err)
		}
	}
}
