package daemon

import (
	"crypto/sha256"
	"fmt"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// aStore makes a store with files of every size in two volumes, and returns its home. Nobody serves it.
func aStore(t testing.TB) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), "store")
	d := opened(t, home)
	fill(t, d)
	committed(t, d)
	shut(t, d)
	return home
}

// fill makes files of every size.
func fill(t testing.TB, d *daemon) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, vol := range []string{"notes", "photos"} {
		dir := volume(t, d, vol)
		for i, size := range []int{0, 10, 3000, 5000, 100_000, 400_000} {
			data := make([]byte, size)
			for k := range data {
				data[k] = byte(rng.Uint32())
			}
			write(t, d, dir, fmt.Sprintf("file%d", i), data)
		}
	}
}

// sums are the hashes of all files of a store, but for those that come and go.
func sums(t testing.TB, home string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	err := filepath.WalkDir(home, func(path string, e iofs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, home)] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// verified verifies a store.
func verified(t testing.TB, o VerifyOptions) control.VerifyReport {
	t.Helper()
	rep, err := Verify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// damage is what a report says is damaged.
func damage(rep control.VerifyReport) string {
	var b strings.Builder
	for _, f := range rep.Findings {
		if !f.Note {
			fmt.Fprintf(&b, "%s %s: %s; %s\n", f.Kind, f.Where, f.What, f.Done)
		}
	}
	return b.String()
}

// TestVerifyClean has nothing to say of a whole store, and leaves each of its bytes as it was.
func TestVerifyClean(t *testing.T) {
	t.Parallel()
	home := aStore(t)
	before := sums(t, home)
	rep := verified(t, VerifyOptions{Home: home, Deep: true})
	if !rep.Clean || len(rep.Findings) > 0 {
		t.Errorf("a whole store: %+v", rep.Findings)
	}
	t.Log(rep.Checked, rep.Bytes)
	for _, kind := range []string{
		"block", "index", "segment", "mark", "table", "wal", "manifest", "keyring", "membership", "frame", "order", "fact", "state", "tree", "link", "raft", "local",
	} {
		if rep.Checked[kind] == 0 {
			t.Errorf("nothing of kind %s was checked", kind)
		}
	}
	after := sums(t, home)
	for name := range before {
		if before[name] != after[name] {
			t.Errorf("%s changed", name)
		}
	}
	if len(before) != len(after) {
		t.Errorf("%d files, then %d", len(before), len(after))
	}
}

// copyStore copies a store.
func copyStore(t testing.TB, home string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(to, os.DirFS(home)); err != nil {
		t.Fatal(err)
	}
	return to
}

// flipBit flips a bit of a file.
func flipBit(t testing.TB, path string, at int64, bit int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// theFile is the one file of a store that a pattern matches, and its size.
func theFile(t testing.TB, home, pattern string) (path string, size int64) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(home, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	info, err := os.Stat(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return paths[0], info.Size()
}

// TestVerifyNamesFlips flips bits of each kind of file that must not change.
func TestVerifyNamesFlips(t *testing.T) {
	t.Parallel()
	seed := seeded(t, 1)
	home := aStore(t)
	for _, pattern := range []string{"db/*.sst", "db/MANIFEST-*", "segments/*.car", "identities/*.keys", "FORMAT"} {
		path, size := theFile(t, home, pattern)
		rng := rand.New(rand.NewPCG(seed, 4))
		for range 1 + *flipSeconds/5 {
			at, bit := rng.Int64N(size), rng.IntN(8)
			flipBit(t, path, at, bit)
			rep, err := Verify(t.Context(), VerifyOptions{Home: home})
			if err == nil && rep.Clean {
				t.Errorf("%s: bit %d of byte %d of %d is flipped, and nothing is said", filepath.Base(path), bit, at, size)
			}
			flipBit(t, path, at, bit)
		}
	}
}
