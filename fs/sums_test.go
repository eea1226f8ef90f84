package fs

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// loses overwrites a page of the one spill file, as if the kernel had dropped what it could not write.
func (r *rig) loses(off int64) {
	r.Helper()
	names, err := r.disk.List(r.st.Path(spillDir))
	r.must(err)
	if len(names) != 1 {
		r.Fatalf("spill files: %v", names)
	}
	f, err := r.disk.OpenReadWrite(r.st.Path(spillDir, names[0]), vfs.WriteCategoryUnspecified)
	r.must(err)
	_, err = f.WriteAt(make([]byte, page), off)
	r.must(err)
	r.must(f.Close())
}

func (r *rig) isDamaged(path string) {
	r.Helper()
	if !slices.ContainsFunc(r.fs.Damaged(), func(d Damage) bool { return d.Path == path }) {
		r.Fatalf("nobody is told that %s is damaged: %v", path, r.fs.Damaged())
	}
}

// readsBut checks that a file has these bytes, and that those of a page can't be read.
func (r *rig) readsBut(name string, want []byte, lost int64) {
	r.Helper()
	n, err := r.lookup(r.vol, name)
	r.must(err)
	defer r.fs.Forget(n, 1)
	for off := int64(0); off < int64(len(want)); off += page / 2 {
		got := make([]byte, min(page/2, int64(len(want))-off))
		_, err := r.fs.Read(n, got, off)
		if off/page*page == lost {
			r.wants(err, ErrDamaged)
		} else {
			r.must(err)
			r.same(name, got, want[off:off+int64(len(got))])
		}
	}
}

const lostPage = 10 * page

// A page of an edit that the disk took back is an error to who reads it, and to the fsync that meets the failure; nothing else of the
// edit is. It is well again once it is written anew.
func TestLostPageOfAnEdit(t *testing.T) {
	var sick atomic.Bool
	r := rigOn(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".spill") && sick.CompareAndSwap(true, false) {
			return syscall.EIO
		}
		return nil
	})))
	defer r.close()
	want := pattern(3*memLimit+100, 1)
	n := r.create(r.vol, "f")
	for off := 0; off < len(want); off += 1000 {
		r.write(n, int64(off), want[off:min(off+1000, len(want))])
	}
	r.same("f", r.bytesOf(n), want)
	r.loses(lostPage)
	r.readsBut("f", want, lostPage)
	if _, err := r.fs.Write(n, []byte("part of a page"), lostPage+5); err == nil {
		t.Fatal("the rest of a lost page is taken for what was written")
	}
	sick.Store(true)
	r.wants(r.fs.Fsync(n), ErrDamaged)
	r.isDamaged("f")
	r.readsBut("f", want, lostPage)
	r.write(n, lostPage, want[lostPage:lostPage+page])
	r.must(r.fs.Fsync(n))
	r.same("f", r.bytesOf(n), want)
	r.done(n)
	r.seal()
	r.expect(r.vol, "f", want)
	r.settled()
}

// The same of a version that was closed, also after a start. The events behind it leave, and what is there stays.
func TestLostPageOfAVersion(t *testing.T) {
	for _, c := range []struct {
		name       string
		start      bool
		lost, errs int64
	}{
		{"at once", false, lostPage, lostPage},
		{"after a start", true, lostPage, lostPage},
		{"the last one, in part", true, 3 * memLimit, 3 * memLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rigOn(t, vfs.NewMem())
			defer r.close()
			want := pattern(3*memLimit+100, 1)
			r.put(r.vol, "f", want)
			if c.start {
				r.reopen()
			}
			r.loses(c.lost)
			r.readsBut("f", want, c.errs)
			r.stuckVersion("f")
			r.collect()
			r.readsBut("f", want, c.errs)
			r.reopen()
			r.readsBut("f", want, c.errs)
			r.isDamaged("f")
			r.put(r.vol, "f", want)
			r.seal()
			r.expect(r.vol, "f", want)
			r.reopen()
			r.expect(r.vol, "f", want)
		})
	}
}

// stuckVersion has everything sealed and framed, and checks that no event waits for the version of a file that can't be sealed.
func (r *rig) stuckVersion(name string) {
	r.Helper()
	behind := bytes.Repeat([]byte("behind "), memLimit)
	r.put(r.vol, "behind", behind)
	r.seal()
	r.commit()
	if s := r.volume().log.Stats(); s.HeldEvents+s.UnframedEvents > 0 {
		r.Fatalf("%d events are held, %d not framed", s.HeldEvents, s.UnframedEvents)
	}
	r.isDamaged(name)
	r.expect(r.vol, "behind", behind)
	r.check()
}

// Without its checksums nothing of a spill file is believed.
func TestLostSums(t *testing.T) {
	r := rigOn(t, vfs.NewMem())
	defer r.close()
	want := pattern(3*memLimit, 1)
	r.put(r.vol, "f", want)
	r.close()
	r.loses(3 * memLimit)
	r.open()
	_, err := r.tryGet(r.vol, "f")
	r.wants(err, ErrDamaged)
	r.stuckVersion("f")
}

// What can't be sealed because a block that it stands on is damaged keeps no event behind it from leaving, and its own bytes stay.
func TestEditOfADamagedFile(t *testing.T) {
	r := rigOn(t, vfs.NewMem())
	defer r.close()
	r.put(r.vol, "f", pattern(3*memLimit, 1))
	r.seal()
	r.commit()
	r.reopen() // whatever was opened is forgotten
	r.spoilSegments()
	n := r.writable(r.vol, "f")
	r.write(n, 0, []byte("edited"))
	r.quiet(2 * time.Second)
	r.seal()
	r.write(n, 6, []byte(" twice"))
	r.done(n)
	r.stuckVersion("f")
	for range 3 {
		n := r.writable(r.vol, "f")
		got := make([]byte, 12)
		_, err := r.fs.Read(n, got, 0)
		r.must(err)
		r.same("f", got, []byte("edited twice"))
		_, err = r.fs.Read(n, got, memLimit)
		r.wants(err, ErrDamaged)
		r.done(n)
		r.reopen()
	}
}

// spoilSegments damages every block there is.
func (r *rig) spoilSegments() {
	r.Helper()
	names, err := r.disk.List(r.st.Path("segments"))
	r.must(err)
	for _, name := range names {
		f, err := r.disk.OpenReadWrite(r.st.Path("segments", name), vfs.WriteCategoryUnspecified)
		r.must(err)
		info, err := f.Stat()
		r.must(err)
		for off := int64(2 << 10); off < info.Size(); off += 2 << 10 {
			_, err = f.WriteAt([]byte("damage"), off)
			r.must(err)
		}
		r.must(f.Close())
	}
}

// What an earlier run could not sync, perhaps, is written anew before a sync of it is believed.
func TestAStartWritesSpillFilesAnew(t *testing.T) {
	disk := vfs.NewCrashableMem()
	r := rigOn(t, disk)
	want := pattern(3*memLimit, 1)
	r.put(r.vol, "f", want)
	var ops []errorfs.OpKind
	killed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	r.close()
	r.disk = errorfs.Wrap(killed, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if (op.Kind == errorfs.OpFileWriteAt || op.Kind == errorfs.OpFileSyncData) && strings.HasSuffix(op.Path, ".spill") {
			ops = append(ops, op.Kind)
		}
		return nil
	}))
	r.open()
	defer r.close()
	r.must(r.fs.syncPending())
	if i := slices.Index(ops, errorfs.OpFileSyncData); i < 1 {
		t.Fatal(ops)
	}
	r.expect(r.vol, "f", want)
	r.seal()
	r.expect(r.vol, "f", want)
}
