package tests

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var copyMiB = flag.Int("copy-mib", 256, "how many MiB BenchmarkFsyncWhileCopying copies")

// BenchmarkFsyncWhileCopying is what a program waits for the fsync of a file of 8 KiB while a large file is copied onto the
// mount; the same on the disk below, to compare.
func BenchmarkFsyncWhileCopying(b *testing.B) {
	r := newRig(b).start()
	from := filepath.Join(r.user, "large")
	f, err := os.Create(from)
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	noise := rand.NewChaCha8([32]byte{1})
	for range *copyMiB {
		noise.Read(chunk)
		if _, err := f.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		b.Fatal(err)
	}
	plain := filepath.Join(r.user, "plain")
	if err := errors.Join(os.Mkdir(plain, 0o755), os.Mkdir(r.me("v"), 0o755)); err != nil {
		b.Fatal(err)
	}
	for _, where := range []struct{ name, dir string }{{"plain", plain}, {"mount", r.me("v")}} {
		b.Run(where.name, func(b *testing.B) {
			for b.Loop() {
				waits := fsyncsWhile(b, where.dir, exec.Command("cp", from, filepath.Join(where.dir, "copy")))
				slices.Sort(waits)
				b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(float64(waits[len(waits)-1].Microseconds())/1000, "worst-ms")
				b.ReportMetric(float64(len(waits)), "fsyncs")
			}
		})
	}
	r.stop()
}

// fsyncsWhile fsyncs new files in dir until cmd has ended, and returns how long each took.
func fsyncsWhile(b *testing.B, dir string, cmd *exec.Cmd) (waits []time.Duration) {
	b.Helper()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	small := make([]byte, 8<<10)
	for n := 0; ; n++ {
		select {
		case err := <-ended:
			if err != nil || n == 0 {
				b.Fatalf("copy, beside %d fsyncs: %v", n, err)
			}
			return waits
		default:
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("small", n%100)))
		if err != nil {
			b.Fatal(err)
		}
		_, err = f.Write(small)
		began := time.Now()
		err = errors.Join(err, f.Sync())
		waits = append(waits, time.Since(began))
		if err = errors.Join(err, f.Close()); err != nil {
			b.Fatal(err)
		}
	}
}
