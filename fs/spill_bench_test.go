package fs

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// BenchmarkSpill writes to a spill file in order, as a program that copies does, with and without checksums.
func BenchmarkSpill(b *testing.B) {
	for _, size := range []int{1000, 4 << 10, 128 << 10, 1 << 20} {
		for _, summed := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d/sums=%v", size, summed), func(b *testing.B) {
				r := &rig{tb: b, disk: vfs.Default, dir: b.TempDir() + "/home", keys: oneKeyring(), clock: &clock{at: start}}
				r.open()
				defer r.close()
				p, err := r.fs.spills.create()
				r.must(err)
				if !summed {
					p.sums.of = nil
				}
				buf := pattern(size, 1)
				b.SetBytes(int64(size))
				b.ResetTimer()
				for i := range b.N {
					r.must(p.writeAt(buf, int64(i)*int64(size)%(64<<20)))
				}
			})
		}
	}
}
