package daemon

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// aBusyStore is a copy of a store while programs are at work: with versions that are not sealed, an edit that goes on, events in no frame.
func aBusyStore(t *testing.T) string {
	t.Helper()
	home := t.TempDir() + "/store"
	d := opened(t, home)
	notes := volume(t, d, "notes")
	write(t, d, notes, "early", []byte("early"))
	tidied(t, d, 0, false)
	tidied(t, d, days30+day, false) // frames are gone
	fill(t, d)
	committed(t, d)
	openEdit(t, d, notes, "open", 1000)        // in the log
	openEdit(t, d, notes, "open too", 400_000) // in a spill file
	for i := range 4 {
		write(t, d, notes, fmt.Sprintf("late%d", i), bytes.Repeat([]byte{byte(i)}, 20_000+i*200_000))
	}
	// A copy takes a moment, in which the daemon may go on: only one that is of one moment is what a kill would leave.
	for range 20 {
		if copied := copyStore(t, home); verified(t, VerifyOptions{Home: copied, Deep: true}).Clean {
			return copied
		}
	}
	t.Fatal("the daemon never stood still")
	return ""
}

// openEdit begins an edit of a new file, syncs it, and goes on: with an fsync for a few bytes, and without one.
func openEdit(t *testing.T, d *daemon, dir fs.NodeID, name string, size int) {
	t.Helper()
	e, err := d.fs.Create(dir, name, 0o644, true, fs.Cred{})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct{ off, size int }{{0, size}, {size / 2, size / 4}, {size / 3, 300}} {
		if _, err := d.fs.Write(e.Node, bytes.Repeat([]byte{byte(part.size), 'e'}, part.size/2), int64(part.off)); err != nil {
			t.Fatal(err)
		}
		if part.size == 300 {
			return
		}
		if err := d.fs.Fsync(e.Node); err != nil {
			t.Fatal(err)
		}
	}
}

// records lists the keys of a store by what they are of.
func records(t *testing.T, st *store.Store) map[string][][]byte {
	t.Helper()
	all := map[string][][]byte{}
	it, err := st.DB().NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		kind := string(key[:1])
		if at := map[byte]int{'l': 17, 'f': 17, 'r': 33}[key[0]]; at > 0 && len(key) > at {
			kind += string(key[at : at+1])
			if key[at] == 's' && key[0] == 'l' || key[at] == 'T' && key[0] == 'f' {
				kind += string(key[at+1 : at+2])
			}
		}
		all[kind] = append(all[kind], slices.Clone(key))
	}
	return all
}

// checkOpen verifies what an open store has in its database.
func checkOpen(t *testing.T, st *store.Store, home string) *verifier {
	t.Helper()
	v := newVerifier(t.Context(), home, vfs.Default, true, nil, nil)
	v.st, v.db = st, st.DB()
	if blocks, err := ipld.OpenSegments(st, ipld.SegmentOptions{}); err == nil { // else it is told below
		v.blocks = blocks
		defer func() {
			if err := blocks.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	if err := v.segments(); err != nil {
		t.Fatal(err)
	}
	if err := v.identities(); err != nil {
		t.Fatal(err)
	}
	return v
}

func set(t *testing.T, st *store.Store, key, val []byte) {
	t.Helper()
	b := st.DB().NewBatch()
	err := b.Set(key, val, nil)
	if val == nil {
		err = b.Delete(key, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Commit(b, store.Applied); err != nil {
		t.Fatal(err)
	}
}

// unprotected is where a bit may change without anybody's being able to tell: times, and what nothing else says.
var unprotected = map[string]string{
	"s":   "the position: a start would apply records twice, which changes nothing",
	"fL":  "ctime, atime and st_ino are this device's alone, and nothing else says them",
	"fJ":  "an edit that goes on has no checksum but that of the table",
	"fK":  "an edit that goes on has no checksum but that of the table",
	"fC":  "checksums of pages that the edit has not",
	"fP":  "its times, and which versions it replaces, are in the held event too, and are not compared",
	"fQ":  "bytes that are not sealed have no checksum but that of the table",
	"lk":  "when a checkpoint was made, and how many bytes it has",
	"ly":  "what was behind a key is nowhere else",
	"lx":  "how fine history is, is nowhere else",
	"lr":  "when an era began is nowhere else",
	"li":  "the footprint: reads and scans",
	"lz":  "the footprint: reads and scans",
	"lu":  "an event that is in no frame has no checksum but that of the table",
	"rl":  "a time and a term",
	"rs":  "an index and a term",
	"ri":  "a name",
	"rv":  "a term and a vote",
	"la":  "this device's incarnation, and which events are framed as they are",
	"g":   "a mark that is too low costs nothing",
	"fTi": "device-local times",
	"fTv": "device-local times",
}

// TestVerifyNamesEachKindOfRecord flips bits of the records of each kind behind the tables' checksums, as a fault of the program would.
func TestVerifyNamesEachKindOfRecord(t *testing.T) {
	t.Parallel()
	home := aBusyStore(t)
	st, err := store.Look(home, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	// As a start does: what is behind the segments' marks is entered.
	blocks, err := ipld.OpenSegments(st, ipld.SegmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := blocks.Close(); err != nil {
		t.Fatal(err)
	}
	if found, _ := checkOpen(t, st, home).r.Findings(); len(damaged(found)) > 0 {
		t.Fatalf("before: %+v", found)
	}
	all := records(t, st)
	t.Log(kinds(all))
	seed := seeded(t, 152) // it draws kinds of three packages
	rng := rand.New(rand.NewPCG(seed, 6))
	some := kinds(all)
	rng.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	if *flipSeconds == 0 {
		some = some[:3]
	}
	for _, kind := range some {
		for range 1 + *flipSeconds/10 {
			key := all[kind][rng.IntN(len(all[kind]))]
			was, closer, err := st.DB().Get(key)
			if err != nil {
				t.Fatal(err)
			}
			val := slices.Clone(was)
			closer.Close()
			if len(val) == 0 {
				continue
			}
			bad := slices.Clone(val)
			at := rng.IntN(8 * len(bad))
			bad[at/8] ^= 1 << (at % 8)
			set(t, st, key, bad)
			found, _ := checkOpen(t, st, home).r.Findings()
			if len(damaged(found)) == 0 && unprotected[kind] != "" {
				t.Logf("kind %q: bit %d of %x: %s", kind, at, val, unprotected[kind])
			} else if len(damaged(found)) == 0 {
				t.Errorf("kind %q, key %x: bit %d of %x is flipped, and nothing is said", kind, key, at, val)
			}
			set(t, st, key, val)
		}
	}
	// A record that is gone.
	for _, kind := range some {
		key := all[kind][rng.IntN(len(all[kind]))]
		val, closer, err := st.DB().Get(key)
		if err != nil {
			t.Fatal(err)
		}
		val = slices.Clone(val)
		closer.Close()
		set(t, st, key, nil)
		found, _ := checkOpen(t, st, home).r.Findings()
		if len(damaged(found)) == 0 && !strings.Contains("s fL fJ fK fV ly lx lr ri rs rv g", kind) {
			t.Errorf("kind %q, key %x is gone, and nothing is said", kind, key)
		}
		set(t, st, key, append([]byte{}, val...))
	}
}

func kinds(all map[string][][]byte) (list []string) {
	for kind := range all {
		list = append(list, kind)
	}
	slices.Sort(list)
	return list
}

// damaged leaves notes out.
func damaged(found []report.Finding) (list []report.Finding) {
	for _, f := range found {
		if !f.Note {
			list = append(list, f)
		}
	}
	return list
}
