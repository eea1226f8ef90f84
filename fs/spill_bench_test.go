package fs

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// BenchmarkSpill writes to a spill file in order, as a program that copies does: without checksums, with them, and over what an fsync has.
func BenchmarkSpill(b *testing.B) {
	for _, size := range []int{1000, 4 << 10, 128 << 10, 1 << 20} {
		for _, how := range []string{"bare", "sums", "synced"} {
			b.Run(fmt.Sprintf("%d/%s", size, how), func(b *testing.B) {
				r := &rig{tb: b, disk: vfs.Default, dir: b.TempDir() + "/home", keys: oneKeyring(), clock: &clock{at: start}}
				r.open()
				defer r.close()
				p, err := r.fs.spills.create()
				r.must(err)
				if how == "bare" {
					p.sums.of = nil
				}
				if how == "synced" {
					r.must(p.follow(extents{{Off: 0, Len: 64 << 20}}))
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
