package fs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// killed is what a kill leaves of r's disk.
func (r *rig) killed() *rig {
	r.Helper()
	after := &rig{tb: r.tb, boot: r.boot, keys: r.keys, clock: r.clock}
	disk := r.disk.(*vfs.MemFS)
	after.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	return after
}

// spillFile is the path of the one spill file.
func (r *rig) spillFile() string {
	r.Helper()
	names, err := r.disk.List("home/" + spillDir)
	r.must(err)
	for _, n := range names {
		if strings.HasSuffix(n, spillSuffix) {
			return "home/" + spillDir + "/" + n
		}
	}
	r.Fatalf("no spill file in %v", names)
	return ""
}

// flips flips a bit of a file.
func (r *rig) flips(path string, off int64) {
	r.Helper()
	f, err := r.disk.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	r.must(err)
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	r.must(err)
	b[0] ^= 4
	_, err = f.WriteAt(b[:], off)
	r.must(err)
	r.must(f.Close())
}

// anEdit is an edit in a spill file that was synced, went on in all manners, and is open. It returns the bytes that it has, of which an fsync acknowledged all but the last
// page that it wrote over.
func (r *rig) anEdit() []byte {
	r.Helper()
	want := pattern(3*memLimit+100, 1)
	n := r.create(r.vol, "f")
	r.write(n, 0, want)
	r.must(r.fs.Fsync(n))
	over := func(off int64, b []byte) {
		r.Helper()
		r.write(n, off, b)
		if end := int(off) + len(b); end > len(want) {
			want = append(want, make([]byte, end-len(want))...)
		}
		copy(want[off:], b)
	}
	over(5*page, pattern(page, 7))          // a page, twice
	over(5*page, pattern(page, 8))          //
	over(9*page+100, pattern(2*page, 9))    // parts of pages
	over(int64(len(want)), pattern(500, 3)) // behind the end, in the last page
	r.must(r.fs.Fsync(n))                   // by the log alone
	over(20*page, pattern(page, 10))        // not synced at all
	return want
}

// After kill -9 every page of an edit that was open is as it was written last, or an error: whichever bit of it is flipped, and however much was written after the last
// fsync that synced the spill file.
func TestFlippedBitInAnOpenEdit(t *testing.T) {
	mended := []int64{-1, 5*page + 7, 10*page + 3} // the log has the whole of these pages
	for _, off := range append(mended, 0, 3*page, 9*page+50, 9*page+200, 20*page+9, 3*memLimit, 3*memLimit+300) {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			r := rigOn(t, vfs.NewCrashableMem())
			want := r.anEdit()
			after := r.killed()
			r.close()
			if off >= 0 {
				after.flips(after.spillFile(), off)
			}
			after.open()
			defer after.close()
			lost := off
			if slices.Contains(mended, off) {
				lost = -page
			}
			check := func() {
				t.Helper()
				n, err := after.lookup(1, "me")
				after.must(err)
				if n, err = after.lookup(n, "notes"); err == nil {
					n, err = after.lookup(n, "f")
				}
				after.must(err)
				for at := int64(0); at < int64(len(want)); at += page {
					got := make([]byte, min(page, int64(len(want))-at))
					_, err := after.fs.Read(n, got, at)
					if at == lost/page*page {
						after.wants(err, ErrDamaged)
					} else {
						after.must(err)
						after.same(fmt.Sprintf("page %d", at/page), got, want[at:at+int64(len(got))])
					}
				}
			}
			check()
			after.seal()
			check()
			if lost >= 0 {
				after.isDamaged("f")
			}
			after.reopen()
			check()
			after.check()
		})
	}
}

// After a loss of power a page that was written after the last fsync may be as it was at any moment, and is believed. What was not is not.
func TestOpenEditAfterPowerLoss(t *testing.T) {
	for _, percent := range []int{0, 50, 100} {
		r := rigOn(t, vfs.NewCrashableMem())
		want := pattern(3*memLimit, 1)
		n := r.create(r.vol, "f")
		r.write(n, 0, want)
		r.must(r.fs.Fsync(n))
		for i := range int64(100) {
			r.write(n, i*page, pattern(page, byte(i+2)))
		}
		after := &rig{tb: t, boot: "two", keys: r.keys, clock: r.clock}
		after.disk = r.disk.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 1))})
		r.close()
		after.open()
		after.seal()
		got := after.get(after.vol, "f")
		for at := 0; at < len(want); at += page {
			p := got[at : at+page]
			if string(p) != string(want[at:at+page]) && (at >= 100*page || string(p) != string(pattern(page, byte(at/page+2)))) {
				t.Fatalf("%d %%: page %d is neither as it was nor as it was written", percent, at/page)
			}
		}
		after.check()
		after.close()
	}
}

// Without its sums nothing of an edit's spill file is believed, also after the next start.
func TestLostSumsOfAnOpenEdit(t *testing.T) {
	r := rigOn(t, vfs.NewCrashableMem())
	want := pattern(3*memLimit, 1)
	n := r.create(r.vol, "f")
	r.write(n, 0, want)
	r.must(r.fs.Fsync(n))
	r.must(r.volume().update(func(t *txn) error {
		t.dropSums(r.volume().fs.table.edits()[0].buf.spill.id)
		return nil
	}))
	after := r.killed()
	r.close()
	after.open()
	defer after.close()
	for range 2 {
		_, err := after.tryGet(after.vol, "f")
		after.wants(err, ErrDamaged)
		after.quiet(2 * time.Second)
		after.reopen()
	}
	after.isDamaged("f")
}

// What an edit leaves of sums and trails goes with it.
func TestTrailsGo(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "f")
	r.write(n, 0, pattern(3*memLimit, 1))
	for i := range int64(3) {
		r.must(r.fs.Fsync(n))
		r.write(n, i*page, pattern(40*page, 2))
	}
	r.done(n)
	r.seal()
	r.must(r.fs.spills.reap())
	names, err := r.disk.List("home/" + spillDir)
	r.must(err)
	if len(names) > 0 {
		t.Errorf("there are %v", names)
	}
	r.must(r.volume().update(func(tx *txn) error {
		tx.ScanLocal([]byte{localSums}, []byte{localSums}, func(k, _ []byte) bool {
			t.Errorf("there are sums under %x", k)
			return false
		})
		return nil
	}))
}
