package raftstore

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// proposeMany proposes n entries from 64 goroutines.
func (d *device) proposeMany(n int) {
	var all sync.WaitGroup
	for w := range 64 {
		all.Go(func() {
			for i := w; i < n; i += 64 {
				if err := d.seq.Propose(context.Background(), fmt.Append(nil, "entry ", i)); err != nil {
					d.t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func benchmarkPropose(b *testing.B, n int) {
	for range b.N {
		d := open(b, nil, b.TempDir())
		d.propose("first")
		begun := time.Now()
		d.proposeMany(n)
		b.ReportMetric(float64(n)/time.Since(begun).Seconds(), "entries/s")
		d.close()
	}
}

func BenchmarkPropose100k(b *testing.B) { benchmarkPropose(b, 100_000) }

// One caller that waits for each.
func BenchmarkProposeOne(b *testing.B) {
	d := open(b, nil, b.TempDir())
	d.propose("first")
	for b.Loop() {
		d.propose("entry")
	}
	b.StopTimer()
	d.close()
}

func benchmarkRestart(b *testing.B, n int) {
	home := b.TempDir()
	d := open(b, nil, home)
	d.proposeMany(n)
	if err := d.seq.Compact(); err != nil {
		b.Fatal(err)
	}
	d.close()
	for b.Loop() {
		d := open(b, nil, home)
		d.propose("again")
		b.StopTimer()
		d.close()
		b.StartTimer()
	}
}

func BenchmarkRestart10k(b *testing.B) { benchmarkRestart(b, 10_000) }
func BenchmarkRestart1M(b *testing.B)  { benchmarkRestart(b, 1_000_000) }
