package daemon

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/fs"
)

// BenchmarkCreate is what the daemon itself spends on a new file: create, write, close.
func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{0, 4 << 10, 10 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d := opened(b, b.TempDir())
			v := volume(b, d, "v")
			data := make([]byte, size)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				write(b, d, v, fmt.Sprintf("f%d", i), data)
			}
		})
	}
}

var (
	fewFiles  = flag.Int("few", 10_000, "how many files BenchmarkAtSize compares with")
	manyFiles = flag.Int("many", 100_000, "how many files BenchmarkAtSize makes; 1000000 shows it at size")
)

// BenchmarkAtSize compares a volume of many files with one of few: the rates with many, as a share of those with few. All files are
// committed, in directories of 1,000, and the daemon was started anew. What is measured: create; rename; walk, the first lookups of
// files in their order; cold, the first lookups of files all over; lookup, the next ones of these.
func BenchmarkAtSize(b *testing.B) {
	many := manyAt(b)
	few := b.TempDir()
	filled(b, few, *fewFiles)
	for b.Loop() {
		small, large := ratesAt(b, few, *fewFiles), ratesAt(b, many, *manyFiles)
		for k, name := range []string{"create", "rename", "walk", "cold", "lookup"} {
			b.ReportMetric(small[k], name+"s/s-few")
			b.ReportMetric(large[k], name+"s/s-many")
			b.ReportMetric(large[k]/small[k], name+"-ratio")
		}
	}
}

// ratesAt measures in the volume of a store that has so many files.
func ratesAt(b *testing.B, home string, files int) [5]float64 {
	b.Helper()
	d := opened(b, home)
	defer shut(b, d)
	s := &sized{d: d, vol: volume(b, d, "v")}
	s.adopt(b, files)
	return s.rates(b)
}

// sized is a volume that grows.
type sized struct {
	d     *daemon
	vol   fs.NodeID
	dirs  []fs.NodeID
	files int
}

const perDir = 1000

// filled makes a store of so many files.
func filled(b *testing.B, home string, files int) {
	b.Helper()
	d := opened(b, home)
	s := &sized{d: d, vol: volume(b, d, "v")}
	s.grow(b, files)
	shut(b, d)
}

func (s *sized) grow(b *testing.B, to int) {
	b.Helper()
	for ; s.files < to; s.files++ {
		if s.files%perDir == 0 {
			e, err := s.d.fs.Mkdir(s.vol, fmt.Sprintf("d%d", s.files/perDir), 0o755, fs.Cred{})
			if err != nil {
				b.Fatal(err)
			}
			s.dirs = append(s.dirs, e.Node)
		}
		write(b, s.d, s.dirs[s.files/perDir], fmt.Sprintf("f%d", s.files), []byte("hello"))
	}
	committed(b, s.d)
}

// rates measures how many of each are made in a second.
func (s *sized) rates(b *testing.B) (rates [5]float64) {
	b.Helper()
	const rounds = 5000
	e, err := s.d.fs.Mkdir(s.vol, fmt.Sprintf("rates%d", time.Now().UnixNano()), 0o755, fs.Cred{})
	if err != nil {
		b.Fatal(err)
	}
	measure := func(k int, do func(n int) error) {
		committed(b, s.d)
		start := time.Now()
		for n := range rounds {
			if err := do(n); err != nil {
				b.Fatal(err)
			}
		}
		rates[k] = rounds / time.Since(start).Seconds()
	}
	lookup := func(k int) error {
		e, err := s.d.fs.Lookup(s.dirs[k/perDir], fmt.Sprintf("f%d", k))
		if err == nil {
			s.d.fs.Forget(e.Node, 1)
		}
		return err
	}
	allOver := func(n int) error { return lookup(n * 7919 % s.files) }
	measure(2, lookup)
	measure(3, allOver)
	measure(4, allOver)
	measure(0, func(n int) error {
		write(b, s.d, e.Node, fmt.Sprintf("a%d", n), []byte("hello"))
		return nil
	})
	measure(1, func(n int) error {
		return s.d.fs.Rename(e.Node, fmt.Sprintf("a%d", n), e.Node, fmt.Sprintf("b%d", n), 0)
	})
	return rates
}
