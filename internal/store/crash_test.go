package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// A crash at any moment leaves a prefix that holds all that was on disk, and the store can go on, crash
// again, and so on.
func TestCrashes(t *testing.T) {
	seeds := uint64(12)
	if *faultSeconds > 0 {
		seeds = 200
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			fs := vfs.NewCrashableMem()
			onDisk := 0
			for range 6 {
				s := mustOpen(t, "home", fs)
				n := history(t, s)
				if n < onDisk {
					t.Fatalf("%d batches survived, %d were on disk", n, onDisk)
				}
				onDisk = n // what a start shows stays
				for range rng.IntN(60) {
					n++
					size := rng.IntN(100)
					if rng.IntN(4) == 0 {
						size = rng.IntN(smallSegment * 5 / 4)
					}
					d := Durability(rng.IntN(3))
					put(t, s, n, d, size)
					if d == OnDisk {
						onDisk = n
					}
					if rng.IntN(20) == 0 {
						if err := s.DB().Flush(); err != nil {
							t.Fatal(err)
						}
					}
				}
				clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(100), RNG: rng})
				mustClose(t, s)
				fs = clone
			}
		})
	}
}

// Crashes while several write and sync and segments go round.
func TestCrashWhileWriting(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "home", fs)
	var mu sync.Mutex // the order of the history
	var last int
	var onDisk atomic.Int64
	write := func(rng *rand.Rand) error {
		b := s.DB().NewBatch()
		mu.Lock()
		last++
		n := last
		err := errors.Join(b.Set(key(n), make([]byte, rng.IntN(5_000)), nil),
			b.Set([]byte("xlast"), []byte{0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, nil))
		c, err2 := s.Begin(b)
		mu.Unlock()
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if rng.IntN(10) > 0 {
			return c.Wait(Handed)
		}
		if err := c.Wait(OnDisk); err != nil {
			return err
		}
		for {
			if was := onDisk.Load(); was >= int64(n) || onDisk.CompareAndSwap(was, int64(n)) {
				return nil
			}
		}
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for rng := rand.New(rand.NewPCG(2, uint64(i))); ; {
				select {
				case <-stop:
					return
				default:
				}
				if err := write(rng); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for range 3 {
		for until := onDisk.Load() + 40; onDisk.Load() < until && !t.Failed(); {
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
		}
		low := onDisk.Load()
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(100), RNG: rng})
		c := mustOpen(t, "home", clone)
		if n := history(t, c); int64(n) < low {
			t.Errorf("%d batches survived, %d were on disk", n, low)
		}
		mustClose(t, c)
	}
	close(stop)
	writers.Wait()
	mustClose(t, s)
}

// What was only handed over to the kernel may go with the power; what is on disk stays, whatever segment
// it is in, and all that came before it.
func TestPowerLossAcrossSegments(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "home", fs)
	n := 0
	fill := func() {
		for segments := len(s.segments()); len(s.segments()) == segments; {
			n++
			put(t, s, n, Handed, smallSegment/4)
		}
	}
	fill()
	fill()
	lost := fs.CrashClone(vfs.CrashCloneCfg{})
	put(t, s, n+1, OnDisk, 10) // in another segment than most of what it needs
	kept := fs.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s)

	s = mustOpen(t, "home", kept)
	if got := history(t, s); got != n+1 {
		t.Fatalf("%d batches survived, %d were on disk", got, n+1)
	}
	mustClose(t, s)
	s = mustOpen(t, "home", lost)
	if got := history(t, s); got == n {
		t.Fatal("nothing was lost: this test tests nothing")
	}
	mustClose(t, s)
}

func (s *Store) segments() []*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(s.behind[:len(s.behind):len(s.behind)], s.cur)
}

// A hole, and what is behind it, is as if it had never been, also after the log went on.
func TestHole(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "home", fs)
	put(t, s, 1, OnDisk, 10)
	for n := 2; n <= 9; n++ {
		put(t, s, n, Handed, smallSegment/4)
	}
	// The kernel wrote the younger segments back, and not the oldest.
	for _, seg := range s.segments()[1:] {
		if err := seg.file.SyncData(); err != nil {
			t.Fatal(err)
		}
	}
	clone := fs.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s)
	for n := 1; n < 4; n++ {
		s = mustOpen(t, "home", clone)
		if got := history(t, s); got != n {
			t.Fatalf("%d batches, want %d", got, n)
		}
		put(t, s, n+1, OnDisk, 10)
		clone = clone.CrashClone(vfs.CrashCloneCfg{})
		mustClose(t, s)
	}
}

// A flipped bit is put right, since the checksum tells which it is; more of them, in what was on disk, are damage, and no shorter history.
func TestFlippedBit(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "home", fs)
	for n := 1; n <= 3; n++ {
		put(t, s, n, OnDisk, 10)
	}
	put(t, s, 4, Handed, 10)
	seg := s.segments()[0]
	path := s.wal.segmentPath(seg.num)
	flip := func(fs vfs.FS, off int64, bits byte) {
		f, err := fs.OpenReadWrite(path, "test")
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		_, err = f.ReadAt(b, off)
		b[0] ^= bits
		_, err2 := f.WriteAt(b, off)
		if err := errors.Join(err, err2, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	found := func(fs vfs.FS) []report.Finding {
		r := report.New(t.Context(), nil)
		if err := VerifyFiles(fs, "copy", r); err != nil {
			t.Fatal(err)
		}
		list, _ := r.Findings()
		return list
	}
	has := func(fs vfs.FS, want int) {
		t.Helper()
		c := mustOpen(t, "copy", fs)
		if n := history(t, c); n != want {
			t.Fatalf("%d batches, want %d", n, want)
		}
		mustClose(t, c)
	}
	for _, off := range []int64{segmentHeader + 30, seg.off - 12} {
		flip(fs, off, 1)
		damaged := copyHome(t, fs)
		if list := found(damaged); len(list) != 1 || list[0].Kind != report.WAL || list[0].Mend != report.Rebuild {
			t.Fatalf("found %+v", list)
		}
		has(copyHome(t, fs), 4)
		if err := MendFiles(damaged, "copy", report.New(t.Context(), nil)); err != nil {
			t.Fatal(err)
		}
		if list := found(damaged); len(list) > 0 {
			t.Fatalf("found %+v in what was mended", list)
		}
		has(damaged, 4)
		flip(fs, off, 1)
	}
	flip(fs, segmentHeader+30, 3)
	if _, err := Open("copy", Options{FS: copyHome(t, fs)}); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	if list := found(copyHome(t, fs)); len(list) != 1 || list[0].Note {
		t.Fatalf("found %+v", list)
	}
	flip(fs, segmentHeader+30, 3)
	flip(fs, seg.off-12, 3) // the last record was not on disk: it is the torn end of the log
	has(copyHome(t, fs), 3)
	mustClose(t, s)
}

// copyHome copies the home as kill -9 leaves it.
func copyHome(t *testing.T, fs vfs.FS) vfs.FS {
	t.Helper()
	to := vfs.NewMem()
	if ok, err := vfs.Clone(fs, to, "home", "copy"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return to
}

// A second process writes, and dies without a word.
func TestKill9(t *testing.T) {
	if home := os.Getenv("STORE_TEST_HOME"); home != "" {
		s := mustOpen(t, home, nil)
		for n := 1; n <= 1000; n++ {
			put(t, s, n, Handed, 3*n)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	home := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill9$")
	cmd.Env = append(os.Environ(), "STORE_TEST_HOME="+home)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v: %s", err, out)
	}
	s := mustOpen(t, home, nil)
	if n := history(t, s); n != 1000 {
		t.Fatalf("%d of 1000 batches survived", n)
	}
	mustClose(t, s)
}

// When Begin has returned, the record is in the file.
func TestHandedIsInTheFile(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	defer mustClose(t, s)
	b := s.DB().NewBatch()
	_ = b.Set([]byte("x"), []byte("a word to be found"), nil)
	c, err := s.Begin(b)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.wal.segmentPath(s.segments()[0].num))
	if err != nil || !bytes.Contains(data, []byte("a word to be found")) {
		t.Fatal("the record is not there", err)
	}
	if err := c.Wait(Handed); err != nil {
		t.Fatal(err)
	}
}
