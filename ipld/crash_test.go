package ipld_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	carv2 "github.com/ipld/go-car/v2"

	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/storetest"
)

// A crasher is a disk that crashes before one of its operations on segments, and what must be on it.
type crasher struct {
	mem *vfs.MemFS
	rng *rand.Rand

	mu      sync.Mutex
	left    int  // how many operations until the crash
	kill    bool // the process dies and the kernel lives
	put     map[int]bool
	synced  map[int]bool
	after   *vfs.MemFS   // the disk after the crash
	promise map[int]bool // the blocks that must be on it
}

func (c *crasher) MaybeError(op errorfs.Op) error {
	if !strings.Contains(op.Path, "segments") {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left == 0 {
		c.crashLocked()
	}
	return nil
}

func (c *crasher) String() string { return "crasher" }

func (c *crasher) crashLocked() {
	percent, promised := c.rng.IntN(101), c.synced
	if c.kill {
		percent, promised = 100, c.put
	}
	c.after = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng})
	c.promise = map[int]bool{}
	for n := range promised {
		c.promise[n] = true
	}
}

func (c *crasher) locked(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

// A crash at any moment, also of a collection and of a recovery, loses nothing that was promised, and
// what is there is right.
func TestSegmentCrashes(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			disk, promise := vfs.NewCrashableMem(), map[int]bool{}
			for range 4 {
				c := &crasher{mem: disk, rng: rng, left: 1 + rng.IntN(250), kill: rng.IntN(3) == 0, put: promise, synced: promise}
				liveAndCrash(t, c, rng)
				disk, promise = c.after, c.promise
			}
		})
	}
}

// liveAndCrash opens a store on c's disk, checks it, and works on it until it has crashed.
func liveAndCrash(t *testing.T, c *crasher, rng *rand.Rand) {
	o := ipld.SegmentOptions{Size: 5_000, Open: 3, Unsynced: int64(2_000 + rng.IntN(50_000))}
	h := openHome(t, errorfs.Wrap(c.mem, c), "home", o)
	defer h.close()
	if d := h.Damage(); len(d) != 0 {
		t.Fatalf("after a crash: %v", d)
	}
	checkCARs(t, c.mem, "home")
	here := map[int]bool{}
	for n := range 300 {
		b, err := h.Get(storetest.Block(n).CID)
		switch {
		case err == nil && bytes.Equal(b.Data, storetest.Block(n).Data):
			here[n] = true
		case !errors.Is(err, ipld.ErrNotFound) || c.put[n]:
			t.Fatalf("block %d, promised %v: %v", n, c.put[n], err)
		}
	}
	c.locked(func() { c.put, c.synced = clone(here), clone(here) }) // what a start shows stays
	for c.alive() {
		switch rng.IntN(8) {
		case 0:
			before := clone(c.put)
			must(t, h.Sync())
			c.locked(func() { c.synced = before })
		case 1:
			live := map[int]bool{}
			for n := range c.put {
				if rng.IntN(3) == 0 && storetest.Block(n).CID.Codec() == ipld.Raw {
					live[n] = true
				}
			}
			c.locked(func() { c.put, c.synced = intersect(c.put, live), intersect(c.synced, live) })
			_, err := h.Collect(context.Background(), func(yield func(ipld.CID) error) error {
				for n := range live {
					if err := yield(storetest.Block(n).CID); err != nil {
						return err
					}
				}
				return nil
			})
			must(t, err)
			for n := range live {
				checkBlocks(t, h, n, n+1)
			}
		default:
			n := rng.IntN(300)
			must(t, h.Put(storetest.Block(n)))
			c.locked(func() { c.put = clone(c.put); c.put[n] = true })
		}
	}
}

func (c *crasher) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.after == nil
}

func clone(m map[int]bool) map[int]bool {
	out := make(map[int]bool, len(m))
	for n := range m {
		out[n] = true
	}
	return out
}

func intersect(a, b map[int]bool) map[int]bool {
	out := map[int]bool{}
	for n := range a {
		if b[n] {
			out[n] = true
		}
	}
	return out
}

var errDisk = errors.New("the disk says no")

// After a failed sync what was not on the disk is written anew, elsewhere: no later sync of the same file is believed.
// Nothing ends by it, and what a Sync acknowledged survives.
func TestFailedSync(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fails, synced := 0, map[string]int{}
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".car") {
			if fails > 0 {
				fails--
				synced[op.Path]++
				return errDisk
			}
			if synced[op.Path] > 0 {
				t.Errorf("%s is synced again after a failure", op.Path)
			}
		}
		return nil
	}))
	st, err := store.Open("home", store.Options{FS: fs, FlushEvery: -1})
	must(t, err)
	h, err := ipld.OpenSegments(st, ipld.SegmentOptions{})
	must(t, err)
	survive := func(n int) {
		t.Helper()
		again := openHome(t, mem.CrashClone(vfs.CrashCloneCfg{}), "home", ipld.SegmentOptions{})
		checkBlocks(t, again, 0, n)
		again.close()
	}
	putBlocks(t, h, 0, 100)
	fails = 1
	must(t, h.Sync())
	must(t, st.Sync())
	survive(100)
	putBlocks(t, h, 100, 200)
	fails = 2
	if err := h.Sync(); !errors.Is(err, errDisk) || st.Health() == nil {
		t.Fatalf("sync: %v, health: %v", err, st.Health())
	}
	putBlocks(t, h, 200, 300)
	checkBlocks(t, h, 0, 300)
	must(t, h.Sync())
	must(t, st.Health())
	must(t, st.Sync())
	survive(300)
	must(t, errors.Join(h.Close(), st.Close()))
	survive(300)
	checkCARs(t, mem, "home")
}

// A tearing is a disk that becomes full in the middle of a write.
type tearing struct {
	vfs.FS
	full *bool
}

func (d tearing) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, o...)
	if err != nil || !strings.HasSuffix(name, ".car") {
		return f, err
	}
	return tearingFile{f, d.full}, nil
}

type tearingFile struct {
	vfs.File
	full *bool
}

func (f tearingFile) WriteAt(b []byte, off int64) (int, error) {
	if !*f.full {
		return f.File.WriteAt(b, off)
	}
	n, err := f.File.WriteAt(b[:len(b)/2], off)
	return n, errors.Join(err, syscall.ENOSPC)
}

// A full disk refuses a Put, which leaves what was there, and takes it when there is room again.
func TestFullDisk(t *testing.T) {
	mem, full := vfs.NewCrashableMem(), false
	h := openHome(t, tearing{mem, &full}, "home", ipld.SegmentOptions{Size: 20_000})
	for n := range 200 {
		if full = n%3 == 0; full {
			large := storetest.Block(699) // more than what follows overwrites
			if err := h.Put(large); !errors.Is(err, store.ErrNoSpace) {
				t.Fatalf("put on a full disk: %v", err)
			}
			full = false
			if ok, err := h.Has(large.CID); ok || err != nil {
				t.Fatalf("a refused block is here: %v, %v", ok, err)
			}
		}
		putBlocks(t, h, n, n+1)
	}
	checkBlocks(t, h, 0, 200)
	checkCARs(t, mem, "home")
	full = true // the last write of all is torn, and nobody comes back for it
	if err := h.Put(storetest.Block(699)); !errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("put on a full disk: %v", err)
	}
	h.close()
	h = openHome(t, mem, "home", ipld.SegmentOptions{Size: 20_000})
	checkBlocks(t, h, 0, 200)
	checkCARs(t, mem, "home")
}

// What stands behind the mark counts up to the first section that is not whole.
func TestTailIsChecked(t *testing.T) {
	dir := t.TempDir()
	h := openHome(t, nil, dir, ipld.SegmentOptions{})
	putBlocks(t, h, 100, 200)
	h.close()
	wrong := storetest.Block(501)
	wrong.Data = append(bytes.Clone(wrong.Data[1:]), 1)
	tail := slices.Concat(section(storetest.Block(500)), section(wrong), section(storetest.Block(502)))
	f, err := os.OpenFile(segmentFiles(t, dir)[0], os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(tail)
	must(t, errors.Join(err, f.Close()))

	for range 2 {
		h = openHome(t, nil, dir, ipld.SegmentOptions{})
		checkBlocks(t, h, 100, 200)
		checkBlocks(t, h, 500, 501)
		for _, n := range []int{501, 502} {
			if _, err := h.Get(storetest.Block(n).CID); !errors.Is(err, ipld.ErrNotFound) {
				t.Errorf("block %d: %v", n, err)
			}
		}
		checkCARs(t, vfs.Default, dir)
		h.close()
	}
}

// section is a CAR section as the specification has it.
func section(b ipld.Block) []byte {
	out := binary.AppendUvarint(nil, uint64(len(b.CID)+len(b.Data)))
	return append(append(out, b.CID[:]...), b.Data...)
}

// checkCARs has stock go-car read every segment to its end.
func checkCARs(t testing.TB, fs vfs.FS, home string) {
	t.Helper()
	names, err := fs.List(fs.PathJoin(home, "segments"))
	must(t, err)
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(home, "segments", name))
		must(t, err)
		r, err := carv2.NewBlockReader(f)
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("go-car reads %s: %v", name, err)
		}
		must(t, f.Close())
	}
}
