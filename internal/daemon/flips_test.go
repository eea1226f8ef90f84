package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	iofs "io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/internal/control"
)

var (
	flipCount   = flag.Int("flips-count", 0, "how many bits TestFlips flips at least")
	flipSeconds = flag.Int("flips", 0, "for how many seconds TestFlips and TestVerifyNamesEachKindOfRecord flip bits (0: a few)")
	flipSeed    = flag.Uint64("flips-seed", 0, "what the tests of damage draw from (0: with -flips or -repair-crashes a new seed, else the same each time)")
)

// seeded is the seed that a test of damage draws from. Without a budget it is always the everyday one.
func seeded(t *testing.T, everyday uint64) uint64 {
	t.Helper()
	seed := everyday
	switch {
	case *flipSeed != 0:
		seed = *flipSeed
	case *flipSeconds > 0 || *flipCount > 0 || *repairCrashes != 0:
		seed = rand.Uint64()
	}
	t.Logf("seed %d: replay with the same flags and -flips-seed %d", seed, seed)
	return seed
}

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

// An image is what a store at rest has in its files, by their names in it.
type image map[string][]byte

// imageOf reads a store, but for what means nothing.
func imageOf(t testing.TB, home string) image {
	t.Helper()
	im := image{}
	err := filepath.WalkDir(home, func(path string, e iofs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == "lock" || e.Name() == "reserve" {
			return err
		}
		rel, err := filepath.Rel(home, path)
		if err != nil {
			return err
		}
		im[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// imageHome is where an image's store is on its disk.
const imageHome = "/store"

// A bitFlip is one bit of an image.
type bitFlip struct {
	name string
	at   int64
	bit  int
}

// disk makes a disk in memory with the store, and one bit of it flipped.
func (im image) disk(f bitFlip) (*vfs.MemFS, error) {
	disk := vfs.NewMem()
	for name, data := range im {
		path := filepath.Join(imageHome, name)
		if err := disk.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		out, err := disk.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return nil, err
		}
		if name == f.name {
			data = slices.Clone(data)
			data[f.at] ^= 1 << f.bit
		}
		if _, err := out.Write(data); err != nil {
			return nil, err
		}
		if err := out.Close(); err != nil {
			return nil, err
		}
	}
	return disk, nil
}

// some draws a bit: every file that is not empty is as likely as every other.
func (im image) some(rng *rand.Rand) bitFlip {
	var names []string
	for name, data := range im {
		if len(data) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	f := bitFlip{name: names[rng.IntN(len(names))]}
	data := im[f.name]
	size := len(data)
	if rng.IntN(8) > 0 { // most of a file of the log is zeros
		size = max(1, len(bytes.TrimRight(data, "\x00")))
	}
	f.at, f.bit = rng.Int64N(int64(size)), rng.IntN(8)
	return f
}

// verify verifies an image's store.
func (im image) verify(ctx context.Context, f bitFlip, deep bool) (control.VerifyReport, error) {
	disk, err := im.disk(f)
	if err != nil {
		return control.VerifyReport{}, err
	}
	v := newVerifier(ctx, imageHome, disk, deep, nil, nil)
	if err := v.atRest(); err != nil {
		return control.VerifyReport{}, err
	}
	return v.answer(), nil
}

// served is what a daemon reads from an image's store; nil: it refuses the store.
func (im image) served(t testing.TB, f bitFlip) map[string]string {
	disk, err := im.disk(f)
	if err != nil {
		t.Error(err)
		return nil
	}
	return readBy(t, newDaemon(Options{Home: imageHome, fs: disk}))
}

// TestFlips flips one bit anywhere in a store: verify names it, or all that can be read is as it was. Whatever is read is what was
// written, or an error; nobody panics.
func TestFlips(t *testing.T) {
	t.Parallel()
	seed := seeded(t, 23) // it draws a trail, the log and the list of tables
	im := imageOf(t, aBusyStore(t))
	r := flipRun{im: im, want: im.served(t, bitFlip{}), kinds: map[string]int{}}
	if len(r.want) < 10 {
		t.Fatalf("there are %d files", len(r.want))
	}
	before, err := im.verify(t.Context(), bitFlip{}, true)
	if err != nil || !before.Clean {
		t.Fatalf("before: %v, %s", err, damage(before))
	}
	r.findings = len(before.Findings)
	end := time.Now().Add(time.Duration(*flipSeconds) * time.Second)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(2, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for {
				n := next.Add(1)
				if n > max(3, int64(*flipCount)) && time.Now().After(end) {
					return
				}
				r.flip(t, seed, n)
			}
		})
	}
	workers.Wait()
	t.Logf("%d bits flipped: %d named, %d without any effect; %d stores were refused by a start; %v", r.named+r.same, r.named, r.same, r.refused, r.kinds)
}

// A flipRun is one TestFlips.
type flipRun struct {
	im       image
	want     map[string]string
	findings int // before anything was flipped

	mu                   sync.Mutex
	named, same, refused int
	kinds                map[string]int // flips, by the directory or the suffix
}

// flip flips the n-th bit that a seed gives.
func (r *flipRun) flip(t *testing.T, seed uint64, n int64) {
	f := r.im.some(rand.New(rand.NewPCG(seed, uint64(n))))
	what := fmt.Sprintf("seed %d, flip %d: bit %d of byte %d of %s (%d bytes)", seed, n, f.bit, f.at, f.name, len(r.im[f.name]))
	rep, err := r.im.verify(t.Context(), f, n%2 == 0)
	told := err != nil || !rep.Clean || len(rep.Findings) > r.findings
	got := r.im.served(t, f)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds[strings.TrimLeft(filepath.Ext(f.name)+" in "+filepath.Dir(f.name), " ")]++
	switch {
	case got == nil:
		r.refused++
		r.named++
		if !told {
			t.Errorf("%s: a start refuses the store, and verify says nothing", what)
		}
	case !maps.Equal(got, r.want):
		wrong(t, what, r.want, got, told, filepath.Dir(f.name) == "wal")
		r.named++
	case told:
		r.named++
	default:
		r.same++
	}
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

// served is what is read from a store by a daemon; nil: it refuses the store.
func served(t testing.TB, home string) map[string]string {
	t.Helper()
	defer os.RemoveAll(home)
	return readBy(t, newDaemon(Options{Home: home}))
}

// readBy is what is read by a daemon, which is closed then; nil: it does not open.
func readBy(t testing.TB, d *daemon) map[string]string {
	t.Helper()
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
