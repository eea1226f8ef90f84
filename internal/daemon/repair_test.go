package daemon

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// withStore changes a store's database.
func withStore(t *testing.T, home string, fn func(st *store.Store)) {
	t.Helper()
	st, err := store.Open(home, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fn(st)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// dropKind deletes every record of a kind, as records tells it.
func dropKind(t *testing.T, kinds string) func(t *testing.T, home string) {
	return func(t *testing.T, home string) {
		withStore(t, home, func(st *store.Store) {
			all, n := records(t, st), 0
			for _, kind := range strings.Fields(kinds) {
				for _, key := range all[kind] {
					set(t, st, key, nil)
					n++
				}
			}
			if n == 0 {
				t.Fatalf("there are no records of %s", kinds)
			}
		})
	}
}

// TestRepair damages a store in every way that can be mended.
func TestRepair(t *testing.T) {
	t.Parallel()
	whole := aStore(t)
	want := served(t, copyStore(t, whole))
	from := aBackup(t, whole)
	cases := []struct {
		name   string
		damage func(t *testing.T, home string)
		from   bool   // a copy is needed
		kind   string // of what is found
	}{
		{"a lost index", dropKind(t, "b"), false, "index"},
		{"lost records of segments", dropKind(t, "g"), false, "mark"},
		{"a deleted state", dropKind(t, "lsi lsd lsv lsb lsw lsg"), false, "state"},
		{"a deleted kind of the state", dropKind(t, "lsd"), false, "state"},
		{"lost places of frames", dropKind(t, "lm lh"), false, ""},
		{"a lost membership", dropKind(t, "k"), false, "membership"},
		{"lost marks", dropKind(t, "la"), false, "order"},
		{"a lost order", dropKind(t, "rl rv ri rs rk"), false, "raft"},
		{"a damaged order", func(t *testing.T, home string) {
			withStore(t, home, func(st *store.Store) {
				all := records(t, st)["rl"]
				set(t, st, all[len(all)/2], []byte("no entry"))
			})
		}, false, "raft"},
		{"damaged facts", func(t *testing.T, home string) {
			withStore(t, home, func(st *store.Store) { set(t, st, records(t, st)["ly"][3], []byte{7}) })
		}, false, "fact"},
		{"damaged records of the device", func(t *testing.T, home string) {
			withStore(t, home, func(st *store.Store) {
				vol := records(t, st)["lsi"][0][1:17]
				for _, kind := range "LQK" {
					set(t, st, append(append(append([]byte("f"), vol...), byte(kind)), make([]byte, 24)[:map[rune]int{'L': 16, 'Q': 16, 'K': 24}[kind]]...), []byte("none of them"))
				}
			})
		}, false, "local"},
		{"lost frames", dropKind(t, "lf"), true, "frame"},
		{"a damaged table, which the write-ahead log still has", func(t *testing.T, home string) {
			path, size := theFile(t, home, "db/*.sst")
			flipBit(t, path, size/3, 3)
		}, false, "table"},
		{"a missing table, which the write-ahead log still has", func(t *testing.T, home string) {
			path, _ := theFile(t, home, "db/*.sst")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, false, "home"},
		{"a damaged list of tables", func(t *testing.T, home string) {
			path, size := theFile(t, home, "db/MANIFEST*")
			flipBit(t, path, size/2, 3)
		}, false, "manifest"},
		{"a flipped bit of a block", func(t *testing.T, home string) {
			path, _ := theFile(t, home, "segments/*.car")
			flipBit(t, path, 5000, 3)
		}, true, "block"},
		{"a segment's header", func(t *testing.T, home string) {
			path, _ := theFile(t, home, "segments/*.car")
			flipBit(t, path, 7, 3)
		}, false, "segment"},
		{"a cut segment", func(t *testing.T, home string) {
			path, size := theFile(t, home, "segments/*.car")
			if err := os.Truncate(path, size/2); err != nil {
				t.Fatal(err)
			}
		}, true, "segment"},
		{"a missing segment", func(t *testing.T, home string) {
			path, _ := theFile(t, home, "segments/*.car")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, true, "segment"},
	}
	rand.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	if *flipSeconds == 0 {
		cases = cases[:2] // each takes its time
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			home := copyStore(t, whole)
			c.damage(t, home)
			before := sums(t, home)
			rep := verified(t, VerifyOptions{Home: home, Deep: true})
			if rep.Clean || c.kind != "" && !finds(rep, c.kind) {
				t.Fatalf("not found: %s", damage(rep))
			}
			if !maps.Equal(before, sums(t, home)) {
				t.Error("verify changed the store")
			}
			if c.from {
				rep = verified(t, VerifyOptions{Home: home, Repair: true})
				if rep.Clean {
					t.Errorf("mended out of nothing: %s", damage(rep))
				}
			}
			o := VerifyOptions{Home: home, Repair: true}
			if c.from {
				o.From = from
			}
			rep = verified(t, o)
			if !rep.Clean {
				t.Fatalf("not mended: %s", damage(rep))
			}
			got := served(t, copyStore(t, home))
			goesOn(t, home)
			if !maps.Equal(got, want) {
				t.Errorf("after the repair there is %v, and was %v", got, want)
			}
		})
	}
}

// goesOn writes to a store that was mended, and finds nothing wrong with it then.
func goesOn(t *testing.T, home string) {
	t.Helper()
	d := opened(t, home)
	write(t, d, volume(t, d, "notes"), "after the repair", make([]byte, 5000))
	committed(t, d)
	shut(t, d)
	if rep := verified(t, VerifyOptions{Home: home, Deep: true}); !rep.Clean {
		t.Errorf("after the repair a file was written, and then: %s", damage(rep))
	}
}

// aBackup makes a backup of a store.
func aBackup(t *testing.T, whole string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	err := Backup(t.Context(), Options{Home: copyStore(t, whole)}, control.BackupRequest{Dir: control.Name(dir)}, func(control.BackupEvent) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func finds(rep control.VerifyReport, kind string) bool {
	for _, f := range rep.Findings {
		if f.Kind == kind && !f.Note {
			return true
		}
	}
	return false
}

// TestSalvage damages a part of the only table, when no log has it any more: what can be read stays, what follows is made anew, and of the
// rest nothing is wrong without being named.
func TestSalvage(t *testing.T) {
	t.Parallel()
	whole := aStore(t)
	want := served(t, copyStore(t, whole))
	from := aBackup(t, whole)
	_, size := theFile(t, whole, "db/*.sst")
	for try := range 2 + int64(*flipSeconds) {
		at := rand.Int64N(size)
		home := copyStore(t, whole)
		path, _ := theFile(t, home, "db/*.sst")
		flipBit(t, path, at, 5)
		logs, err := filepath.Glob(filepath.Join(home, "wal", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, log := range logs {
			if err := os.Remove(log); err != nil {
				t.Fatal(err)
			}
		}
		rep := verified(t, VerifyOptions{Home: home, Repair: true, From: from})
		if rep.Clean {
			t.Errorf("byte %d of %d: what was in the damaged block is nowhere, and nothing is said of it", at, size)
		}
		again := verified(t, VerifyOptions{Home: home, Deep: true})
		t.Logf("try %d: byte %d of %d: clean %v: %s", try, at, size, rep.Clean, damage(rep))
		got := served(t, copyStore(t, home))
		if got == nil && again.Clean {
			t.Errorf("byte %d of %d: said to be clean, and a start refuses it", at, size)
		}
		for name, is := range got {
			if is != want[name] && is != "error" {
				t.Errorf("byte %d of %d: %s is %s, and was %s", at, size, name, is, want[name])
			}
		}
		if again.Clean && !maps.Equal(got, want) {
			t.Errorf("byte %d of %d: said to be clean, and there is %v, and was %v", at, size, got, want)
		}
	}
}
