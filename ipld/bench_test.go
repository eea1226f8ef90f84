package ipld

import (
	"bytes"
	"context"
	"testing"
)

func BenchmarkCut(b *testing.B) {
	c := newChunker([32]byte{1})
	data := noise(1, 16<<20)
	b.SetBytes(int64(len(data)))
	n := 0
	for b.Loop() {
		for rest := data; len(rest) > 0; n++ {
			rest = rest[c.cut(rest):]
		}
	}
	b.ReportMetric(float64(len(data))*float64(b.N)/float64(n)/1024, "KiB/chunk")
}

func BenchmarkSealLeaf(b *testing.B) {
	s := testSealer()
	for _, size := range []int{1 << 10, 64 << 10} {
		data := noise(1, size)
		b.Run(sizeName(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			arena := make([]byte, 0, 2*size+128)
			for b.Loop() {
				s.appendLeaf(arena, data)
			}
		})
	}
}

func BenchmarkOpenLeaf(b *testing.B) {
	s := testSealer()
	for _, size := range []int{1 << 10, 64 << 10} {
		block, link := s.SealLeaf(noise(1, size))
		b.Run(sizeName(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Open(block, link.Key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriteDiscard(b *testing.B) {
	s := testSealer()
	data := noise(1, 64<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Write(context.Background(), discard{}, bytes.NewReader(data), int64(len(data))); err != nil {
			b.Fatal(err)
		}
	}
}

// A discard is a store that forgets.
type discard struct{}

func (discard) Get(c CID) (Block, error) { return Block{}, ErrNotFound }
func (discard) Put(...Block) error       { return nil }
func (discard) Has(CID) (bool, error)    { return false, nil }

func sizeName(n int) string {
	if n >= 1<<20 {
		return "1MiB"
	}
	return map[int]string{1 << 10: "1KiB", 4 << 10: "4KiB", 64 << 10: "64KiB"}[n]
}
