package fs

import (
	"context"
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var restored = flag.Int("restored", 100_000, "files that BenchmarkRestore restores")

// BenchmarkRestore brings back files that were removed ("removed"), and the content of files that were written over ("edited"), a hundred to a
// directory, on a real disk. A program stats and writes beside it, some hundred times a second: worst-ms is the longest that it waited. 100,000
// files are to take 10 s at most. cpu-s is the processor time of all, which says something on a busy machine too.
func BenchmarkRestore(b *testing.B) {
	for _, removed := range []bool{true, false} {
		name := map[bool]string{true: "removed", false: "edited"}[removed]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				r := &rig{tb: b, disk: vfs.Default, dir: b.TempDir() + "/home", keys: oneKeyring(), clock: &clock{at: start}}
				r.open()
				r.vol = r.mkdir(r.home, "notes")
				dirs := fillForRestore(r)
				r.commit()
				at := r.moment()
				for i, dir := range dirs {
					if removed {
						r.wipe(dir)
						r.must(r.fs.Rmdir(r.vol, fmt.Sprint("dir", i)))
					} else {
						for k := range 100 {
							r.put(dir, fmt.Sprint("file", k), []byte("other"))
							r.clock.forward(perFile)
						}
					}
				}
				r.commit()
				beside := r.mkdir(r.vol, "beside")
				r.put(beside, "mine77", []byte("what it looks for"))
				p := &program{rig: r, dir: beside, pause: time.Millisecond}
				p.prepare(b)
				b.StartTimer()
				began, used := time.Now(), processorTime(b)
				n := 0
				p.run(b, func() {
					r.must(r.fs.Restore(context.Background(), []string{"me", "notes"}, at, RestoreOptions{}, func(Restored) error {
						n++
						return nil
					}))
				})
				b.ReportMetric(time.Since(began).Seconds(), "restore-s")
				b.ReportMetric((processorTime(b) - used).Seconds(), "cpu-s")
				b.ReportMetric(float64(p.worst.Microseconds())/1000, "worst-ms")
				b.ReportMetric(float64(n), "deeds")
				b.StopTimer()
				r.close()
				b.StartTimer()
			}
		})
	}
}

// processorTime is what this process has taken: unlike time, it says something on a busy machine too.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perFile is what a program takes to make a file on the mount: ids begin with the time, and so files lie where those lie that were made with them.
const perFile = 250 * time.Microsecond

func fillForRestore(r *rig) (dirs []NodeID) {
	for i := range *restored / 100 {
		dir := r.mkdir(r.vol, fmt.Sprint("dir", i))
		dirs = append(dirs, dir)
		for k := range 100 {
			r.put(dir, fmt.Sprint("file", k), pattern(500, byte(k)))
			r.clock.forward(perFile)
		}
	}
	return dirs
}
