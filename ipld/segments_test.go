package ipld_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	carv2 "github.com/ipld/go-car/v2"
	carstore "github.com/ipld/go-car/v2/blockstore"

	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/ipfs"
	"github.com/rhizome-fs/rhizome/ipld/storetest"
)

// A home is a store with blocks, which closes with the test or before.
type home struct {
	t  testing.TB
	st *store.Store
	*ipld.Segments
}

func openHome(t testing.TB, fs vfs.FS, dir string, o ipld.SegmentOptions) *home {
	t.Helper()
	st, err := store.Open(dir, store.Options{FS: fs, FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	segs, err := ipld.OpenSegments(st, o)
	if err != nil {
		t.Fatal(err)
	}
	h := &home{t, st, segs}
	t.Cleanup(h.close)
	return h
}

func (h *home) close() {
	if h.st == nil {
		return
	}
	err := errors.Join(h.Segments.Close(), h.st.Close())
	h.st = nil
	if err != nil {
		h.t.Error(err)
	}
}

// segmentFiles returns the paths of dir's segments, in their order.
func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "segments", "*.car"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestStores(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) ipld.Store{
		"memory":   func(*testing.T) ipld.Store { return ipld.NewMemory() },
		"segments": func(t *testing.T) ipld.Store { return openHome(t, nil, t.TempDir(), ipld.SegmentOptions{}).Segments },
		"small segments": func(t *testing.T) ipld.Store {
			return openHome(t, nil, t.TempDir(), ipld.SegmentOptions{Size: 10_000, Unsynced: 30_000, Open: 2}).Segments
		},
		"memory through boxo": func(*testing.T) ipld.Store { return ipfs.Store(ipfs.Blockstore(ipld.NewMemory())) },
		"segments through boxo": func(t *testing.T) ipld.Store {
			return ipfs.Store(ipfs.Blockstore(openHome(t, nil, t.TempDir(), ipld.SegmentOptions{Size: 10_000}).Segments))
		},
	} {
		t.Run(name, func(t *testing.T) { storetest.Run(t, open) })
	}
}

func putBlocks(t testing.TB, st ipld.Store, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := st.Put(storetest.Block(n)); err != nil {
			t.Fatal(err)
		}
	}
}

func checkBlocks(t testing.TB, st ipld.Store, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		want := storetest.Block(n)
		if got, err := st.Get(want.CID); err != nil || !bytes.Equal(got.Data, want.Data) {
			t.Fatalf("block %d: %v", n, err)
		}
	}
}

func TestSegmentsReopen(t *testing.T) {
	dir := t.TempDir()
	o := ipld.SegmentOptions{Size: 100_000}
	for n := range 5 {
		h := openHome(t, nil, dir, o)
		checkBlocks(t, h, 0, n*100)
		putBlocks(t, h, n*100, n*100+100)
		h.close()
	}
	h := openHome(t, nil, dir, o)
	checkBlocks(t, h, 0, 500)
	if d := h.Damage(); len(d) != 0 {
		t.Error(d)
	}
	before, _ := h.Stats()
	putBlocks(t, h, 0, 500)
	if after, _ := h.Stats(); after != before || before < 5 {
		t.Errorf("%d segments became %d", before, after)
	}
}

func TestStockGoCarReadsSegments(t *testing.T) {
	dir := t.TempDir()
	h := openHome(t, nil, dir, ipld.SegmentOptions{Size: 100_000})
	putBlocks(t, h, 0, 300)
	h.close()
	found := map[string]bool{}
	for _, name := range segmentFiles(t, dir) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := carv2.NewBlockReader(f)
		if err != nil {
			t.Fatal(err)
		}
		for {
			b, err := r.Next() // checks the hash
			if err != nil {
				break
			}
			found[b.Cid().String()] = true
		}
		f.Close()
		ro, err := carstore.OpenReadOnly(name)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := ro.AllKeysChan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range keys {
			n++
		}
		if n == 0 {
			t.Errorf("%s: go-car finds no block", name)
		}
		ro.Close()
	}
	for n := range 300 {
		if c := storetest.Block(n).CID; !found[ipld.Format(c)] {
			t.Errorf("go-car does not find block %d", n)
		}
	}
}

func TestDamagedSegments(t *testing.T) {
	fill := func(t *testing.T) (string, []string) {
		dir := t.TempDir()
		h := openHome(t, nil, dir, ipld.SegmentOptions{Size: 100_000})
		putBlocks(t, h, 0, 300)
		h.close()
		return dir, segmentFiles(t, dir)
	}
	// count reads everything: a block is right, or ErrDamaged.
	count := func(t *testing.T, h *home) (damaged int) {
		for n := range 300 {
			want := storetest.Block(n)
			got, err := h.Get(want.CID)
			switch {
			case errors.Is(err, ipld.ErrDamaged):
				damaged++
				if ok, err := h.Has(want.CID); ok || err != nil {
					t.Errorf("a damaged block is here: %v, %v", ok, err)
				}
			case err != nil || !bytes.Equal(got.Data, want.Data):
				t.Errorf("block %d: %v", n, err)
			}
		}
		return damaged
	}
	for name, tc := range map[string]struct {
		damage func(t *testing.T, files []string)
		atOpen bool // it is seen at once
	}{
		"missing": {func(t *testing.T, files []string) { must(t, os.Remove(files[1])) }, true},
		"cut":     {func(t *testing.T, files []string) { must(t, os.Truncate(files[1], 50_000)) }, true},
		"emptied": {func(t *testing.T, files []string) { must(t, os.Truncate(files[1], 0)) }, true},
		"the last is missing": {func(t *testing.T, files []string) {
			must(t, os.Remove(files[len(files)-1]))
		}, true},
		"the last is cut": {func(t *testing.T, files []string) {
			must(t, os.Truncate(files[len(files)-1], 3000))
		}, true},
		"a flipped bit": {func(t *testing.T, files []string) { flip(t, files[1], 40_000) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir, files := fill(t)
			tc.damage(t, files)
			h := openHome(t, nil, dir, ipld.SegmentOptions{Size: 100_000})
			if got := len(h.Damage()) > 0; got != tc.atOpen {
				t.Errorf("damage at the start: %v", h.Damage())
			}
			damaged := count(t, h)
			if damaged == 0 || damaged == 300 || len(h.Damage()) == 0 {
				t.Fatalf("%d of 300 blocks damaged; %v", damaged, h.Damage())
			}
			putBlocks(t, h, 0, 300) // heals
			if n := count(t, h); n != 0 {
				t.Errorf("%d blocks damaged after they were put again", n)
			}
			all := func(yield func(ipld.CID) error) error {
				for n := range 300 {
					if storetest.Block(n).CID.Codec() == ipld.Raw {
						must(t, yield(storetest.Block(n).CID))
					}
				}
				return nil
			}
			if _, err := h.Collect(context.Background(), all); err != nil {
				t.Fatal(err)
			}
			h.close()
			h = openHome(t, nil, dir, ipld.SegmentOptions{Size: 100_000})
			for n := range 300 {
				if b := storetest.Block(n); b.CID.Codec() == ipld.Raw {
					checkBlocks(t, h, n, n+1)
				}
			}
		})
	}
}

func flip(t testing.TB, name string, at int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	b[at] ^= 1
	must(t, os.WriteFile(name, b, 0o600))
}

func TestFlippedBitInContent(t *testing.T) {
	dir := t.TempDir()
	h := openHome(t, nil, dir, ipld.SegmentOptions{})
	s := ipld.NewSealer([32]byte{1}, [32]byte{2})
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	for i := range data {
		data[i] ^= byte(i*i>>7) + byte(i>>13)
	}
	c, err := s.Write(context.Background(), h, bytes.NewReader(data), int64(len(data)))
	must(t, err)
	h.close()
	files := segmentFiles(t, dir)
	info, err := os.Stat(files[0])
	must(t, err)
	for at := int64(100); at < info.Size(); at += info.Size() / 7 {
		flip(t, files[0], at)
		h := openHome(t, nil, dir, ipld.SegmentOptions{})
		got := make([]byte, len(data))
		n, err := ipld.OpenContent(h, c).ReadAt(got, 0)
		if !bytes.Equal(got[:n], data[:n]) || n < len(data) && !errors.Is(err, ipld.ErrDamaged) {
			t.Errorf("bit at %d: %d bytes, %v", at, n, err)
		}
		if n < len(data) && len(h.Damage()) != 1 {
			t.Errorf("bit at %d: damage is %v", at, h.Damage())
		}
		h.close()
		flip(t, files[0], at)
	}
}

// Few files are open, however many segments there are.
func TestOpenFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	h := openHome(t, nil, dir, ipld.SegmentOptions{Size: 1000, Open: 4})
	putBlocks(t, h, 0, 200)
	must(t, h.Sync())
	checkBlocks(t, h, 0, 200)
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	open := 0
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && filepath.Dir(name) == filepath.Join(dir, "segments") {
			open++
		}
	}
	if segments, _ := h.Stats(); segments < 50 || open > 5 {
		t.Errorf("%d segments, %d open", segments, open)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
