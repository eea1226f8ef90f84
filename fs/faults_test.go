package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// TestFaults has every kind of change to the disk fail in a random history, once, some times, or until the disk is
// mended: the program gets the error, nothing that was acknowledged is lost, and when the disk works again all
// goes on without a restart.
func TestFaults(t *testing.T) {
	seed := seeded(t, 1)
	end := time.Now().Add(time.Duration(*faultSeconds) * time.Second)
	for run := 0; run < 16 || time.Now().Before(end); run += 8 {
		t.Run("runs", func(t *testing.T) {
			for i := range 8 {
				seed := seed + uint64(run+i)
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					t.Parallel() // they wait, mostly
					oneFault(t, seed)
				})
			}
		})
		if t.Failed() {
			return
		}
	}
}

// A faultRun is a history on a disk that fails.
type faultRun struct {
	*crashRun
	mem   *vfs.MemFS
	errno syscall.Errno
	hit   atomic.Pointer[string] // the first operation that failed
	fails atomic.Int64           // what programs saw
}

func oneFault(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 11))
	f := &faultRun{mem: vfs.NewCrashableMem(), errno: []syscall.Errno{syscall.ENOSPC, syscall.EIO}[rng.IntN(2)]}
	var sick atomic.Bool
	var ops atomic.Int64
	first := rng.Int64N(600)
	last := first + []int64{1, 3, 30, 1 << 40}[rng.IntN(4)]
	f.crashRun = &crashRun{rng: rng, names: map[string]*crashFile{}, rig: rigOn(t, errorfs.Wrap(f.mem,
		errorfs.InjectorFunc(func(op errorfs.Op) error {
			if !sick.Load() || !changes(op) {
				return nil
			}
			if n := ops.Add(1); n < first || n >= last {
				return nil
			}
			what := fmt.Sprintf("kind %d of %s: %v, %d times", op.Kind, op.Path, f.errno, last-first)
			f.hit.CompareAndSwap(nil, &what)
			return f.errno
		})))}
	f.must(f.fs.Fsync(f.vol))
	f.moments = append(f.moments, map[string]*crashFile{})
	sick.Store(true)
	for range 80 {
		f.tryStep()
	}
	sick.Store(false)
	if what := f.hit.Load(); what != nil {
		f.did("the first fault: %s; programs saw %d", *what, f.fails.Load())
	}
	f.well()
	f.seal()
	f.commit()
	f.collect()
	f.must(f.fs.Sync())
	f.shown()
	f.check()
	f.onDisk = len(f.moments) - 1
	for _, file := range f.names {
		if file.open {
			f.done(file.node)
			file.open = false
		}
		file.floors = append(file.floors, floor{f.onDisk, len(file.snaps) - 1, power})
	}
	f.must(f.fs.Sync())
	f.survive(f.mem.CrashClone(vfs.CrashCloneCfg{}), power, f.onDisk)
	f.close()
	f.survive(f.mem.CrashClone(vfs.CrashCloneCfg{}), power, f.onDisk)
}

// well waits until the store says so.
func (f *faultRun) well() {
	f.Helper()
	for tries := 0; f.st.Health() != nil; time.Sleep(5 * time.Millisecond) {
		if tries++; tries > 12_000 { // tries, not time, in which the machine may have stood still
			f.story()
			f.Fatalf("the store does not get well: %v", f.st.Health())
		}
		// What reports its troubles in the background of a daemon.
		_, _ = f.fs.Sync(), f.blocks.Sync()
		f.fs.endQuiet(f.clock.now())
	}
}

// ok reports whether a call worked; if not, the error must be the disk's.
func (f *faultRun) ok(err error) bool {
	f.Helper()
	if err == nil {
		return true
	}
	if !errors.Is(err, f.errno) {
		f.story()
		f.Fatalf("error %v, want %v", err, f.errno)
	}
	f.did("that failed: %v", err)
	f.fails.Add(1)
	return false
}

func (f *faultRun) story() {
	for _, line := range f.trace {
		f.Logf("%s", line)
	}
	if what := f.hit.Load(); what != nil {
		f.Logf("the first fault: %s", *what)
	}
}

// tryStep does one random thing, which may fail.
func (f *faultRun) tryStep() {
	name := crashNames[f.rng.IntN(len(crashNames))]
	file := f.names[name]
	op := len(f.moments)
	switch k := f.rng.IntN(20); {
	case file == nil:
		f.did("create %s", name)
		if e, err := f.fs.Create(f.vol, name, 0o644, true, me); f.ok(err) {
			f.names[name] = &crashFile{snaps: [][]byte{{}}, open: true, node: e.Node}
		}
	case k < 9 && file.open:
		f.tryWrite(file, name)
	case k < 11 && file.open:
		f.did("close %s", name)
		if f.ok(f.fs.Flush(file.node)) {
			f.fs.Release(file.node, true)
			f.fs.Forget(file.node, 1)
			file.open = false
			f.versionMade(file, op)
		}
	case k < 11:
		f.openClose(file, name, op) // opening writes nothing
	case k < 14 && file.open:
		f.did("fsync %s", name)
		if f.ok(f.fs.Fsync(file.node)) {
			file.floors = append(file.floors, floor{op, len(file.snaps) - 1, power})
			f.onDisk = op
		}
	case k == 14:
		f.did("unlink %s", name)
		if f.ok(f.fs.Unlink(f.vol, name)) {
			f.forget(file)
			delete(f.names, name)
		}
	case k < 17:
		f.tryRename(file, name, op)
	}
	f.background(op)
	f.moments = append(f.moments, maps.Clone(f.names))
	if f.rng.IntN(6) == 0 {
		f.shown()
	}
}

func (f *faultRun) tryWrite(file *crashFile, name string) {
	was := file.now()
	off, data := f.rng.IntN(len(was)+1), pattern(1+f.rng.IntN(f.size()+1), byte(f.rng.Uint32())|1)
	next := append(slices.Clone(was), make([]byte, max(0, off+len(data)-len(was)))...)
	copy(next[off:], data)
	f.did("write %s of %d at %d, %d", name, len(was), off, len(data))
	if _, err := f.fs.Write(file.node, data, int64(off)); f.ok(err) {
		file.add(next)
		return
	}
	// What failed may be there in part, as with every write(2); and stays so.
	got := f.bytesOf(file.node)
	for i := range got {
		if i >= len(next) || got[i] != next[i] && (i >= len(was) || got[i] != was[i]) {
			f.story()
			f.Fatalf("after a failed write byte %d of %s is neither the old nor the new one", i, name)
		}
	}
	if !bytes.Equal(got, was) {
		file.add(got)
	}
}

func (f *faultRun) tryRename(file *crashFile, name string, op int) {
	to := crashNames[f.rng.IntN(len(crashNames))]
	if to == name || (to[0] == '.') != (name[0] == '.') {
		return
	}
	f.did("rename %s %s", name, to)
	old := f.names[to]
	if !f.ok(f.fs.Rename(f.vol, name, f.vol, to, 0)) {
		return
	}
	delete(f.names, name)
	f.names[to] = file
	if old != nil {
		f.forget(old)
		file.closed = len(file.snaps) - 1
		file.floors = append(file.floors, floor{op, file.closed, power})
	}
}

// forget closes a file that has no name any more: what its close says concerns nobody.
func (f *faultRun) forget(file *crashFile) {
	if file.open {
		_ = f.fs.Flush(file.node)
		f.fs.Release(file.node, true)
		f.fs.Forget(file.node, 1)
	}
}

// background does what a daemon does by itself, which tells no program of its errors.
func (f *faultRun) background(op int) {
	switch f.rng.IntN(12) {
	case 0:
		if batch := f.fs.seal.take(); len(batch) > 0 {
			f.did("seal")
			if !f.ok(f.fs.sealAll(context.Background(), batch)) {
				f.fs.seal.back(batch)
			}
		}
	case 1:
		f.did("commit")
		f.ok(f.tryCommit())
	case 2:
		f.did("collect")
		_, err := f.fs.Collect(context.Background())
		f.ok(err)
	case 3:
		f.did("flush")
		if f.ok(errors.Join(f.fs.syncPending(), f.st.Sync(), f.fs.spills.reap())) {
			for _, file := range f.names {
				file.floors = append(file.floors, floor{op, file.closed, power})
			}
			f.onDisk = op
		}
	case 4:
		_, err := f.st.DB().AsyncFlush()
		f.must(err)
	}
}

// tryCommit is commit on a disk that may fail.
func (f *faultRun) tryCommit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.logs {
		if _, err := o.Log.Cut(1000); err != nil {
			return err
		}
		var raw [][]byte
		if err := o.Log.Uncommitted(func(fr *eventlog.Frame) bool {
			raw = append(raw, fr.Raw)
			return true
		}); err != nil {
			return err
		}
		if len(raw) == 0 {
			continue
		}
		if err := o.Log.Commit(f.index+1, raw...); err != nil {
			return err
		}
		f.index++
	}
	return nil
}

// shown checks that programs see what they were told.
func (f *faultRun) shown() {
	f.Helper()
	if got, want := sorted(f.rig.names(f.vol)), slices.Sorted(maps.Keys(f.names)); !slices.Equal(got, want) {
		f.story()
		f.Fatalf("there are %q, want %q", got, want)
	}
	for name, file := range f.names {
		if got := f.get(f.vol, name); !bytes.Equal(got, file.now()) {
			f.story()
			f.Fatalf("%s has %d bytes which are not the %d that were written", name, len(got), len(file.now()))
		}
	}
}
