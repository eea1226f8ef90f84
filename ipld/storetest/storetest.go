// Package storetest is the contract of ipld.Store as tests: every store passes them.
package storetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/rhizome-fs/rhizome/ipld"
)

// Run tests the stores that open makes. Each is empty, and the test's own.
func Run(t *testing.T, open func(t *testing.T) ipld.Store) {
	for name, test := range map[string]func(*testing.T, ipld.Store){
		"put and get":       putAndGet,
		"what is not there": notThere,
		"twice":             twice,
		"own bytes":         ownBytes,
		"refused":           refused,
		"many at once":      concurrent,
		"nothing":           func(t *testing.T, st ipld.Store) { must(t, st.Put()) },
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Block returns a block that n alone decides, of a size that n decides too.
func Block(n int) ipld.Block {
	data := bytes.Repeat(binary.BigEndian.AppendUint64(nil, uint64(n)), n%700)
	codec := ipld.Raw
	if n%3 == 0 {
		codec = ipld.DagCBOR
	}
	return ipld.Block{CID: ipld.CIDOf(codec, data), Data: data}
}

func putAndGet(t *testing.T, st ipld.Store) {
	var all []ipld.Block
	for n := range 500 {
		all = append(all, Block(n))
	}
	must(t, st.Put(all[:300]...))
	must(t, st.Put(all[300:]...))
	for _, b := range all {
		check(t, st, b)
	}
}

func notThere(t *testing.T, st ipld.Store) {
	must(t, st.Put(Block(1)))
	if _, err := st.Get(Block(2).CID); !errors.Is(err, ipld.ErrNotFound) {
		t.Errorf("get what is not there: %v", err)
	}
	if ok, err := st.Has(Block(2).CID); ok || err != nil {
		t.Errorf("has what is not there: %v, %v", ok, err)
	}
}

func twice(t *testing.T, st ipld.Store) {
	b := Block(77)
	must(t, st.Put(b, b))
	must(t, st.Put(b))
	check(t, st, b)
	if st, ok := st.(interface {
		Keys(func(ipld.CID) error) error
	}); ok {
		n := 0
		must(t, st.Keys(func(ipld.CID) error { n++; return nil }))
		if n != 1 {
			t.Errorf("one block has %d keys", n)
		}
	}
}

// The caller may change what it put, and what it got.
func ownBytes(t *testing.T, st ipld.Store) {
	b, keep := Block(55), Block(55)
	must(t, st.Put(b))
	clear(b.Data)
	got, err := st.Get(keep.CID)
	must(t, err)
	clear(got.Data)
	check(t, st, keep)
}

func refused(t *testing.T, st ipld.Store) {
	if st.Put(ipld.Block{Data: []byte("no name")}) == nil {
		t.Error("a block without a CID was taken")
	}
	large := make([]byte, ipld.MaxBlock+1)
	if st.Put(ipld.Block{CID: ipld.CIDOf(ipld.Raw, large), Data: large}) == nil {
		t.Error("too large a block was taken")
	}
	largest := large[:ipld.MaxBlock]
	b := ipld.Block{CID: ipld.CIDOf(ipld.Raw, largest), Data: largest}
	must(t, st.Put(b))
	check(t, st, b)
}

func concurrent(t *testing.T, st ipld.Store) {
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for w := range 8 {
		wg.Go(func() {
			for n := range 200 {
				b := Block(n + w*100) // half of them are others' too
				if err := st.Put(b); err != nil {
					errs <- err
					return
				}
				if got, err := st.Get(b.CID); err != nil || !bytes.Equal(got.Data, b.Data) {
					errs <- fmt.Errorf("block %d: %w", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

func check(t *testing.T, st ipld.Store, want ipld.Block) {
	t.Helper()
	if ok, err := st.Has(want.CID); !ok || err != nil {
		t.Errorf("has %v: %v, %v", want.CID, ok, err)
	}
	got, err := st.Get(want.CID)
	if err != nil || got.CID != want.CID || !bytes.Equal(got.Data, want.Data) {
		t.Errorf("get %v: %d bytes instead of %d, %v", want.CID, len(got.Data), len(want.Data), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
