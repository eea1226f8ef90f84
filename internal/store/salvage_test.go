package store

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// aDatabase is a store whose database has become tables a few times, some of which were merged.
func aDatabase(t *testing.T, disk vfs.FS) *Store {
	t.Helper()
	s := mustOpen(t, "home", disk)
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range 12 {
		for range 50 {
			put(t, s, rng.IntN(1000), Applied, 100)
		}
		s.Settle()
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		if round%5 == 4 {
			if err := s.db.Compact(context.Background(), []byte("a"), []byte("z"), false); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// The list of tables says of them what the database says.
func TestTableList(t *testing.T) {
	disk := vfs.NewMem()
	s := aDatabase(t, disk)
	defer mustClose(t, s)
	levels, err := s.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint64]string{}
	for _, level := range levels {
		for _, table := range level {
			want[uint64(table.BackingSSTNum)] = fmt.Sprintf("%q %q", table.Smallest.UserKey, table.Largest.UserKey)
		}
	}
	l, err := readTableList(disk, "home/db")
	if err != nil || !l.whole {
		t.Fatal(err, l)
	}
	got := map[uint64]string{}
	for n, keys := range l.live {
		got[n] = fmt.Sprintf("%q %q", keys.From, keys.To)
	}
	if len(want) == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the list has %v, the database %v", got, want)
	}
	for n := range l.live {
		if n >= l.next {
			t.Errorf("table %d is named, and %d is next", n, l.next)
		}
	}
}

// A list that is cut anywhere, or has a flipped bit, is read as far as it goes, and nothing panics.
func TestTableListDamaged(t *testing.T) {
	disk := vfs.NewMem()
	mustClose(t, aDatabase(t, disk))
	l, err := readTableList(disk, "home/db")
	if err != nil {
		t.Fatal(err)
	}
	data := readFile(t, disk, l.path)
	for at := range data {
		bad := slices.Clone(data)
		bad[at] ^= 1 << (at % 8)
		for _, bad := range [][]byte{data[:at], bad} {
			if err := WriteFile(disk, l.path, bad); err != nil {
				t.Fatal(err)
			}
			if got, err := readTableList(disk, "home/db"); err == nil && got == nil {
				t.Fatal("neither a list nor an error")
			}
		}
	}
}

func readFile(t *testing.T, disk vfs.FS, path string) []byte {
	t.Helper()
	f, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A salvage does not bring back what was deleted, though an old table that nobody needs any more still has it. It says what it
// left unread, and of a table that is missing which keys were in it.
func TestSalvageLeavesTheDeleted(t *testing.T) {
	disk := vfs.NewMem()
	s := mustOpen(t, "home", disk)
	put(t, s, 1, Applied, 0)
	put(t, s, 2, Applied, 0)
	s.Settle()
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	old := map[string][]byte{}
	names, err := disk.List("home/db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, tableSuffix) {
			old[name] = readFile(t, disk, "home/db/"+name)
		}
	}
	b := s.db.NewBatch()
	if err := b.Delete(key(1), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(b, Applied); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(context.Background(), []byte("a"), []byte("z"), false); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if err := disk.RemoveAll("home/wal"); err != nil {
		t.Fatal(err)
	}
	for name, data := range old {
		if err := WriteFile(disk, "home/db/"+name, data); err != nil {
			t.Fatal(err)
		}
	}
	r := report.New(t.Context(), nil)
	if err := Salvage(disk, "home", r); err != nil || r.Damaged() > 0 {
		t.Fatal(err)
	}
	told, _ := r.Findings()
	if !strings.Contains(fmt.Sprint(told), "does not name it any more") {
		t.Errorf("nobody tells of the table that was not read: %v", told)
	}
	s = mustOpen(t, "home", disk)
	if _, closer, err := s.DB().Get(key(1)); err == nil {
		closer.Close()
		t.Error("a deleted record is back")
	}
	if _, closer, err := s.DB().Get(key(2)); err != nil {
		t.Error("a record is lost:", err)
	} else {
		closer.Close()
	}
	if lost, err := s.Lost(); err != nil || len(lost) > 0 {
		t.Errorf("nothing is lost but %v, %v", lost, err)
	}
	mustClose(t, s)

	l, err := readTableList(disk, "home/db")
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.RemoveAll("home/wal"); err != nil {
		t.Fatal(err)
	}
	for n := range l.live {
		if err := disk.Remove("home/db/" + tableName(n)); err != nil {
			t.Fatal(err)
		}
	}
	r = report.New(t.Context(), nil)
	if err := Salvage(disk, "home", r); err != nil || r.Damaged() == 0 {
		t.Fatal(err)
	}
	s = mustOpen(t, "home", disk)
	defer mustClose(t, s)
	if lost, err := s.Lost(); err != nil || len(lost) == 0 || string(lost[0].To) < string(key(2)) {
		t.Errorf("all tables are missing: %v, %v", err, lost)
	}
	if err := s.ForgetLost(); err != nil {
		t.Fatal(err)
	}
	if lost, err := s.Lost(); err != nil || len(lost) > 0 {
		t.Errorf("what was dealt with is %v, %v", lost, err)
	}
}
