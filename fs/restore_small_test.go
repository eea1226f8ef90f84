package fs

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// noise is bytes that nothing compresses.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// kept is how many bytes the state and the log of the app volume have.
func (r *rig) kept() (n int64) {
	r.Helper()
	r.commit()
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		er.Scan(nil, nil, func(k, v []byte) bool {
			n += int64(len(k) + len(v))
			return true
		})
		return nil
	}))
	return n + r.framed
}

// TestRestoreSmall: what a restore, the restore of a restore and so on bring back of small files is stored once, in the log and in the state.
// It reads as it did, now and in the past, after a start, a collection and a merge too.
func TestRestoreSmall(t *testing.T) {
	t.Parallel()
	const files, size = 40, 3000
	r := newRig(t)
	fill := func(seed uint64) {
		for i := range files {
			r.put(r.vol, fmt.Sprint("f", i), noise(size, seed+uint64(i)))
		}
	}
	r.commit()
	before := r.kept()
	fill(0)
	grown := r.kept() - before
	old, first := r.tree(r.vol), r.moment()
	fill(1000)
	edited, second := r.tree(r.vol), r.moment()
	is, blocks := r.kept(), r.stored()
	if grown < 2*files*size {
		t.Fatalf("%d bytes of files took %d", files*size, grown)
	}
	stays := func(what string) {
		t.Helper()
		r.check()
		now := r.kept()
		if n := now - is; n > files*size/5 {
			t.Errorf("%s: it takes %d bytes, for %d files of %d bytes", what, n, files, size)
		}
		if n := r.stored(); n != blocks {
			t.Errorf("%s: %d bytes of blocks, before %d", what, n, blocks)
		}
		is = now
	}
	for k := range 2 {
		r.restore("me/notes", first, RestoreOptions{Exact: true})
		stays(fmt.Sprint("restored ", k))
		r.sameTree("restored", r.tree(r.vol), old)
		r.restore("me/notes", second, RestoreOptions{Exact: true})
		stays(fmt.Sprint("back ", k))
		r.sameTree("back", r.tree(r.vol), edited)
	}
	r.restore("me/notes", first, RestoreOptions{Exact: true})
	third := r.moment()
	r.put(r.vol, "f0", []byte("something else"))
	r.wipe(r.vol)
	is = r.kept()
	r.restore("me/notes", third, RestoreOptions{Exact: true})
	stays("removed and restored")
	for i := range files { // what has another name now is made anew
		r.must(r.fs.Rename(r.vol, fmt.Sprint("f", i), r.vol, fmt.Sprint("g", i), 0))
	}
	is = r.kept()
	r.restore("me/notes", third, RestoreOptions{})
	stays("made anew")
	for i := range files {
		r.expect(r.vol, fmt.Sprint("f", i), noise(size, uint64(i)))
		r.must(r.fs.Unlink(r.vol, fmt.Sprint("g", i)))
	}
	r.replays()
	r.reopen()
	r.clock.forward(5 * 365 * 24 * time.Hour)
	_, err := r.fs.Retire(r.clock.now(), false, func() error { return nil })
	r.must(err)
	r.collectHard()
	r.sameTree("after all", r.tree(r.vol), old)
}

// What only a quiet second ended may be dropped, so nothing refers to it: a restore of it has bytes of its own.
func TestRestoreQuiet(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "f")
	r.write(n, 0, []byte("quiet"))
	r.quiet(2 * time.Second)
	at := r.moment()
	r.done(n)
	r.put(r.vol, "f", []byte("closed"))
	r.restore("me/notes/f", at, RestoreOptions{})
	r.expect(r.vol, "f", []byte("quiet"))
	if ver := r.shown("f"); ver.Size == 0 || ver.Like != (tree.VersionID{}) {
		t.Errorf("it is %+v", ver)
	}
}

// A small file that goes back from a lost version has its bytes stored once.
func TestLostGoesBackToSmall(t *testing.T) {
	disk := vfs.NewCrashableMem()
	r := rigOn(t, disk)
	r.put(r.vol, "f", noise(3000, 1))
	r.must(r.fs.Sync())
	r.put(r.vol, "f", pattern(3*memLimit, 2))
	after := &rig{tb: t, boot: "two", keys: r.keys, clock: r.clock}
	after.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	r.close()
	after.open()
	defer after.close()
	after.seal()
	after.expect(after.vol, "f", noise(3000, 1))
	after.check()
	if ver := after.shown("f"); ver.Like == (tree.VersionID{}) {
		t.Errorf("it is %+v", ver)
	}
}

// shown is the version that a file of the app volume shows.
func (r *rig) shown(name string) (ver tree.Version) {
	r.Helper()
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		d, _ := tree.Lookup(er, tree.RootID, []byte(name))
		ino, _ := tree.GetInode(er, d.ID)
		if len(ino.Heads) > 0 {
			ver, _ = tree.GetVersion(er, ino.Heads[0].ID)
		}
		return nil
	}))
	return ver
}
