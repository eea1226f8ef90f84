package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// smallSegment makes segments go round often.
const smallSegment = 64 << 10

func mustOpen(t testing.TB, home string, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(home, Options{FS: fs, FlushEvery: -1, segmentSize: smallSegment})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// entry is the n-th batch of the tests' history: it sets key n, and one key that every batch sets.
func entry(t testing.TB, s *Store, n, size int) *pebble.Batch {
	t.Helper()
	b := s.db.NewBatch()
	val := make([]byte, 8+size)
	binary.BigEndian.PutUint64(val, uint64(n))
	if err := errors.Join(b.Set(key(n), val, nil), b.Set([]byte("xlast"), val[:8], nil)); err != nil {
		t.Fatal(err)
	}
	return b
}

// put commits the n-th batch.
func put(t testing.TB, s *Store, n int, d Durability, size int) {
	t.Helper()
	if err := s.Commit(entry(t, s, n, size), d); err != nil {
		t.Fatal(err)
	}
}

func key(n int) []byte { return fmt.Appendf(nil, "x/%08d", n) }

// history returns how many batches of the history the store holds, and fails unless they are a prefix.
func history(t testing.TB, s *Store) int {
	t.Helper()
	it, err := s.DB().NewIter(&pebble.IterOptions{LowerBound: []byte("x/"), UpperBound: []byte("x0")})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for it.First(); it.Valid(); it.Next() {
		n++
		if string(it.Key()) != string(key(n)) {
			t.Fatalf("batch %d is missing: found %s", n, it.Key())
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	val, closer, err := s.DB().Get([]byte("xlast"))
	if n == 0 && errors.Is(err, pebble.ErrNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if last := int(binary.BigEndian.Uint64(val)); last != n {
		t.Fatalf("there are batches 1 to %d, but the last one was %d", n, last)
	}
	return n
}

func TestReopen(t *testing.T) {
	home := filepath.Join(t.TempDir(), "new", "home")
	for i := range 3 {
		s := mustOpen(t, home, nil)
		if got := history(t, s); got != 100*i {
			t.Fatalf("open %d: %d batches", i, got)
		}
		for n := range 100 {
			put(t, s, 100*i+n+1, Durability(n%3), 10)
		}
		mustClose(t, s)
	}
	info, err := os.Stat(home)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatal(info.Mode(), err)
	}
	if err := mustOpen(t, home, nil).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMovedHome(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "a"), nil)
	put(t, s, 1, Handed, 10)
	mustClose(t, s)
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, filepath.Join(dir, "b"), nil)
	defer mustClose(t, s)
	if history(t, s) != 1 {
		t.Fatal("the moved store is empty")
	}
}

func TestInUse(t *testing.T) {
	home := t.TempDir()
	s := mustOpen(t, home, nil)
	_, err := Open(home, Options{})
	var use *InUseError
	if !errors.As(err, &use) || use.PID != os.Getpid() {
		t.Fatal(err)
	}
	mustClose(t, s)
	mustClose(t, mustOpen(t, home, nil))

	mem := vfs.NewMem()
	s = mustOpen(t, "home", mem)
	if _, err := Open("home", Options{FS: mem}); !errors.As(err, &use) {
		t.Fatal(err)
	}
	mustClose(t, s)
}

func TestRefusedHomes(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		check            func(error) bool
	}{
		{"not a store", "letter.txt", "hello", func(err error) bool { return errors.Is(err, ErrNotStore) }},
		{"newer", "FORMAT", "rhizome store 2\n", isVersion(`"2"`)},
		{"zero", "FORMAT", "rhizome store 0\n", isVersion(`"0"`)},
		{"not a number", "FORMAT", "rhizome store x\n", isVersion(`"x"`)},
		{"garbage", "FORMAT", "\x00\xff", isVersion(`"\x00\xff"`)},
		{"empty", "FORMAT", "", isVersion(`""`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			if err := os.WriteFile(filepath.Join(home, c.file), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(home, Options{})
			if !c.check(err) {
				t.Fatal(err)
			}
			names, err := os.ReadDir(home)
			text, _ := os.ReadFile(filepath.Join(home, c.file))
			if err != nil || len(names) != 1 || string(text) != c.text {
				t.Fatalf("the refused directory was changed: %v %v", names, err)
			}
		})
	}
}

func isVersion(found string) func(error) bool {
	return func(err error) bool {
		var v *VersionError
		return errors.As(err, &v) && v.Found == found && v.Known == Version
	}
}

func TestFullAtStart(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "home", fs)
	put(t, s, 1, OnDisk, 10)
	mustClose(t, s)
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 40})
	if _, err := Open("home", Options{FS: fs}); !errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 39, TotalBytes: 1 << 40})
	s, err := Open("home", Options{FS: fs, FlushEvery: -1, segmentSize: smallSegment, again: time.Millisecond, now: hurried()})
	if err != nil {
		t.Fatal(err)
	}
	if history(t, s) != 1 {
		t.Fatal("lost")
	}
	until(t, "the reserve is made", func() bool { return !s.reserve.missing() })
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 40})
	s.keeper.look()
	until(t, "a full disk is told", func() bool { return s.Health() != nil })
	n := 1
	for err = nil; err == nil && n < 100; n++ {
		err = try(s, n+1, Applied, smallSegment/8)
	}
	if n--; n < 2 || !errors.Is(err, ErrNoSpace) { // what the log has room for is taken
		t.Fatal(n, err)
	}
	if !s.reserve.missing() {
		t.Fatal("a commit is refused while there is a reserve")
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 39, TotalBytes: 1 << 40})
	put(t, s, n+1, Applied, 1)
	well(t, s)
	if history(t, s) != n+1 {
		t.Fatal("lost")
	}
	mustClose(t, s)
}

// hurried is a clock that goes on by a second whenever it is asked.
func hurried() func() time.Time {
	var asked atomic.Int64
	return func() time.Time { return time.Unix(asked.Add(1), 0) }
}

// until waits for what the store does in the background.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for tries := 0; !ok(); time.Sleep(time.Millisecond) {
		if tries++; tries > 60_000 { // tries, not time, in which the machine may have stood still
			t.Fatal("never:", what)
		}
	}
}

func TestMissingTable(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "home", fs)
	put(t, s, 1, OnDisk, 10)
	mustClose(t, s)
	names, err := fs.List("home/db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if filepath.Ext(name) == ".sst" {
			if err := fs.Remove("home/db/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Open("home", Options{FS: fs}); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}
