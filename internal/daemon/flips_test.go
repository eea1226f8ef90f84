package daemon

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	iofs "io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
)

var flipSeconds = flag.Int("flips", 0, "for how many seconds TestFlips and TestVerifyNamesEachKindOfRecord flip bits (0: a few)")

// readAll reads every file of every volume through the file system: bytes, or the error.
func readAll(t testing.TB, d *daemon) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(dir fs.NodeID, path string)
	walk = func(dir fs.NodeID, path string) {
		names, err := list(d, dir)
		if err != nil {
			all[path+"/"] = "error"
			return
		}
		for _, name := range names {
			e, err := d.fs.Lookup(dir, name)
			if err != nil {
				all[path+"/"+name] = "error"
				continue
			}
			if e.Attr.Mode&unix.S_IFMT == unix.S_IFDIR {
				all[path+"/"+name] = "directory"
				walk(e.Node, path+"/"+name)
			} else {
				all[path+"/"+name] = content(d, e.Node)
			}
			d.fs.Forget(e.Node, 1)
		}
	}
	walk(fs.Root, "")
	return all
}

// flippable lists the files of a store whose bytes mean something.
func flippable(t testing.TB, home string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(home, func(path string, e iofs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if base := filepath.Base(path); err == nil && info.Size() > 0 && base != "lock" && base != "reserve" {
			rel, _ := filepath.Rel(home, path)
			paths = append(paths, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestFlips flips one bit anywhere in a store: verify names it, or all that can be read is as it was. Whatever is read is what was
// written, or an error; nobody panics.
func TestFlips(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	home := aBusyStore(t)
	want := served(t, copyStore(t, home))
	if len(want) < 10 {
		t.Fatalf("there are %d files", len(want))
	}
	before := verified(t, VerifyOptions{Home: home, Deep: true})
	if !before.Clean {
		t.Fatalf("before: %s", damage(before))
	}
	paths := flippable(t, home)
	for _, f := range before.Findings { // an edit that was open when the daemon was killed has no checksums
		if f.Kind == "spill" {
			paths = slices.DeleteFunc(paths, func(p string) bool { return filepath.Join(home, p) == string(f.Where) })
		}
	}
	end := time.Now().Add(time.Duration(*flipSeconds) * time.Second)
	named, same, refused := 0, 0, 0
	for n := 0; n < 3 || time.Now().Before(end); n++ {
		rel := paths[rng.IntN(len(paths))]
		path := filepath.Join(home, rel)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		at, bit := rng.Int64N(info.Size()), rng.IntN(8)
		if used := lastByte(t, path); rng.IntN(8) > 0 {
			at = rng.Int64N(used) // most of a file of the log is zeros
		}
		what := fmt.Sprintf("seed %d, flip %d: bit %d of byte %d of %s (%d bytes)", seed, n, bit, at, rel, info.Size())
		flipBit(t, path, at, bit)
		rep, err := Verify(t.Context(), VerifyOptions{Home: home, Deep: n%2 == 0})
		told := err != nil || !rep.Clean || len(rep.Findings) > len(before.Findings)
		got := served(t, copyStore(t, home))
		switch {
		case got == nil:
			refused++
			if !told {
				t.Errorf("%s: a start refuses the store, and verify says nothing", what)
			}
		case !maps.Equal(got, want):
			wrong(t, what, want, got, told, filepath.Dir(rel) == "wal")
			named++
		case told:
			named++
		default:
			same++
		}
		flipBit(t, path, at, bit)
	}
	t.Logf("%d named, %d without any effect; %d stores were refused by a start", named, same, refused)
}

// wrong tells of what is read after a flip: errors where there were bytes are damage that is named.
func wrong(t *testing.T, what string, want, got map[string]string, told, log bool) {
	t.Helper()
	if !told {
		t.Errorf("%s: verify says nothing, and something else is read", what)
	}
	for name := range want {
		if _, ok := got[name]; !ok && !log && !hidden(got, name) {
			t.Errorf("%s: %s is gone", what, name)
		}
	}
	for name, is := range got {
		if is != want[name] && is != "error" && !log { // the end of the log may be cut: then it is as it was a moment before
			t.Errorf("%s: %s is %s, and was %s", what, name, is, want[name])
		}
	}
}

// hidden reports whether a directory above name could not be read.
func hidden(got map[string]string, name string) bool {
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		if got[dir+"/"] == "error" || got[dir] == "error" {
			return true
		}
		if dir == "/" || dir == "." {
			return got["/"] == "error"
		}
	}
}

// lastByte is behind the last byte of a file that is not zero.
func lastByte(t testing.TB, path string) int64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return max(1, int64(len(bytes.TrimRight(data, "\x00"))))
}

// served is what is read from a store by a daemon; nil: it refuses the store.
func served(t testing.TB, home string) map[string]string {
	t.Helper()
	defer os.RemoveAll(home)
	d := newDaemon(Options{Home: home})
	err := d.open(t.Context())
	var all map[string]string
	if err == nil {
		all = readAll(t, d)
	}
	_ = d.close() // of a damaged store
	return all
}

// list lists a directory.
func list(d *daemon, dir fs.NodeID) (names []string, err error) {
	for cookie := uint64(0); ; {
		part, err := d.fs.ReadDir(dir, cookie)
		if err != nil || len(part) == 0 {
			return names, err
		}
		for _, e := range part {
			names, cookie = append(names, string(e.Name)), e.Cookie
		}
	}
}

// content is a file's bytes, or "error".
func content(d *daemon, id fs.NodeID) string {
	if err := d.fs.Open(id, false, false); err != nil {
		return "error"
	}
	defer d.fs.Release(id, false)
	var all []byte
	for buf := make([]byte, 128<<10); ; {
		n, err := d.fs.Read(id, buf, int64(len(all)))
		if err != nil {
			return "error"
		}
		if n == 0 {
			return fmt.Sprintf("%d bytes, %x", len(all), sha256.Sum256(all))
		}
		all = append(all, buf[:n]...)
	}
}
