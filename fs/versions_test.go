package fs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A second without a write makes a version; a file that stays open and busy makes them ever more rarely.
func TestQuietVersions(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "db")
	versions := func(want int) {
		t.Helper()
		if got := r.versions(); got != want {
			t.Fatalf("%d versions, want %d", got, want)
		}
	}
	r.write(n, 0, []byte("one"))
	r.quiet(900 * time.Millisecond)
	versions(0)
	r.quiet(200 * time.Millisecond)
	versions(1)
	r.quiet(time.Hour)
	versions(1)
	// The next replaces it: nobody closed.
	r.write(n, 0, []byte("two"))
	r.quiet(2 * time.Second)
	versions(1)
	r.same("db", r.bytesOf(n), []byte("two"))
	made := 0
	for i := range 1000 { // a write every 100 ms, with a pause of a second now and then
		r.write(n, int64(i), []byte("x"))
		r.quiet(100 * time.Millisecond)
		if i%20 == 0 {
			was := len(r.fs.table.edits())
			r.quiet(time.Second)
			made += was - len(r.fs.table.edits())
		}
	}
	if made < 2 || made > 15 {
		t.Fatalf("%d quiet versions", made)
	}
	r.write(n, 0, []byte("the last"))
	r.must(r.fs.Flush(n))
	versions(1)
	r.check()
}

// What a close left stays, whether an edit ended with it or a quiet second had ended it before.
func TestWhatACloseLeftStays(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "a")
	r.write(n, 0, []byte("first"))
	r.quiet(2 * time.Second)
	first := r.heads(r.fileOf(n))[0]
	r.must(r.fs.Flush(n)) // there is nothing left to end
	r.fs.Release(n, true)
	for _, trunc := range []bool{true, false} {
		r.must(r.fs.Open(n, true, trunc))
		r.write(n, 0, []byte("later"))
		r.must(r.fs.Flush(n))
		r.fs.Release(n, true)
	}
	r.expectVersion(first, []byte("first"))
	r.fs.Forget(n, 1)
	r.check()
}

// A file that is rewritten all the time and never closed takes a bounded place.
func TestChurnStaysBounded(t *testing.T) {
	r := newRig(t)
	rng := rand.New(rand.NewPCG(1, 1))
	n := r.create(r.vol, "db")
	data := make([]byte, 1<<20)
	fill := func(b []byte) {
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	fill(data)
	r.write(n, 0, data)
	const rounds = 200
	most := int64(0)
	for i := range rounds {
		off := rng.IntN(len(data) - 8192)
		fill(data[off : off+8192])
		r.write(n, int64(off), data[off:off+8192])
		if i%50 == 0 {
			r.must(r.fs.Fsync(n))
		}
		r.quiet(100 * time.Second)
		r.seal()
		if i%10 == 9 {
			r.commit()
		}
		if i%25 == 24 {
			r.collect()
			_, size := r.blocks.Stats()
			most = max(most, size)
			r.same("db", r.bytesOf(n), data)
		}
	}
	if got := r.versions(); got > 2 {
		t.Fatalf("%d versions are kept", got)
	}
	if most > 12<<20 {
		t.Fatalf("segments of %d bytes for a file of %d", most, len(data))
	}
	r.done(n)
	r.seal()
	r.settled()
	r.collect()
	r.expect(r.vol, "db", data)
	r.check()
	r.reopen()
	r.expect(r.vol, "db", data)
}

// Versions that a close ended are all there, whatever is collected meanwhile.
func TestClosedVersionsStay(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.put(r.vol, "a", pattern(100_000+i*30_000, byte(i)))
		if i%3 == 0 {
			r.seal()
			r.commit()
			r.collect()
		}
	}
	r.seal()
	r.collect()
	r.reopen()
	r.collect()
	v := r.heads(r.fileNamed("a"))[0]
	for i := 19; i >= 0; i-- {
		r.expectVersion(v, pattern(100_000+i*30_000, byte(i)))
		if ps := r.parents(v); len(ps) == 1 {
			v = ps[0]
		} else if i > 0 {
			t.Fatalf("version %d has parents %v", i, ps)
		}
	}
}

// Many write, save, read and remove while all that runs in the background runs.
func TestConcurrently(t *testing.T) {
	r := newRig(t)
	ctx, stop := context.WithCancel(context.Background())
	var back, front sync.WaitGroup
	back.Go(func() { _ = r.fs.Run(ctx) })
	loop := func(fn func()) {
		back.Go(func() {
			for ctx.Err() == nil {
				fn()
			}
		})
	}
	loop(func() { r.clock.forward(time.Second); r.fs.endQuiet(r.clock.now()) })
	loop(func() { _, _ = r.fs.Collect(ctx) })
	loop(r.commit)
	loop(func() { _ = r.fs.Sync() })
	failed := make(chan error, 100)
	for w := range 4 {
		front.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			name := fmt.Sprint("w", w)
			var want []byte
			for i := range 30 {
				want = pattern(rng.IntN(400_000), byte(i))
				err := func() error {
					to := name
					if i%2 == 0 {
						to += ".tmp"
					}
					e, err := r.fs.Create(r.vol, to, 0o644, false, me)
					if err != nil {
						return err
					}
					defer r.fs.Forget(e.Node, 1)
					if err := r.fs.Open(e.Node, true, true); err != nil {
						return err
					}
					r.fs.Release(e.Node, true) // the one that Create opened
					for off := 0; off < len(want); off += 100_000 {
						if _, err := r.fs.Write(e.Node, want[off:min(off+100_000, len(want))], int64(off)); err != nil {
							return err
						}
					}
					if i%5 == 0 {
						if err := r.fs.Fsync(e.Node); err != nil {
							return err
						}
					}
					if i%3 > 0 {
						if err := r.fs.Flush(e.Node); err != nil {
							return err
						}
					}
					if to != name {
						if err := r.fs.Rename(r.vol, to, r.vol, name, 0); err != nil {
							return err
						}
					}
					r.fs.Release(e.Node, true)
					got, err := r.tryGet(r.vol, name)
					if err != nil {
						return fmt.Errorf("read: %w", err)
					}
					if string(got) != string(want) {
						return fmt.Errorf("%s has other bytes: %d, want %d", name, len(got), len(want))
					}
					if i%7 == 6 {
						return r.fs.Unlink(r.vol, name)
					}
					return nil
				}()
				if err != nil {
					failed <- fmt.Errorf("writer %d, round %d: %w", w, i, err)
					return
				}
			}
		})
	}
	front.Go(func() {
		for range 200 {
			for _, name := range r.names(r.vol) {
				_, _ = r.tryGet(r.vol, name)
			}
		}
	})
	front.Wait()
	stop()
	back.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	r.must(r.fs.Finish())
	r.must(r.fs.Finish())
	r.seal()
	r.collect()
	r.settled()
	r.check()
	for w := range 4 {
		r.get(r.vol, fmt.Sprint("w", w))
	}
}

// A full disk fails the write that does not fit, and hurts nothing that was there.
func TestFullDisk(t *testing.T) {
	var full atomic.Bool
	mem := vfs.NewMem()
	r := rigOn(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.Contains(op.Path, spillDir) &&
			(op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileWriteAt || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	})))
	defer r.close()
	data := pattern(1<<20, 1)
	r.put(r.vol, "big", data)
	r.put(r.vol, "small", data[:1000])
	r.seal()
	was := r.versions()
	for _, name := range []string{"big", "small"} {
		n, err := r.lookup(r.vol, name)
		r.must(err)
		r.must(r.fs.Open(n, true, false))
		full.Store(true)
		_, err = r.fs.Write(n, data, 500)
		r.wants(err, syscall.ENOSPC)
		size := int64(2 << 20)
		_, err = r.fs.SetAttr(n, Changes{Size: &size}, true)
		r.wants(err, syscall.ENOSPC)
		r.must(r.fs.Flush(n))
		full.Store(false)
		r.fs.Release(n, true)
		r.fs.Forget(n, 1)
	}
	r.quiet(10 * time.Second)
	r.seal()
	r.expect(r.vol, "big", data)
	r.expect(r.vol, "small", data[:1000])
	if got := r.versions(); got > was+1 {
		t.Fatalf("%d versions of failed writes", got-was)
	}
	r.put(r.vol, "big", data[1:])
	r.expect(r.vol, "big", data[1:])
	r.seal()
	r.settled()
	r.check()

	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 39, TotalBytes: 1 << 40})
	is, _ := r.st.Space()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1<<39 - uint64(is.Free) + 1000, TotalBytes: 1 << 40})
	r.fs.space.asked = time.Time{}
	n := r.create(r.vol, "x")
	_, err := r.fs.Write(n, data, 0)
	r.wants(err, ErrNoSpace)
	r.write(n, 0, data[:100])
	r.done(n)
	r.must(r.fs.Unlink(r.vol, "big"))
	mem.TestingSetDiskUsage(vfs.DiskUsage{})
}
