package ipld_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/storetest"
)

// yields returns a reachable that yields some blocks.
func yields(cids ...ipld.CID) func(func(ipld.CID) error) error {
	return func(yield func(ipld.CID) error) error {
		for _, c := range cids {
			if err := yield(c); err != nil {
				return err
			}
		}
		return nil
	}
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(b)
	return b
}

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	h := openHome(t, nil, dir, ipld.SegmentOptions{Size: 1 << 20})
	s := ipld.NewSealer([32]byte{1}, [32]byte{2})
	write := func(data []byte) ipld.Content {
		c, err := s.Write(context.Background(), h, bytes.NewReader(data), int64(len(data)))
		must(t, err)
		return c
	}
	keep, drop := random(1, 10<<20), random(2, 20<<20)
	kept := write(keep)
	dropped := write(drop)
	_, before := h.Stats()
	// A root is enough: collecting walks below it.
	freed, err := h.Collect(context.Background(), yields(kept.Root.CID))
	must(t, err)
	_, after := h.Stats()
	if freed < 19<<20 || before-after != freed {
		t.Errorf("freed %d bytes; %d became %d", freed, before, after)
	}
	check := func() {
		t.Helper()
		got := make([]byte, len(keep))
		if _, err := ipld.OpenContent(h, kept).ReadAt(got, 0); err != nil || !bytes.Equal(got, keep) {
			t.Errorf("what was kept: %v", err)
		}
		if _, err := ipld.OpenContent(h, dropped).ReadAt(got, 0); !errors.Is(err, ipld.ErrNotFound) {
			t.Errorf("what was dropped: %v", err)
		}
		if d := h.Damage(); len(d) != 0 {
			t.Error(d)
		}
	}
	check()
	h.close()
	h = openHome(t, nil, dir, ipld.SegmentOptions{Size: 1 << 20})
	check()
	checkCARs(t, h.st.FS(), dir)
	if freed, err := h.Collect(context.Background(), yields(kept.Root.CID)); freed != 0 || err != nil {
		t.Errorf("a second collection freed %d bytes: %v", freed, err)
	}
	if freed, err := h.Collect(context.Background(), yields()); freed < 10<<20 || err != nil {
		t.Errorf("a last collection freed %d bytes: %v", freed, err)
	}
	if n, bytes := h.Stats(); n > 1 || bytes > 1<<10 {
		t.Errorf("%d segments of %d bytes are left", n, bytes)
	}
}

// Churn of one file leaves the store as large as the file, give or take.
func TestChurnDoesNotFillTheDisk(t *testing.T) {
	h := openHome(t, nil, t.TempDir(), ipld.SegmentOptions{Size: 4 << 20})
	s := ipld.NewSealer([32]byte{1}, [32]byte{2})
	data := random(1, 6<<20)
	c, err := s.Write(context.Background(), h, bytes.NewReader(data), int64(len(data)))
	must(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	var written, most int64
	for round := range 200 {
		off := rng.IntN(len(data) - 4096)
		copy(data[off:], random(uint64(round), 4096))
		_, before := h.Stats()
		c, err = s.Update(context.Background(), h, c, int64(len(data)), []ipld.Range{{Off: int64(off), Len: 4096}}, bytes.NewReader(data))
		must(t, err)
		_, after := h.Stats()
		written += after - before
		if round%20 == 19 {
			_, err := h.Collect(context.Background(), yields(c.Root.CID))
			must(t, err)
			_, now := h.Stats()
			most = max(most, now)
		}
	}
	got := make([]byte, len(data))
	if _, err := ipld.OpenContent(h, c).ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file: %v", err)
	}
	if most > 20<<20 || written < 10<<20 {
		t.Errorf("a file of 6 MiB takes %d bytes after %d were written", most, written)
	}
}

func TestCollectStops(t *testing.T) {
	h := openHome(t, nil, t.TempDir(), ipld.SegmentOptions{Size: 10_000})
	putBlocks(t, h, 0, 200)
	_, before := h.Stats()
	failing := errors.New("the state can't be read")
	if _, err := h.Collect(context.Background(), func(func(ipld.CID) error) error { return failing }); !errors.Is(err, failing) {
		t.Errorf("reachable fails: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Collect(ctx, yields()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// A block with children that is no envelope: what is below it can't be known.
	if _, err := h.Collect(context.Background(), yields(storetest.Block(3).CID)); !errors.Is(err, ipld.ErrDamaged) {
		t.Errorf("a damaged node: %v", err)
	}
	if _, after := h.Stats(); after != before {
		t.Errorf("%d bytes became %d", before, after)
	}
	// What is not here needs nothing.
	if freed, err := h.Collect(context.Background(), yields(storetest.Block(999).CID)); freed == 0 || err != nil {
		t.Errorf("a block that is not here: %d, %v", freed, err)
	}
}

func TestHold(t *testing.T) {
	h := openHome(t, nil, t.TempDir(), ipld.SegmentOptions{Size: 10_000})
	raw := func(from, to int) (out []int) {
		for n := from; n < to; n++ {
			if storetest.Block(n).CID.Codec() == ipld.Raw {
				out = append(out, n)
			}
		}
		return out
	}
	putBlocks(t, h, 0, 100)
	release := h.Hold()
	putBlocks(t, h, 50, 150) // half of them are there
	for range 2 {
		_, err := h.Collect(context.Background(), yields())
		must(t, err)
		for _, n := range raw(50, 150) {
			checkBlocks(t, h, n, n+1)
		}
	}
	if ok, _ := h.Has(storetest.Block(1).CID); ok {
		t.Error("what nobody holds was kept")
	}
	release()
	_, err := h.Collect(context.Background(), yields())
	must(t, err)
	for _, n := range raw(50, 150) {
		if ok, _ := h.Has(storetest.Block(n).CID); ok {
			t.Fatalf("block %d was kept for nobody", n)
		}
	}
}

// What is put or found while a collection runs is kept, whenever it comes.
func TestPutWhileCollecting(t *testing.T) {
	h := openHome(t, nil, t.TempDir(), ipld.SegmentOptions{Size: 20_000, Open: 4})
	for round := range 10 {
		putBlocks(t, h, 0, 300)
		var mu sync.Mutex
		kept := map[int]bool{}
		var wg sync.WaitGroup
		_, err := h.Collect(context.Background(), func(func(ipld.CID) error) error {
			for w := range 2 { // they go on while segments are rewritten
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(round), uint64(w)))
					for range 150 {
						n := rng.IntN(400)
						if err := h.Put(storetest.Block(n)); err != nil {
							t.Error(err)
							return
						}
						if got, err := h.Get(storetest.Block(n).CID); err != nil || !bytes.Equal(got.Data, storetest.Block(n).Data) {
							t.Errorf("block %d: %v", n, err)
						}
						mu.Lock()
						kept[n] = true
						mu.Unlock()
					}
				})
			}
			return nil
		})
		must(t, err)
		mu.Lock()
		now := make([]int, 0, len(kept))
		for n := range kept {
			now = append(now, n)
		}
		mu.Unlock()
		for _, n := range now {
			checkBlocks(t, h, n, n+1)
		}
		wg.Wait()
		if d := h.Damage(); len(d) != 0 {
			t.Fatal(d)
		}
	}
}

// A block that was dead when its segment was read, and that Put finds before the segment goes, lives.
func TestPutFindsWhatIsBeingDropped(t *testing.T) {
	var hook func()
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".car") && hook != nil {
			run := hook
			hook = nil
			run()
		}
		return nil
	}))
	h := openHome(t, fs, "home", ipld.SegmentOptions{})
	live, found, dead := storetest.Block(1), storetest.Block(100), storetest.Block(200)
	must(t, h.Put(live, found, dead))
	_, err := h.Collect(context.Background(), func(yield func(ipld.CID) error) error {
		hook = func() { must(t, h.Put(found)) }
		return yield(live.CID)
	})
	must(t, err)
	if hook != nil {
		t.Fatal("the segment was not read")
	}
	checkBlocks(t, h, 1, 2)
	checkBlocks(t, h, 100, 101)
	if ok, err := h.Has(dead.CID); ok || err != nil {
		t.Errorf("the dead block is here: %v, %v", ok, err)
	}
}
