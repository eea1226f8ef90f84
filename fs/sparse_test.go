package fs

import (
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func (r *rig) allocate(n NodeID, off, count int64, a Allocation) {
	r.Helper()
	r.must(r.fs.Allocate(n, off, count, a))
}

func (r *rig) truncate(n NodeID, size int64) {
	r.Helper()
	_, err := r.fs.SetAttr(n, Changes{Size: &size}, true)
	r.must(err)
}

// data fails unless a file has so many bytes of data, give or take slack for the chunks around.
func (r *rig) wantData(n NodeID, size, least, most int64) {
	r.Helper()
	if a := r.attr(n); a.Size != size || a.Data < least || a.Data > most {
		r.Fatalf("%d bytes, %d of them data, want %d and %d to %d", a.Size, a.Data, size, least, most)
	}
}

func TestAllocate(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "f")
	r.allocate(n, 0, 1<<20, Allocation{KeepSize: true})
	r.wantData(n, 0, 0, 0)
	if len(r.fs.table.edits()) > 0 {
		t.Error("room that is not used began an edit")
	}
	r.allocate(n, 10, 1<<20, Allocation{})
	r.wantData(n, 10+1<<20, 0, 0)
	r.write(n, 0, pattern(1<<20, 1))
	want := append(pattern(1<<20, 1), make([]byte, 10)...)
	r.allocate(n, 100, 300_000, Allocation{Zero: true, KeepSize: true})
	clear(want[100:300_100])
	r.same("punched", r.bytesOf(n), want)
	r.wantData(n, int64(len(want)), 1<<20-300_000, 1<<20-300_000)
	r.write(n, 200, pattern(100, 2))
	copy(want[200:], pattern(100, 2))
	r.allocate(n, 1<<20, 1<<20, Allocation{Zero: true})
	want = append(want, make([]byte, 2<<20-len(want))...)
	r.same("zeroed", r.bytesOf(n), want)
	before := r.versions()
	r.done(n)
	if r.versions() != before+1 {
		t.Error("one edit is not one version")
	}
	for range 2 {
		r.expect(r.vol, "f", want)
		n, err := r.lookup(r.vol, "f")
		r.must(err)
		r.wantData(n, 2<<20, 1<<20-299_900, 1<<20-299_900)
		r.holes(n, want)
		r.fs.Forget(n, 1)
		r.seal()
		r.settled()
		r.reopen()
	}
	// A hole in what is sealed: only what was punched is made anew.
	n, err := r.lookup(r.vol, "f")
	r.must(err)
	r.must(r.fs.Open(n, true, false))
	r.allocate(n, 500_000, 100_000, Allocation{Zero: true, KeepSize: true})
	clear(want[500_000:600_000])
	r.must(r.fs.Fsync(n))
	r.same("punched again", r.bytesOf(n), want)
	r.done(n)
	n, err = r.lookup(r.vol, "f")
	r.must(err)
	r.wantData(n, 2<<20, 1<<20-399_900, 1<<20-399_900)
	r.wants(r.fs.Allocate(n, 0, 0, Allocation{}), ErrInvalid)
	r.wants(r.fs.Allocate(n, 1, math.MaxInt64, Allocation{}), ErrTooBig)
	r.fs.Forget(n, 1)
	r.seal()
	r.expect(r.vol, "f", want)
	r.check()
}

// What fsync acknowledged of holes is there after a crash.
func TestHolesSurviveACrash(t *testing.T) {
	disk := vfs.NewCrashableMem()
	r := rigOn(t, disk)
	want := pattern(2<<20, 1)
	r.put(r.vol, "f", want)
	r.seal()
	n, err := r.lookup(r.vol, "f")
	r.must(err)
	r.must(r.fs.Open(n, true, false))
	r.write(n, 1<<20, pattern(1000, 3))
	copy(want[1<<20:], pattern(1000, 3))
	r.must(r.fs.Fsync(n))
	r.allocate(n, 1<<20-500_000, 500_500, Allocation{Zero: true, KeepSize: true})
	clear(want[1<<20-500_000 : 1<<20+500])
	r.must(r.fs.Fsync(n))
	r.write(n, 1<<20-100, pattern(50, 4))
	copy(want[1<<20-100:], pattern(50, 4))
	r.must(r.fs.Fsync(n))
	r.allocate(n, 0, 1000, Allocation{Zero: true, KeepSize: true}) // not synced
	after := &rig{tb: t, keys: r.keys, clock: r.clock, disk: disk.CrashClone(vfs.CrashCloneCfg{})}
	r.done(n)
	r.close()
	after.open()
	defer after.close()
	after.expect(after.vol, "f", want)
	after.seal()
	after.settled()
	after.expect(after.vol, "f", want)
}

// Files of a TiB and more cost what was written to them: opening, truncating, punching and sealing alike.
func TestHugeSparseFiles(t *testing.T) {
	r := rigOnDisk(t)
	needle := []byte("a needle")
	for _, size := range []int64{1 << 40, math.MaxInt64} {
		n := r.create(r.vol, "f")
		r.truncate(n, size)
		r.write(n, 1<<39, needle)
		r.wantData(n, size, 8, 8)
		r.done(n)
		r.seal()
		n, err := r.lookup(r.vol, "f")
		r.must(err)
		r.must(r.fs.Open(n, true, false))
		r.wantData(n, size, 8, 8)
		at, err := r.fs.SeekData(n, 1)
		if r.must(err); at > 1<<39 || at < 1<<39-1<<20 {
			t.Errorf("the needle at %d was found at %d", int64(1<<39), at)
		}
		at, err = r.fs.SeekHole(n, at)
		if r.must(err); at < 1<<39+8 || at > 1<<39+1<<20 {
			t.Errorf("the hole behind the needle was found at %d", at)
		}
		b := make([]byte, 10)
		_, err = r.fs.Read(n, b, 1<<39-1)
		r.must(err)
		r.same("around the needle", b, []byte("\x00a needle\x00"))
		// Cut and grown again, and a hole over all but the end.
		r.truncate(n, 1<<39+4)
		r.truncate(n, size)
		last := min(size-9, 2<<40) // few file systems take a spill file of more
		r.write(n, last, needle)
		r.allocate(n, 100, last-200, Allocation{Zero: true, KeepSize: true})
		r.wantData(n, size, 8, 16)
		r.done(n)
		r.seal()
		n, err = r.lookup(r.vol, "f")
		r.must(err)
		at, err = r.fs.SeekData(n, 0)
		if r.must(err); at < last-1<<24 {
			t.Errorf("data at %d of %d", at, size)
		}
		r.fs.Forget(n, 1)
		r.must(r.fs.Unlink(r.vol, "f"))
	}
	r.settled()
}
