package tests

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/internal/control"
)

var (
	snapshotStore = flag.String("snapshot-store", "", "a store with many files, for BenchmarkSnapshot: what go test ./internal/daemon -bench Start -many N -at DIR leaves")
	snapshotFor   = flag.Duration("snapshot-for", 0, "for how long BenchmarkSnapshot looks at the first snapshot before it gives it up; 0: to its end")
)

// BenchmarkSnapshot is what a program on the mount notes of snapshots: it makes a stat and a write of 4 KiB a thousand times a second. It reports the
// longest time from one round's end to the next one's in peace, while the first snapshot of the volume is built and while the next one is; and what the next
// one costs after one edit, when the program has ended: for the command, and for the daemon.
func BenchmarkSnapshot(b *testing.B) {
	r := newRig(b)
	r.bound(10 * time.Minute)
	if *snapshotStore != "" {
		r.home = *snapshotStore
		r.env = append(r.env, "RHIZOME_HOME="+r.home)
	}
	r.start()
	v := r.me("v")
	if *snapshotStore == "" {
		r.sh(r.user, `mkdir -p $M/v/d7; cd $M/v/d7; for i in $(seq 1000); do echo hello >f$i; done`)
	}
	for b.Loop() {
		r.forgetSnapshots(b, v)
		p := pulseAt(b, filepath.Join(v, fmt.Sprint("busy", time.Now().UnixNano())))
		time.Sleep(time.Second)
		p.longest.Store(0)
		time.Sleep(3 * time.Second)
		p.report(b, "peace")
		if *snapshotFor > 0 {
			cut := r.command(b.Context(), "rhizome", "snapshot", "create", "first", v)
			if err := cut.Start(); err != nil {
				b.Fatal(err)
			}
			time.Sleep(*snapshotFor)
			_ = cut.Cancel()
			_ = cut.Wait()
			p.report(b, "first")
			p.stop()
			continue
		}
		took, made := r.snapshot(b, "first", v)
		p.report(b, "first")
		b.ReportMetric(took.Seconds()*1000, "first-ms")
		b.ReportMetric(float64(made.Blocks), "first-blocks")
		r.snapshot(b, "busy", v)
		p.report(b, "next")
		p.stop()

		r.committed(b)
		r.snapshot(b, "peace", v)
		write(b, filepath.Join(v, "d7", fmt.Sprint("edit", time.Now().UnixNano())), []byte("a small file"))
		r.committed(b)
		took, made = r.snapshot(b, "edited", v)
		b.ReportMetric(took.Seconds()*1000, "next-command-ms")
		b.ReportMetric(made.Seconds*1000, "next-ms")
		b.ReportMetric(float64(made.Blocks), "next-blocks")
		b.ReportMetric(float64(made.Bytes), "next-B")
	}
	r.stop()
}

// snapshot makes one, and returns how long the command took and what it cost the daemon.
func (r *rig) snapshot(b *testing.B, name, path string) (time.Duration, control.SnapshotMade) {
	b.Helper()
	start := time.Now()
	res := r.runWithin(5*time.Minute, r.user, "rhizome", "snapshot", "create", "--json", name, path)
	took := time.Since(start)
	var s control.Snapshot
	if err := errors.Join(res.err, json.Unmarshal([]byte(res.stdout), &s)); err != nil || s.Made == nil {
		b.Fatalf("snapshot %s: %v\n%s%s", name, err, res.stdout, res.stderr)
	}
	return took, *s.Made
}

// forgetSnapshots has the next one be the first, also in what it writes.
func (r *rig) forgetSnapshots(b *testing.B, path string) {
	b.Helper()
	r.sh(r.user, `for s in first busy peace edited; do rhizome snapshot delete $s `+path+` 2>/dev/null || :; done; rhizome gc`)
}

// committed waits until all is in the order.
func (r *rig) committed(b *testing.B) {
	b.Helper()
	for s := r.status(); s.Events.Tentative+s.Events.Unframed > 0; s = r.status() {
		time.Sleep(10 * time.Millisecond)
	}
}

// A pulse is a program at work: a stat and a write of 4 KiB a thousand times a second.
type pulse struct {
	longest atomic.Int64 // ns from one round's end to the next one's
	quit    chan struct{}
	gone    chan struct{}
}

func pulseAt(b *testing.B, path string) *pulse {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	p := &pulse{quit: make(chan struct{}), gone: make(chan struct{})}
	go func() {
		defer close(p.gone)
		defer f.Close()
		t := time.NewTicker(time.Millisecond)
		defer t.Stop()
		data := make([]byte, 4<<10)
		last := time.Now()
		for n := int64(0); ; n++ {
			select {
			case <-p.quit:
				return
			case <-t.C:
			}
			var st unix.Stat_t
			err := unix.Stat(path, &st)
			if err == nil {
				_, err = f.WriteAt(data, n%64*int64(len(data)))
			}
			if err != nil {
				b.Error(err)
			}
			now := time.Now()
			p.longest.Store(max(p.longest.Load(), now.Sub(last).Nanoseconds()))
			last = now
		}
	}()
	return p
}

// report tells the longest gap since the last report.
func (p *pulse) report(b *testing.B, of string) {
	b.ReportMetric(float64(p.longest.Swap(0))/1e6, of+"-gap-ms")
}

func (p *pulse) stop() {
	close(p.quit)
	<-p.gone
}
