package ipld_test

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/ipld"
)

// Chunk, try to compress, seal, append to segments on the real disk.
func BenchmarkWrite(b *testing.B) {
	s := ipld.NewSealer([32]byte{1}, [32]byte{2})
	h := openHome(b, nil, b.TempDir(), ipld.SegmentOptions{})
	data := random(1, 64<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	n, start := 0, cpuTime(b)
	for b.Loop() {
		for off := 0; off < len(data); off += 4096 { // nothing is there already
			data[off], data[off+1], data[off+2] = byte(n), byte(n>>8), byte(n>>16)
		}
		n++
		if _, err := s.Write(context.Background(), h, bytes.NewReader(data), int64(len(data))); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, start, int64(n)*int64(len(data)))
}

func BenchmarkRead(b *testing.B) {
	s := ipld.NewSealer([32]byte{1}, [32]byte{2})
	h := openHome(b, nil, b.TempDir(), ipld.SegmentOptions{})
	data := random(1, 64<<20)
	c, err := s.Write(context.Background(), h, bytes.NewReader(data), int64(len(data)))
	must(b, err)
	must(b, h.Sync())
	p := make([]byte, 128<<10)
	b.Run("sequential", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		n, start := int64(0), cpuTime(b)
		for b.Loop() {
			n++
			r := ipld.OpenContent(h, c)
			for off := int64(0); off < c.Size; off += int64(len(p)) {
				if _, err := r.ReadAt(p, off); err != nil {
					b.Fatal(err)
				}
			}
		}
		reportCPU(b, start, n*c.Size)
	})
	b.Run("random 4KiB", func(b *testing.B) {
		r := ipld.NewReader(h, c, ipld.NewCache(8<<20))
		off := int64(0)
		for b.Loop() {
			off = (off*6364136223846793005 + 1442695040888963407) & (1<<26 - 1) &^ 4095
			if _, err := r.ReadAt(p[:4096], off); err != nil {
				b.Fatal(err)
			}
			off++
		}
	})
	b.Run("cached 4KiB", func(b *testing.B) {
		r := ipld.NewReader(h, c, ipld.NewCache(8<<20))
		for b.Loop() {
			if _, err := r.ReadAt(p[:4096], 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// 4 KiB somewhere in a gigabyte.
func BenchmarkUpdate(b *testing.B) {
	s := ipld.NewSealer([32]byte{1}, [32]byte{2})
	h := openHome(b, nil, b.TempDir(), ipld.SegmentOptions{})
	data := random(1, 1<<30)
	c, err := s.Write(context.Background(), h, bytes.NewReader(data), int64(len(data)))
	must(b, err)
	n := 0
	before, blocks := count(b, h), 0
	for b.Loop() {
		n++
		off := n * 7919 * 4096 % len(data)
		copy(data[off:off+4096], fmt.Sprintf("edit %d", n))
		if c, err = s.Update(context.Background(), h, c, c.Size, []ipld.Range{{Off: int64(off), Len: 4096}}, bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
	blocks = count(b, h) - before
	b.ReportMetric(float64(blocks)/float64(n), "blocks/op")
}

func BenchmarkPut(b *testing.B) {
	h := openHome(b, nil, b.TempDir(), ipld.SegmentOptions{})
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size>>10, "KiB"), func(b *testing.B) {
			data := random(uint64(size>>10), size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var c ipld.CID
			copy(c[:], []byte{1, byte(ipld.Raw), 0x12, 0x20})
			n := 0
			for b.Loop() {
				n++
				copy(c[4:], fmt.Sprintf("%16d%16d", n*7919, size)) // not its hash, which Put does not look at
				if err := h.Put(ipld.Block{CID: c, Data: data}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func count(tb testing.TB, h *home) (n int) {
	must(tb, h.Keys(func(ipld.CID) error { n++; return nil }))
	return n
}

// cpuTime is what the process has used of its processors, the kernel's part included.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// reportCPU reports what one core would do alone, whoever else uses the machine.
func reportCPU(b *testing.B, start time.Duration, bytes int64) {
	b.ReportMetric(float64(bytes)/1e6/(cpuTime(b)-start).Seconds(), "MB/core-s")
}
