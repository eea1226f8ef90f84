package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rhizome-fs/rhizome/ipld"
)

type record struct{ key, val []byte }

func records(rng *rand.Rand, n int) []record {
	var rs []record
	for i := range n {
		key := binary.BigEndian.AppendUint64(nil, rng.Uint64())
		key = key[:1+rng.IntN(8)]
		val := make([]byte, rng.IntN(100))
		if i%97 == 0 {
			val = make([]byte, 60_000)
		}
		for j := range val {
			val[j] = byte(rng.Uint32())
		}
		rs = append(rs, record{key, val})
	}
	return sorted(rs)
}

func sorted(rs []record) []record {
	slices.SortFunc(rs, func(a, b record) int { return bytes.Compare(a.key, b.key) })
	return slices.CompactFunc(rs, func(a, b record) bool { return bytes.Equal(a.key, b.key) })
}

func sealer() *ipld.Sealer { return ipld.NewSealer([32]byte{1}, [32]byte{2}) }

func build(t *testing.T, st ipld.Store, rs []record, memo *Memo) (Root, ipld.Added) {
	t.Helper()
	w := NewWriter(context.Background(), st, sealer(), memo)
	for _, r := range rs {
		if err := w.Add(r.key, r.val); err != nil {
			t.Fatal(err)
		}
	}
	root, added, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return root, added
}

func read(st ipld.Store, root Root) ([]record, error) {
	var rs []record
	err := Each(st, root.Link, func(k, v []byte) error {
		rs = append(rs, record{bytes.Clone(k), bytes.Clone(v)})
		return nil
	})
	return rs, err
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 255, 1000, 10_000} {
		st := ipld.NewMemory()
		rs := records(rng, n)
		root, _ := build(t, st, rs, nil)
		got, err := read(st, root)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(rs) || root.Records != uint64(len(rs)) {
			t.Errorf("%d records: read %d, said %d", len(rs), len(got), root.Records)
		}
	}
}

// A table that changed a little shares all but a few blocks with what it was, and is what it would be had it been made anew.
func TestChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	st := ipld.NewMemory()
	rs := records(rng, 10_000)
	memo := &Memo{}
	build(t, st, rs, memo)
	for range 10 {
		i := rng.IntN(len(rs))
		switch rng.IntN(3) {
		case 0:
			rs = slices.Delete(rs, i, i+1)
		case 1:
			rs[i].val = []byte("changed")
		case 2:
			rs = sorted(append(rs, record{append(bytes.Clone(rs[i].key), 7), []byte("new")}))
		}
		root, added := build(t, st, rs, memo)
		if added.Blocks > 12 {
			t.Errorf("one change made %d blocks", added.Blocks)
		}
		if anew, _ := build(t, ipld.NewMemory(), rs, nil); anew != root {
			t.Fatal("made anew, the table has another root")
		}
	}
}

func TestOrder(t *testing.T) {
	w := NewWriter(context.Background(), ipld.NewMemory(), sealer(), nil)
	if err := w.Add([]byte("b"), nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Add([]byte("b"), nil); !errors.Is(err, errOrder) {
		t.Errorf("the same key: %v", err)
	}
	if err := w.Add([]byte("c"), make([]byte, MaxRecord)); err == nil {
		t.Error("a huge record was taken")
	}
}

// What is lost or is no table is told, and nothing else comes in its place.
func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	st := ipld.NewMemory()
	rs := records(rng, 5000)
	root, _ := build(t, st, rs, nil)
	b, leaf := sealer().SealLeaf([]byte("no table"))
	if err := st.Put(b); err != nil {
		t.Fatal(err)
	}
	if _, err := read(st, Root{Link: leaf}); !errors.Is(err, ipld.ErrDamaged) {
		t.Errorf("a leaf that is no table: %v", err)
	}
	var all []ipld.CID
	if err := ipld.WalkClear(st, root.Link.CID, func(c ipld.CID) error { all = append(all, c); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, gone := range all {
		part := ipld.NewMemory()
		for _, c := range all {
			if b, err := st.Get(c); err == nil && c != gone {
				if err := part.Put(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := read(part, root); !errors.Is(err, ipld.ErrNotFound) {
			t.Fatalf("without block %v: %v", gone, err)
		}
	}
}
