package daemon

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

var sizedHome = flag.String("at", "", "where the benchmarks find a store of -many files, and keep the one that they make")

// BenchmarkStart is how long a daemon of many files takes from its start until it could answer (open), and until it has found one of
// them (first).
func BenchmarkStart(b *testing.B) {
	home := manyAt(b)
	var open, first time.Duration
	for b.Loop() {
		start := time.Now()
		d := opened(b, home)
		open += time.Since(start)
		s := &sized{d: d, vol: volume(b, d, "v")}
		s.adopt(b, 1)
		s.walk(b, 0, 1)
		first += time.Since(start)
		b.StopTimer()
		shut(b, d)
		b.StartTimer()
	}
	b.ReportMetric(float64(open.Milliseconds())/float64(b.N), "open-ms")
	b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "first-ms")
}

// BenchmarkNodes is what the inodes that the kernel knows take in memory: a walk that stats every file, of which nothing is
// forgotten. It reports bytes a file beyond a tenth of them: what lives, and what the process has resident with the garbage
// collector set as the daemon sets it.
func BenchmarkNodes(b *testing.B) {
	benchmarkNodes(b, func(s *sized) {})
}

// BenchmarkPastNodes is BenchmarkNodes for the files as they were a moment ago.
func BenchmarkPastNodes(b *testing.B) {
	benchmarkNodes(b, func(s *sized) { s.vol = s.look(b, s.look(b, s.vol, ".at"), nameOf(time.Now())) })
}

func benchmarkNodes(b *testing.B, goThere func(s *sized)) {
	home := manyAt(b)
	for b.Loop() {
		d := opened(b, home)
		s := &sized{d: d, vol: volume(b, d, "v")}
		goThere(s)
		s.adopt(b, *manyFiles)
		few := *manyFiles / 10
		defer debug.SetGCPercent(debug.SetGCPercent(50))
		s.walk(b, 0, few)
		lives, resides := memory(b)
		s.walk(b, few, *manyFiles)
		lives2, resides2 := memory(b)
		b.ReportMetric((lives2-lives)/float64(*manyFiles-few), "live-B/file")
		b.ReportMetric((resides2-resides)/float64(*manyFiles-few), "resident-B/file")
		b.ReportMetric(resides2/1e6, "resident-MB")
		shut(b, d)
	}
}

// manyAt is a store of many files.
func manyAt(b *testing.B) string {
	b.Helper()
	home := *sizedHome
	if home == "" {
		home = b.TempDir()
	}
	if _, err := os.Stat(filepath.Join(home, "db")); err == nil {
		return home
	}
	filled(b, home, *manyFiles)
	return home
}

// adopt finds the directories of files that were made before.
func (s *sized) adopt(b *testing.B, files int) {
	b.Helper()
	s.files = files
	for n := range (files + perDir - 1) / perDir {
		e, err := s.d.fs.Lookup(s.vol, fmt.Sprintf("d%d", n))
		if err != nil {
			b.Fatal(err)
		}
		s.dirs = append(s.dirs, e.Node)
	}
}

// walk looks files up and keeps them.
func (s *sized) walk(b *testing.B, from, to int) {
	b.Helper()
	for k := from; k < to; k++ {
		if _, err := s.d.fs.Lookup(s.dirs[k/perDir], fmt.Sprintf("f%d", k)); err != nil {
			b.Fatal(err)
		}
	}
}

// memory is what lives on the heap, and what the process has resident before that is known.
func memory(b *testing.B) (lives, resides float64) {
	b.Helper()
	stat, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(stat))[1])
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), float64(pages * os.Getpagesize())
}
