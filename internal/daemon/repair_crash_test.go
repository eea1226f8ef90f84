package daemon

import (
	"flag"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
)

var repairCrashes = flag.Int("repair-crashes", 0, "at how many changes to the disk TestRepairIsKilled ends a repair (0: one, -1: at each)")

// spoilt is an image of a store that is damaged in many ways that need no copy, and what a daemon read from it before: in its records, or in a table of the
// database, of which the write-ahead log has everything.
func spoilt(t *testing.T, table bool) (image, map[string]string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "store")
	d := opened(t, home)
	notes := volume(t, d, "notes")
	write(t, d, notes, "small", []byte("a small file"))
	write(t, d, notes, "large", make([]byte, 20_000))
	committed(t, d)
	shut(t, d)
	want := imageOf(t, home).served(t, bitFlip{})
	if !table {
		dropKind(t, "b g lsd lsb lm la rl rv ri rs rk")(t, home)
	}
	im := imageOf(t, home)
	for name, data := range im {
		switch {
		case strings.HasSuffix(name, ".car"):
			data[7] ^= 1
		case strings.HasSuffix(name, ".sst") && table:
			data[len(data)/3] ^= 1
		}
	}
	return im, want
}

// durable makes a crashable disk in memory with an image's store, all of it synced.
func (im image) durable(t *testing.T) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewCrashableMem()
	dirs := map[string]bool{"/": true}
	for name, data := range im {
		path := filepath.Join(imageHome, name)
		for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
		if err := disk.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := store.WriteFile(disk, path, data); err != nil {
			t.Fatal(err)
		}
	}
	for dir := range dirs {
		d, err := disk.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

// repairOn repairs the store on a disk.
func repairOn(t *testing.T, disk vfs.FS) control.VerifyReport {
	t.Helper()
	v := newVerifier(t.Context(), imageHome, disk, true, nil, nil)
	if err := v.atRest(); err != nil {
		t.Fatal(err)
	}
	if v.r.Damaged() == 0 {
		return v.answer()
	}
	rep, err := v.repaired(VerifyOptions{Home: imageHome, Repair: true, Deep: true})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// A repair that is killed, or whose disk loses its power, at any change that it makes to the disk, leaves a store that is no worse: what is read from it
// is as it was or an error, and another repair mends all of it.
func TestRepairIsKilled(t *testing.T) {
	t.Parallel()
	seed := seeded(t, 1)
	im, want := spoilt(t, seed%2 == 0)
	changes := repairUntil(t, im.durable(t), -1, 0, seed, nil)
	rng := rand.New(rand.NewPCG(seed, 1))
	at := []int64{1 + rng.Int64N(changes)}
	for range max(0, *repairCrashes-1) {
		at = append(at, 1+rng.Int64N(changes))
	}
	if *repairCrashes < 0 {
		at = at[:0]
		for n := range changes {
			at = append(at, n+1)
		}
	}
	for _, n := range at {
		percent := []int{0, 50, 100}[rng.IntN(3)]
		var left atomic.Pointer[vfs.MemFS]
		repairUntil(t, im.durable(t), n, percent, seed, &left)
		disk := left.Load()
		if disk == nil {
			continue // it made fewer changes this time
		}
		if rep := repairOn(t, disk); !rep.Clean {
			t.Errorf("seed %d: killed after change %d of %d, with %d %% of what was not synced: %s", seed, n, changes, percent, damage(rep))
			continue
		}
		got := readBy(t, newDaemon(Options{Home: imageHome, fs: disk}))
		if !maps.Equal(got, want) {
			t.Errorf("seed %d: killed after change %d of %d, with %d %% of what was not synced: there is %v, and was %v", seed, n, changes, percent, got, want)
		}
	}
	t.Logf("killed after %d of %d changes", len(at), changes)
}

// repairUntil repairs, keeps what a crash after the at-th change to the disk leaves, and counts the changes.
func repairUntil(t *testing.T, disk *vfs.MemFS, at int64, percent int, seed uint64, left *atomic.Pointer[vfs.MemFS]) int64 {
	t.Helper()
	var n atomic.Int64
	repairOn(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1) == at {
			left.Store(disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, uint64(at)))}))
		}
		return nil
	})))
	return n.Load()
}
