package daemon

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// A start refuses a store that has lost a log, of the home volume or another, whatever else of it is left: a new one would fork this device's feed.
func TestLostLogIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	im := imageOf(t, aStore(t))
	var ring *identity.Keyring
	d := newDaemon(Options{Home: imageHome, fs: im.mustDisk(t)})
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ring = d.all()[0].keys
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	home, notes := ring.VolumeID("", 0), ring.VolumeID("notes", 1)
	order := string(append([]byte{'r'}, idBytes(ring)...))
	log := func(v identity.VolumeID) string { return "l" + string(v[:]) }
	local := func(v identity.VolumeID) string { return "f" + string(v[:]) }
	for _, c := range []struct {
		name string
		lost []string // prefixes of keys
		open bool
	}{
		{"nothing", nil, true},
		{"the home volume's log", []string{log(home)}, false},
		{"the home volume's log and its own records", []string{log(home), local(home)}, false},
		{"the home volume's log and the order", []string{log(home), order}, false},
		{"the home volume's marks", []string{log(home) + "a"}, false},
		{"another volume's log", []string{log(notes)}, false},
		{"another volume's marks", []string{log(notes) + "a"}, false},
	} {
		disk := im.mustDisk(t)
		st, err := store.Open(imageHome, store.Options{FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		for _, prefix := range c.lost {
			end := []byte(prefix)
			end[len(end)-1]++
			b := st.DB().NewBatch()
			if err := b.DeleteRange([]byte(prefix), end, nil); err != nil {
				t.Fatal(err)
			}
			if err := st.Commit(b, store.OnDisk); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		d := newDaemon(Options{Home: imageHome, fs: disk})
		err = d.open(t.Context())
		_ = d.close()
		why := explain(err, Options{Home: imageHome})
		switch {
		case c.open && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !c.open && !errors.Is(err, eventlog.ErrLost):
			t.Errorf("%s is lost, and a start says %v", c.name, err)
		case !c.open && (control.CodeOf(why) != control.Damaged || !strings.Contains(control.HintOf(why), "verify --repair")):
			t.Errorf("%s: %v, %s", c.name, why, control.HintOf(why))
		}
	}
}

func idBytes(k *identity.Keyring) []byte {
	id := k.ID()
	return id[:]
}

// mustDisk is disk without a flip.
func (im image) mustDisk(t testing.TB) *vfs.MemFS {
	t.Helper()
	disk, err := im.disk(bitFlip{})
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// No moment of a store's first run, at which it is killed or the power goes, leaves a store that a start refuses.
func TestFirstRunIsNeverRefused(t *testing.T) {
	t.Parallel()
	seed := seeded(t, 1)
	changes := firstRun(t, vfs.NewMem())
	rng := rand.New(rand.NewPCG(seed, 1))
	for tested := 0; tested < 2+*flipSeconds; {
		at := 1 + rng.Int64N(changes)
		disk := vfs.NewCrashableMem()
		var n atomic.Int64
		var left atomic.Pointer[vfs.MemFS]
		percent := []int{0, 50, 100}[rng.IntN(3)]
		draw := rand.New(rand.NewPCG(seed, uint64(at)))
		firstRun(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1) == at {
				left.Store(disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: draw}))
			}
			return nil
		})))
		if left.Load() == nil {
			continue // it made fewer changes this time
		}
		tested++
		d := newDaemon(Options{Home: imageHome, fs: left.Load()})
		err := d.open(t.Context())
		if err != nil {
			t.Errorf("seed %d: after change %d of %d, with %d %% of what was not synced: %v", seed, at, changes, percent, err)
		}
		if err := d.close(); err != nil && !errors.Is(err, pebble.ErrClosed) {
			t.Error(err)
		}
	}
}

// firstRun is a store's first run on a disk, which it counts the changes of.
func firstRun(t *testing.T, disk vfs.FS) int64 {
	t.Helper()
	var n atomic.Int64
	d := newDaemon(Options{Home: imageHome, fs: errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			n.Add(1)
		}
		return nil
	}))})
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, d, volume(t, d, "notes"), "f", []byte("a file"))
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	return n.Load()
}
