package identity

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/rhizome-fs/rhizome/internal/leakcheck"
)

const dir = "home/identities"

func save(t testing.TB, k *Keyring, fs vfs.FS) {
	t.Helper()
	if err := k.Save(fs, dir); err != nil {
		t.Fatal(err)
	}
}

// newHome returns a disk with an empty home that a power cut leaves there.
func newHome(t testing.TB) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	if err := errors.Join(fs.MkdirAll("home", 0o700), syncDir(fs, "")); err != nil {
		t.Fatal(err)
	}
	return fs
}

// load returns the one keyring in dir.
func load(t testing.TB, fs vfs.FS) *Keyring {
	t.Helper()
	ks, err := LoadKeyrings(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(ks) != 1 {
		t.Fatalf("%d keyrings", len(ks))
	}
	return ks[0]
}

func TestSaveAndLoad(t *testing.T) {
	fs := vfs.NewMem()
	if ks, err := LoadKeyrings(fs, dir); err != nil || len(ks) != 0 {
		t.Fatalf("no folder: %v, %v", ks, err)
	}
	k := newKeyring(t, 1)
	save(t, k, fs)
	got := load(t, fs)
	if !bytes.Equal(got.encode(), k.encode()) {
		t.Error("another keyring came back")
	}
	if got.Name() != "me" || got.ID() != k.ID() || got.Device() != k.Device() || got.Incarnation() != k.Incarnation() ||
		got.InoKey() != k.InoKey() || !bytes.Equal(got.Genesis(), k.Genesis()) || got.VolumeID("x", 0) != k.VolumeID("x", 0) {
		t.Error("other facts came back")
	}
	if phrase, err := got.Phrase(); err != nil || !PhraseMatches(k, phrase) {
		t.Errorf("another phrase came back: %v", err)
	}
	if err := got.SetName("Work"); err != nil {
		t.Fatal(err)
	}
	got.SetIncarnation(99)
	save(t, got, fs)
	if again := load(t, fs); again.Name() != "Work" || again.Incarnation() != 99 {
		t.Error("not renamed, or of the old incarnation")
	}
	if err := newKeyring(t, 2).Save(fs, dir); err != nil {
		t.Fatal(err)
	}
	ks, err := LoadKeyrings(fs, dir)
	if err != nil || len(ks) != 2 || ks[0].Name() != "Work" || ks[1].Name() != "me" {
		t.Errorf("%v, %v", ks, err)
	}
}

func TestSaveOnARealDisk(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	folder := filepath.Join(t.TempDir(), "identities")
	k := newKeyring(t, 1)
	for range 2 {
		if err := k.Save(vfs.Default, folder); err != nil {
			t.Fatal(err)
		}
		k.Forget()
	}
	for path, want := range map[string]os.FileMode{folder: 0o700, filepath.Join(folder, k.fileName()): 0o600} {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if ks, err := LoadKeyrings(vfs.Default, folder); err != nil || len(ks) != 1 {
		t.Errorf("%v", err)
	}
}

// files returns every file below dir by name.
func files(t testing.TB, fs vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return all
}

func TestForgetLeavesNoTrace(t *testing.T) {
	fs := newHome(t)
	k := newKeyring(t, 1)
	entropy := *k.entropy()
	rootSeed := newRoot(&entropy).sign().Seed()
	save(t, k, fs)
	// A second name keeps the old file in sight, and an unfinished one is what a crash in an earlier Save left.
	path := fs.PathJoin(dir, k.fileName())
	if err := fs.Link(path, fs.PathJoin(dir, "old")); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(fs, path+unfinished, k.encode()); err != nil {
		t.Fatal(err)
	}
	if err := fs.Link(path+unfinished, fs.PathJoin(dir, "older")); err != nil {
		t.Fatal(err)
	}
	held := func(fs vfs.FS) (where []string) {
		for name, data := range files(t, fs) {
			if leakcheck.Find(data, entropy[:], rootSeed) != nil {
				where = append(where, name)
			}
		}
		return where
	}
	if got := held(fs); len(got) != 4 {
		t.Fatalf("before: in %v", got)
	}
	k.Forget()
	save(t, k, fs)
	for name, fs := range map[string]vfs.FS{"running": fs, "after a power cut": fs.CrashClone(vfs.CrashCloneCfg{})} {
		if got := held(fs); len(got) > 0 {
			t.Errorf("%s: still in %v", name, got)
		}
		if _, err := load(t, fs).Phrase(); !errors.Is(err, ErrForgotten) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A rename of the identity must not spoil a backup made with hard links.
func TestSaveSparesOldBytesOtherwise(t *testing.T) {
	fs := vfs.NewMem()
	k := newKeyring(t, 1)
	save(t, k, fs)
	if err := fs.Link(fs.PathJoin(dir, k.fileName()), fs.PathJoin(dir, "backup")); err != nil {
		t.Fatal(err)
	}
	want := k.encode()
	for _, change := range []func(){func() { k.SetName("Work") }, func() {}} {
		change()
		save(t, k, fs)
		if !bytes.Equal(files(t, fs)["backup"], want) {
			t.Error("the old file was overwritten")
		}
	}
}

// The power fails after each operation of a Save in turn: what is there then is the old keyring or the new one, whole, and
// the new one once Save has returned.
func TestPowerCutInSave(t *testing.T) {
	for first := range 2 { // the first Save, and one over an old file
		cut := func(after int) (reached bool) {
			fs := newHome(t)
			k := newKeyring(t, 1)
			if first == 1 {
				save(t, k, fs)
			}
			before := k.encode()
			k.Forget()
			var clones []*vfs.MemFS
			n := 0
			seen := func(errorfs.Op) error {
				if n++; n == after {
					for percent := range 3 {
						clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{
							UnsyncedDataPercent: percent * 50, RNG: rand.New(rand.NewPCG(uint64(after), 0)),
						}))
					}
				}
				return nil
			}
			save(t, k, errorfs.Wrap(fs, errorfs.InjectorFunc(seen)))
			for _, clone := range clones {
				ks, err := LoadKeyrings(clone, dir)
				if err != nil {
					t.Errorf("cut at %d: %v", after, err)
					continue
				}
				if len(ks) == 0 && first == 0 {
					continue
				}
				if got := ks[0].encode(); !bytes.Equal(got, before) && !bytes.Equal(got, k.encode()) {
					t.Errorf("cut at %d: neither old nor new", after)
				}
				save(t, k, clone) // and goes on
			}
			if got := load(t, fs.CrashClone(vfs.CrashCloneCfg{})).encode(); !bytes.Equal(got, k.encode()) {
				t.Error("cut after the end: not the new one")
			}
			return n >= after
		}
		after := 1
		for cut(after) {
			after++
		}
		if after < 8 {
			t.Errorf("only %d operations", after)
		}
	}
}

// Every operation of a Save fails in turn: it says so, and the old keyring is whole, or the new one if the rename was done.
func TestFailuresInSave(t *testing.T) {
	failed := errors.New("injected")
	for at := 0; ; at++ {
		fs := vfs.NewMem()
		k := newKeyring(t, 1)
		save(t, k, fs)
		before := k.encode()
		k.Forget()
		index := errorfs.OnIndex(int32(at))
		injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if index.MaybeError(op) != nil {
				return failed
			}
			return nil
		})
		err := k.Save(errorfs.Wrap(fs, injector), dir)
		if got := load(t, fs).encode(); !bytes.Equal(got, before) && !bytes.Equal(got, k.encode()) {
			t.Errorf("failure %d: neither old nor new", at)
		}
		if index.Load() >= 0 { // never reached
			if err != nil {
				t.Error(err)
			}
			break
		}
		if err == nil && !bytes.Equal(load(t, fs).encode(), k.encode()) {
			t.Errorf("failure %d: passed over in silence", at)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "save keyring home/identities/") {
			t.Errorf("failure %d: %v", at, err)
		}
		save(t, k, fs) // the disk is well again
		if _, err := load(t, fs).Phrase(); !errors.Is(err, ErrForgotten) {
			t.Errorf("failure %d: %v", at, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	k, other := newKeyring(t, 1), newKeyring(t, 2)
	good := k.encode()
	write := func(name string, data []byte) error {
		fs := vfs.NewMem()
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(fs, fs.PathJoin(dir, name), data); err != nil {
			t.Fatal(err)
		}
		_, err := LoadKeyrings(fs, dir)
		return err
	}
	secrets := [][]byte{k.entropy()[:], k.sign().Seed(), k.agree().Bytes(), k.local()[:], k.epochs[0]()[:]}
	refuse := func(what, name string, data []byte, want error) {
		t.Helper()
		err := write(name, data)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
			return
		}
		if err := leakcheck.Find([]byte(err.Error()), secrets...); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := write(k.fileName(), good); err != nil {
		t.Fatal(err)
	}
	refuse("nothing", k.fileName(), nil, ErrDamaged)
	refuse("another's name", other.fileName(), good, ErrDamaged)
	refuse("a version to come", k.fileName(), encodePayload([]any{2, []byte("anything")}), ErrNewer)
	refuse("too long", k.fileName(), make([]byte, maxKeyring+1), ErrDamaged)
	swapped := newKeyring(t, 1)
	swapped.entropy = other.entropy
	refuse("another's root", k.fileName(), swapped.encode(), ErrDamaged)
	swapped = newKeyring(t, 1)
	swapped.genesis = other.genesis
	refuse("another's membership", k.fileName(), swapped.encode(), ErrDamaged)
	swapped = newKeyring(t, 1)
	swapped.Secrets = &Secrets{id: k.id, epochs: other.epochs}
	refuse("another's secrets", k.fileName(), swapped.encode(), ErrDamaged)
	swapped = newKeyring(t, 1)
	swapped.Secrets = &Secrets{id: k.id}
	refuse("no secrets", k.fileName(), swapped.encode(), ErrDamaged)
	swapped = newKeyring(t, 1)
	swapped.name = "../x"
	refuse("a bad name", k.fileName(), swapped.encode(), ErrDamaged)
}
