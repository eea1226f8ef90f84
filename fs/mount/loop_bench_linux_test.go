package mount

import (
	"io"
	"os"
	"runtime"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// serveStock serves a memFS with go-fuse's own loop, to compare.
func serveStock(t *testing.T, dir string) {
	o := protocolOptions((&Options{}).logger(), false)
	o.DirectMountStrict = true
	s, err := fuse.NewServer(newMemFS(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	say("mounted")
	io.Copy(io.Discard, os.Stdin)
}

// BenchmarkGetattr is one round trip: an fstat that the kernel may not answer by itself.
func BenchmarkGetattr(b *testing.B) {
	for _, kind := range []string{"ours", "stock"} {
		b.Run(kind, func(b *testing.B) {
			c := benchChild(b, kind)
			f, err := os.Create(c.path("f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			fd := int(f.Fd())
			var st unix.Stat_t
			for b.Loop() {
				if err := unix.Fstat(fd, &st); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFsync hands the leadership over each time.
func BenchmarkFsync(b *testing.B) {
	for _, kind := range []string{"ours", "stock"} {
		b.Run(kind, func(b *testing.B) {
			c := benchChild(b, kind)
			f, err := os.Create(c.path("f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			fd := int(f.Fd())
			for b.Loop() {
				if err := unix.Fsync(fd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGetattrParallel(b *testing.B) {
	for _, kind := range []string{"ours", "stock"} {
		b.Run(kind, func(b *testing.B) {
			c := benchChild(b, kind)
			f, err := os.Create(c.path("f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			fd := int(f.Fd())
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				var st unix.Stat_t
				for pb.Next() {
					unix.Fstat(fd, &st)
				}
			})
		})
	}
}

// BenchmarkWrite and BenchmarkRead move 1 MiB a call, past the kernel's cache.
func BenchmarkWrite(b *testing.B) {
	for _, kind := range []string{"ours", "stock"} {
		b.Run(kind, func(b *testing.B) {
			c := benchChild(b, kind)
			f, err := os.Create(c.path("f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			data := make([]byte, 1<<20)
			b.SetBytes(1 << 20)
			for i := 0; b.Loop(); i++ {
				if _, err := f.WriteAt(data, int64(i%64)<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, kind := range []string{"ours", "stock"} {
		b.Run(kind, func(b *testing.B) {
			c := benchChild(b, kind)
			f, err := os.Create(c.path("f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			data := make([]byte, 1<<20)
			for i := range 64 {
				if _, err := f.WriteAt(data, int64(i)<<20); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(64 << 20)
			for b.Loop() {
				unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
				for i := range 64 {
					if _, err := f.ReadAt(data, int64(i)<<20); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func benchChild(b *testing.B, kind string) *child {
	if kind == "stock" {
		return serve(b, withEnv("_STOCK", "1"))
	}
	return serve(b)
}
