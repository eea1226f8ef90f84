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

// BenchmarkAtSize compares create, rename and lookup in a volume of many files with one of few: the rate with many, as a
// share of the rate with few. What was made before is committed, and in directories of 1,000; the lookups are of files all over.
func BenchmarkAtSize(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		d := opened(b, b.TempDir())
		s := &sized{d: d, vol: volume(b, d, "v")}
		s.grow(b, *fewFiles)
		few := s.rates(b, "few")
		s.grow(b, *manyFiles)
		many := s.rates(b, "many")
		for k, name := range []string{"create", "rename", "lookup"} {
			b.ReportMetric(few[k], name+"s/s-few")
			b.ReportMetric(many[k], name+"s/s-many")
			b.ReportMetric(many[k]/few[k], name+"-ratio")
		}
		shut(b, d)
		b.StartTimer()
	}
}

// sized is a volume that grows.
type sized struct {
	d     *daemon
	vol   fs.NodeID
	dirs  []fs.NodeID
	files int
}

const perDir = 1000

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

// rates measures creates, renames and lookups a second.
func (s *sized) rates(b *testing.B, name string) (rates [3]float64) {
	b.Helper()
	const rounds = 5000
	e, err := s.d.fs.Mkdir(s.vol, name, 0o755, fs.Cred{})
	if err != nil {
		b.Fatal(err)
	}
	measure := func(k int, do func(n int) error) {
		start := time.Now()
		for n := range rounds {
			if err := do(n); err != nil {
				b.Fatal(err)
			}
		}
		rates[k] = rounds / time.Since(start).Seconds()
		committed(b, s.d)
	}
	measure(0, func(n int) error {
		write(b, s.d, e.Node, fmt.Sprintf("a%d", n), []byte("hello"))
		return nil
	})
	measure(1, func(n int) error {
		return s.d.fs.Rename(e.Node, fmt.Sprintf("a%d", n), e.Node, fmt.Sprintf("b%d", n), 0)
	})
	measure(2, func(n int) error {
		k := n * 7919 % s.files
		e, err := s.d.fs.Lookup(s.dirs[k/perDir], fmt.Sprintf("f%d", k))
		if err == nil {
			s.d.fs.Forget(e.Node, 1)
		}
		return err
	})
	return rates
}
