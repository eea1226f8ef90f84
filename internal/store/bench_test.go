package store

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

func fiveKeys(b *testing.B, s *Store, n int) *pebble.Batch {
	batch := s.DB().NewBatch()
	var key [16]byte
	val := make([]byte, 60)
	for k := range 5 {
		binary.BigEndian.PutUint64(key[:], uint64(n*7919%1000003))
		key[15] = byte(k)
		if err := batch.Set(key[:], val, nil); err != nil {
			b.Fatal(err)
		}
	}
	return batch
}

func benchmarkCommit(b *testing.B, d Durability) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	runtime.LockOSThread() // as a reader of /dev/fuse is
	defer runtime.UnlockOSThread()
	n := 0
	for b.Loop() {
		n++
		if err := s.Commit(fiveKeys(b, s, n), d); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	mustClose(b, s)
}

func BenchmarkCommitHanded(b *testing.B) { benchmarkCommit(b, Handed) }
func BenchmarkCommitOnDisk(b *testing.B) { benchmarkCommit(b, OnDisk) }

func BenchmarkCommitOnDisk16(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if err := s.Commit(fiveKeys(b, s, n), OnDisk); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.StopTimer()
	mustClose(b, s)
}

// A restart after kill -9, with a full table's worth of log.
func BenchmarkRecover(b *testing.B) {
	home := b.TempDir()
	s, err := Open(home, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 40_000 {
		if err := s.Commit(fiveKeys(b, s, n), Handed); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(s.segments())), "segments")
	s.keeper.stop()
	if err := s.release(false); err != nil { // no flush
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(home, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.keeper.stop()
		if err := s.release(false); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
