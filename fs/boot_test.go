package fs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What was closed and never synced is trusted after kill -9, and not after a power cut: then the file is as it was before,
// though its spill file has the right length. Once it was synced it is trusted whatever happened.
func TestUnsyncedBytesAreTrustedWithinOneBoot(t *testing.T) {
	old, edited := bytes.Repeat([]byte("old "), memLimit), bytes.Repeat([]byte("new "), memLimit)
	for _, c := range []struct {
		name   string
		synced bool
		boot   string
		want   []byte
	}{
		{"killed", false, "one", edited},
		{"power cut", false, "two", old},
		{"power cut after a flush", true, "two", edited},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			r := rigOn(t, disk)
			r.put(r.vol, "f", old)
			r.seal()
			r.put(r.vol, "f", edited)
			if c.synced {
				r.must(r.fs.syncPending())
			}
			after := &rig{tb: t, boot: c.boot, keys: r.keys, clock: r.clock}
			after.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
			r.close()
			after.open()
			defer after.close()
			after.expect(after.vol, "f", c.want) // at once
			after.seal()
			after.expect(after.vol, "f", c.want)
			after.check()
		})
	}
}

// What was synced stands on a version that nobody synced for its own sake: both are there after a power cut.
func TestSyncedBytesOnUnsyncedOnes(t *testing.T) {
	whole := pattern(3*memLimit, 1)
	edited := append([]byte("edited"), whole[6:]...)
	for name, edit := range map[string]func(r *rig){
		"an open edit": func(r *rig) {
			n := r.writable(r.vol, "a")
			r.write(n, 0, edited[:6])
			r.must(r.fs.Fsync(n))
		},
		"a closed edit": func(r *rig) {
			n := r.writable(r.vol, "a")
			r.write(n, 0, edited[:6])
			r.must(r.fs.Flush(n))
			r.must(r.fs.Fsync(n))
		},
		"a synced edit that was closed": func(r *rig) {
			n := r.writable(r.vol, "a")
			r.write(n, 0, edited[:6])
			r.must(r.fs.Fsync(n))
			r.must(r.fs.Flush(n))
			r.must(r.st.Sync())
		},
		"a copy": func(r *rig) {
			src, n := r.writable(r.vol, "a"), r.create(r.vol, "b")
			r.copyAll(src, 0, n, 0, 1<<40)
			r.write(n, 0, edited[:6])
			r.must(r.fs.Fsync(n))
			r.must(r.fs.Rename(r.vol, "b", r.vol, "a", 0))
			r.must(r.st.Sync())
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			r := rigOn(t, disk)
			r.put(r.vol, "a", whole)
			edit(r)
			after := &rig{tb: t, boot: "two", keys: r.keys, clock: r.clock}
			after.disk = disk.CrashClone(vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(1, 1))})
			r.close()
			after.open()
			defer after.close()
			after.expect(after.vol, "a", edited)
			after.seal()
			after.expect(after.vol, "a", edited)
			after.check()
		})
	}
}

// A version that is lost stays so, however often the store is flushed and started before that is settled.
func TestLostBytesStayLost(t *testing.T) {
	old, edited := pattern(3*memLimit, 1), pattern(3*memLimit, 2)
	disk := vfs.NewCrashableMem()
	r := rigOn(t, disk)
	r.put(r.vol, "f", old)
	r.seal()
	r.put(r.vol, "f", edited)
	after := &rig{tb: t, boot: "two", keys: r.keys, clock: r.clock}
	after.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	r.close()
	after.open()
	after.must(after.fs.syncPending())
	after.reopen()
	defer after.close()
	after.seal()
	after.expect(after.vol, "f", old)
}

// A file whose last versions are all lost goes back to what they replaced, sealed or not.
func TestLostBytesUponLostOnes(t *testing.T) {
	for name, sealed := range map[string]bool{"sealed": true, "synced": false} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			r := rigOn(t, disk)
			old := pattern(3*memLimit, 1)
			r.put(r.vol, "f", old)
			if sealed {
				r.seal()
			} else {
				r.must(r.fs.syncPending())
			}
			r.put(r.vol, "f", pattern(3*memLimit, 2))
			r.put(r.vol, "f", pattern(3*memLimit, 3))
			after := &rig{tb: t, boot: "two", keys: r.keys, clock: r.clock}
			after.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
			r.close()
			after.open()
			defer after.close()
			after.expect(after.vol, "f", old)
			after.seal()
			after.expect(after.vol, "f", old)
			after.check()
		})
	}
}

// A program that empties its open file and writes it anew, again and again, has the disk keep no more than what it wrote last and what
// an fsync promised.
func TestEmptiedAgainAndAgain(t *testing.T) {
	disk := vfs.NewCrashableMem()
	r := rigOn(t, disk)
	n := r.create(r.vol, "a")
	promised := pattern(memLimit+1, 1)
	r.write(n, 0, promised)
	r.must(r.fs.Fsync(n))
	zero := int64(0)
	for i := range 5 {
		_, err := r.fs.SetAttr(n, Changes{Size: &zero}, true)
		r.must(err)
		r.write(n, 0, pattern(memLimit+1, byte(i)))
	}
	r.must(r.fs.spills.reap())
	names, err := r.disk.List(r.st.Path(spillDir))
	r.must(err)
	if len(names) != 2 {
		t.Errorf("spill files: %v, want 2", names)
	}
	r.same("written", r.bytesOf(n), pattern(memLimit+1, 4))
	// What was promised is still there for a start after a crash.
	after := &rig{tb: t, boot: "two", keys: r.keys, clock: r.clock, disk: disk.CrashClone(vfs.CrashCloneCfg{})}
	r.done(n)
	r.seal()
	r.settled()
	r.close()
	after.open()
	defer after.close()
	after.expect(after.vol, "a", promised)
}
