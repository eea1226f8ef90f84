package daemon

import (
	"fmt"
	"testing"
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
