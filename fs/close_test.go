package fs

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A program whose children close their copies of a handle while it writes leaves two versions: what the first of these closes
// left, when nobody could know, and the last. What each close left survives a kill all the same.
func TestCopiesOfAHandleAreClosed(t *testing.T) {
	for name, size := range map[string]int{"small": 100, "in memory": 20_000, "spilled": 100_000} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			r := rigOn(t, disk)
			n := r.create(r.vol, "log")
			var want []byte
			for i := range 20 {
				part := pattern(size, byte(i))
				r.write(n, int64(len(want)), part)
				want = append(want, part...)
				r.must(r.fs.Flush(n))
				if i%5 == 4 {
					after := &rig{tb: t, keys: r.keys, clock: r.clock, boot: r.boot}
					after.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
					after.open()
					after.expect(after.vol, "log", want)
					after.close()
				}
			}
			r.fs.Release(n, true)
			if got := r.versions(); got != 2 {
				t.Errorf("%d versions", got)
			}
			r.expect(r.vol, "log", want)
			// The next handle is another one: its first close is the last.
			r.must(r.fs.Open(n, true, false))
			r.write(n, 0, []byte("again"))
			copy(want, "again")
			r.must(r.fs.Flush(n))
			if got := r.versions(); got != 3 {
				t.Errorf("%d versions after another close", got)
			}
			r.fs.Release(n, true)
			r.fs.Forget(n, 1)
			r.expect(r.vol, "log", want)
			r.seal()
			r.settled()
			r.check()
			r.close()
		})
	}
}

// SQLite makes, syncs, closes and removes a journal for each transaction. The journal is no version of its own then; without the
// database it is one, and so is what becomes of it when it is renamed, or when a quiet second has passed.
func TestJournalBesideADatabase(t *testing.T) {
	r := newRig(t)
	db := r.create(r.vol, "x.db")
	transaction := func(size int) NodeID {
		j := r.create(r.vol, "x.db-journal")
		r.write(j, 0, pattern(size, 1))
		r.must(r.fs.Fsync(j))
		r.write(db, int64(size), pattern(1000, 2))
		r.must(r.fs.Fsync(db))
		r.must(r.fs.Flush(j))
		r.fs.Release(j, true)
		return j
	}
	for _, size := range []int{500, 10_000, 1 << 20} {
		j := transaction(size)
		r.expect(r.vol, "x.db-journal", pattern(size, 1))
		r.must(r.fs.Unlink(r.vol, "x.db-journal"))
		r.fs.Forget(j, 1)
	}
	if got := r.versions(); got != 0 {
		t.Errorf("%d versions", got)
	}
	if len(r.fs.table.edits()) != 1 {
		t.Error("the edit of a removed journal goes on")
	}
	j := transaction(10_000)
	r.quiet(2 * quietAfter)
	if got := r.versions(); got != 2 {
		t.Errorf("%d versions after a quiet second", got)
	}
	r.fs.Forget(j, 1)
	r.must(r.fs.Unlink(r.vol, "x.db-journal"))
	j = transaction(10_000)
	r.must(r.fs.Rename(r.vol, "x.db-journal", r.vol, "kept", 0))
	r.must(r.fs.Open(j, true, false))
	r.done(j)
	r.expect(r.vol, "kept", pattern(10_000, 1))
	before := r.versions()
	j = r.create(r.vol, "y.db-journal")
	r.write(j, 0, pattern(500, 1))
	r.done(j)
	if got := r.versions(); got != before+1 {
		t.Errorf("%d versions of a journal without its database, want %d", got, before+1)
	}
	r.done(db)
	r.seal()
	r.settled()
	r.check()
}

// A journal that a program left behind, as it crashed, is there after a kill.
func TestJournalSurvivesAKill(t *testing.T) {
	disk := vfs.NewCrashableMem()
	r := rigOn(t, disk)
	db, j := r.create(r.vol, "x"), r.create(r.vol, "x-journal")
	r.write(db, 0, pattern(9000, 1))
	r.write(j, 0, pattern(9000, 2))
	r.must(r.fs.Flush(j))
	r.fs.Release(j, true)
	after := &rig{tb: t, keys: r.keys, clock: r.clock, boot: r.boot}
	after.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	after.open()
	after.expect(after.vol, "x-journal", pattern(9000, 2))
	after.close()
	r.done(db)
	r.fs.Forget(j, 1)
	r.close()
}
