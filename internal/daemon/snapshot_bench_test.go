package daemon

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/fs"
)

// BenchmarkSnapshot makes snapshots of a volume of -many files while a program works in it: a stat and a write of 4 KiB a thousand times a
// second. It reports how long the first one takes and the next one after a single edit, what they add to the store, and the longest time
// from one call's end to the next one's: in peace, and while the snapshots are made.
func BenchmarkSnapshot(b *testing.B) {
	home := manyAt(b)
	for b.Loop() {
		d := opened(b, home)
		v := volume(b, d, "v")
		vol, _, _, _, _ := d.fs.Where([]string{firstIdentity, "v"})
		snap := func(settle time.Duration) (fs.Snapshot, time.Duration) {
			start := time.Now()
			s, err := d.fs.CreateSnapshot(context.Background(), vol, fmt.Sprintf("s%d", start.UnixNano()), settle, nil)
			if err != nil {
				b.Fatal(err)
			}
			return s, time.Since(start)
		}
		forget := func() { // the next one is made from nothing
			list, err := d.fs.Snapshots(vol)
			if err != nil {
				b.Fatal(err)
			}
			for _, s := range list {
				if err := d.fs.DeleteSnapshot(vol, s.Name); err != nil {
					b.Fatal(err)
				}
			}
		}
		forget()
		if _, err := d.fs.Collect(context.Background()); err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("busy%d", time.Now().UnixNano())
		write(b, d, v, name, make([]byte, 4<<10))
		busy := startLoop(b, d, v, name)
		time.Sleep(time.Second)
		busy.longest.Store(0)
		time.Sleep(3 * time.Second)
		b.ReportMetric(float64(busy.longest.Swap(0))/1e6, "peace-gap-ms")
		s, took := snap(0)
		b.ReportMetric(float64(busy.longest.Swap(0))/1e6, "first-gap-ms")
		b.ReportMetric(float64(took.Milliseconds()), "first-busy-ms")
		b.ReportMetric(float64(s.Added.Blocks), "first-blocks")
		b.ReportMetric(float64(s.Added.Bytes)/1e6, "first-MB")
		_, took = snap(0)
		b.ReportMetric(float64(took.Microseconds())/1e3, "next-busy-ms")
		b.ReportMetric(float64(busy.longest.Swap(0))/1e6, "next-gap-ms")
		busy.stop()

		committed(b, d)
		snap(0)
		dir, err := d.fs.Lookup(v, "d7")
		if err != nil {
			b.Fatal(err)
		}
		write(b, d, dir.Node, fmt.Sprintf("edit%d", time.Now().UnixNano()), []byte("a small file"))
		committed(b, d)
		s, took = snap(0)
		if s.Tentative {
			b.Error("it is tentative")
		}
		b.ReportMetric(float64(took.Microseconds())/1e3, "next-ms")
		b.ReportMetric(float64(s.Added.Blocks), "next-blocks")
		b.ReportMetric(float64(s.Added.Bytes), "next-B")

		forget()
		_, took = snap(0)
		b.ReportMetric(float64(took.Milliseconds()), "first-ms")
		shut(b, d)
	}
}

// A loop is a program at work.
type loop struct {
	longest atomic.Int64 // ns from one call's end to the next one's
	quit    chan struct{}
	gone    chan struct{}
}

func startLoop(b *testing.B, d *daemon, dir fs.NodeID, name string) *loop {
	b.Helper()
	e, err := d.fs.Lookup(dir, name)
	if err == nil {
		err = d.fs.Open(e.Node, true, false)
	}
	if err != nil {
		b.Fatal(err)
	}
	l := &loop{quit: make(chan struct{}), gone: make(chan struct{})}
	go func() {
		defer close(l.gone)
		t := time.NewTicker(time.Millisecond)
		defer t.Stop()
		data := make([]byte, 4<<10)
		last := time.Now()
		for n := 0; ; n++ {
			select {
			case <-l.quit:
				d.fs.Release(e.Node, true)
				return
			case <-t.C:
			}
			_, err := d.fs.GetAttr(e.Node)
			d.fs.Settle()
			if err == nil {
				_, err = d.fs.Write(e.Node, data, int64(n%64)*int64(len(data)))
				d.fs.Settle()
			}
			if err != nil {
				b.Error(err)
			}
			now := time.Now()
			if gap := now.Sub(last).Nanoseconds(); gap > l.longest.Load() {
				l.longest.Store(gap)
			}
			last = now
		}
	}()
	return l
}

func (l *loop) stop() {
	close(l.quit)
	<-l.gone
}
