package fs

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// copyAll copies as cp does, and returns how many calls it took.
func (r *rig) copyAll(from NodeID, off int64, to NodeID, at, n int64) (calls int) {
	r.Helper()
	for n > 0 {
		done, err := r.fs.Copy(from, off, to, at, n)
		r.must(err)
		if done == 0 {
			break
		}
		off, at, n, calls = off+done, at+done, n-done, calls+1
	}
	return calls
}

// writable opens a file for writing.
func (r *rig) writable(dir NodeID, name string) NodeID {
	r.Helper()
	n, err := r.lookup(dir, name)
	r.must(err)
	r.must(r.fs.Open(n, true, false))
	return n
}

// blockBytes is what the block store holds.
func (r *rig) blockBytes() int64 {
	_, n := r.blocks.Stats()
	return n
}

// A copy of a whole file is a reference, whether the file is sealed, or waits for it in a spill file; then its copy outlives
// it, over restarts too. One in memory or of another identity's is copied.
func TestCopyRefers(t *testing.T) {
	want := pattern(copyAtOnce+1<<20, 1)
	for name, c := range map[string]struct{ sealed, across bool }{
		"sealed": {true, false}, "pending": {false, false}, "sealed, to another volume": {true, true}, "pending, to another volume": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			to := r.vol
			if c.across {
				to = r.mkdir(r.home, "other")
			}
			r.put(r.vol, "a", want)
			if c.sealed {
				r.seal()
			}
			src := r.writable(r.vol, "a")
			dst := r.create(to, "b")
			calls := r.copyAll(src, 0, dst, 0, 1<<40)
			if refers := c.sealed || !c.across; refers != (calls == 1) {
				t.Errorf("%d calls", calls)
			}
			r.same("copy", r.bytesOf(dst), want)
			r.done(src)
			r.done(dst)
			r.expect(to, "b", want)
			r.must(r.fs.Unlink(r.vol, "a"))
			r.expect(to, "b", want)
			if !c.across {
				r.reopen()
				if e, err := r.fs.Lookup(r.home, "notes"); err != nil {
					t.Fatal(err)
				} else {
					to = e.Node
				}
				r.expect(to, "b", want)
			}
			r.seal()
			r.collect()
			r.expect(to, "b", want)
			r.settled()
			r.check()
		})
	}
}

// A sealed file's copy is sealed as it is closed, and stores nothing.
func TestCopyStoresNothing(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "a", pattern(5<<20, 1))
	r.seal()
	before := r.blockBytes()
	src, dst := r.writable(r.vol, "a"), r.create(r.vol, "b")
	r.copyAll(src, 0, dst, 0, 1<<40)
	r.done(src)
	r.done(dst)
	if n := r.fs.Unsealed(); n > 0 || r.blockBytes() != before {
		t.Errorf("%d versions wait, %d bytes became %d", n, before, r.blockBytes())
	}
	r.expect(r.vol, "b", pattern(5<<20, 1))
	r.settled()
}

// Parts of a file at their own places are references too, and what lies between them are holes: so cp copies sparse files.
func TestCopyRefersToParts(t *testing.T) {
	for _, seal := range []bool{true, false} {
		r := newRig(t)
		want := make([]byte, 6<<20)
		n := r.create(r.vol, "a")
		for _, off := range []int{1 << 20, 3 << 20, 5<<20 + 100} {
			r.write(n, int64(off), pattern(400_000, byte(off>>20)))
			copy(want[off:], pattern(400_000, byte(off>>20)))
		}
		r.truncate(n, 6<<20)
		r.done(n)
		if seal {
			r.seal()
		}
		src, dst := r.writable(r.vol, "a"), r.create(r.vol, "b")
		r.write(dst, 0, []byte("mine"))
		copy(want, "mine")
		for off := int64(0); ; {
			data, err := r.fs.SeekData(src, off)
			if err != nil {
				break
			}
			hole, err := r.fs.SeekHole(src, data)
			r.must(err)
			if calls := r.copyAll(src, data, dst, data, hole-data); calls != 1 {
				t.Errorf("%d calls", calls)
			}
			off = hole
		}
		r.truncate(dst, 6<<20)
		r.same("parts", r.bytesOf(dst), want)
		r.wantData(dst, 6<<20, 1_200_004, 2<<20)
		r.must(r.fs.Fsync(dst))
		r.done(src)
		r.done(dst)
		r.expect(r.vol, "b", want)
		r.reopen()
		r.expect(r.vol, "b", want)
		r.seal()
		r.settled()
		r.expect(r.vol, "b", want)
	}
}

// An edit that stands on another file's version survives what becomes of that one, and a power cut after fsync.
func TestCopySurvivesACrash(t *testing.T) {
	for _, seal := range []bool{true, false} {
		disk := vfs.NewCrashableMem()
		r := rigOn(t, disk)
		want := pattern(3<<20, 1)
		r.put(r.vol, "a", want)
		if seal {
			r.seal()
		}
		src, dst := r.writable(r.vol, "a"), r.create(r.vol, "b")
		r.copyAll(src, 0, dst, 0, 2<<20)
		r.write(dst, 1<<20, []byte("edited"))
		want = want[:2<<20]
		copy(want[1<<20:], "edited")
		r.must(r.fs.Fsync(dst))
		after := &rig{tb: t, keys: r.keys, clock: r.clock, disk: disk.CrashClone(vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(1, 1))})}
		r.done(src)
		r.done(dst)
		r.close()
		after.open()
		after.expect(after.vol, "b", want)
		after.seal()
		after.settled()
		after.expect(after.vol, "b", want)
		after.close()
	}
}
