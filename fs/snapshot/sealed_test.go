package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/ipld/go-ipld-prime/traversal"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/leakcheck"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/ipfs"
)

// reached lists what our own walk, which needs no key, finds of a snapshot.
func reached(t *testing.T, st ipld.Store, root ipld.CID) (cids []ipld.CID) {
	t.Helper()
	if err := ipld.WalkClear(st, root, func(c ipld.CID) error { cids = append(cids, c); return nil }); err != nil {
		t.Fatal(err)
	}
	return cids
}

// Without a key boxo finds every block of a snapshot, in our own order, and so does a plain decoder of DAG-CBOR; and all that the reader
// reads is among them.
func TestWalkWithoutKeys(t *testing.T) {
	t.Parallel()
	w := everything()
	b := w.build(t)
	want := reached(t, w.st, b.Root.CID)
	bs := ipfs.Blockstore(w.st)
	dag := merkledag.NewDAGService(blockservice.New(bs, offline.Exchange(bs)))
	var got []ipld.CID
	seen := cid.NewSet()
	err := merkledag.Walk(context.Background(), merkledag.GetLinksDirect(dag), ipfs.CID(b.Root.CID), func(c cid.Cid) bool {
		if ours, err := ipfs.FromCID(c); err == nil && seen.Visit(c) {
			got = append(got, ours)
			return true
		}
		return false
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("boxo finds %d blocks, we %d, or in another order: %v", len(got), len(want), err)
	}
	if plain := plainWalk(t, w.st, b.Root.CID); len(plain) != len(want) {
		t.Errorf("a plain decoder finds %d blocks, we %d", len(plain), len(want))
	}
	only := ipld.NewMemory()
	for _, c := range want {
		bl, err := w.st.Get(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := only.Put(bl); err != nil {
			t.Fatal(err)
		}
	}
	all := w.st
	w.st = only
	w.check(t, b)
	w.st = all
}

// plainWalk traverses a DAG knowing nothing but DAG-CBOR.
func plainWalk(t *testing.T, st ipld.Store, root ipld.CID) map[ipld.CID]bool {
	t.Helper()
	found := map[ipld.CID]bool{}
	for todo := []ipld.CID{root}; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		if found[c] {
			continue
		}
		found[c] = true
		b, err := st.Get(c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Codec() == ipld.Raw {
			continue
		}
		builder := basicnode.Prototype.Any.NewBuilder()
		if err := dagcbor.Decode(builder, bytes.NewReader(b.Data)); err != nil {
			t.Fatal(err)
		}
		links, err := traversal.SelectLinks(builder.Build())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			ours, err := ipfs.FromCID(l.(cidlink.Link).Cid)
			if err != nil {
				t.Fatal(err)
			}
			todo = append(todo, ours)
		}
	}
	return found
}

// No block of a snapshot shows a name, a content, an attribute or a target.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	w := newWorld()
	rnd := rand.New(rand.NewPCG(5, 6))
	var secrets [][]byte
	secret := func(what string) []byte {
		s := fmt.Appendf(nil, "%s-%016x", what, rnd.Uint64())
		secrets = append(secrets, s)
		return s
	}
	for i := range 40 {
		dir := w.create(tree.RootID, string(secret("directory")), tree.Dir)
		for range 4 {
			f := w.create(dir, string(secret("name")), tree.File)
			w.write(f, append(secret("content"), text(400*i, i)...))
			w.do(tree.SetXattr{ID: f, Name: secret("user.attribute"), Val: append(secret("value"), text(100*i, i)...)})
		}
		l := tree.Create{ID: w.draw(), Parent: dir, Name: secret("link"), Kind: tree.Symlink, Target: secret("target"), By: string(secret("device"))}
		w.do(l)
	}
	b := w.build(t)
	if len(secrets) < 700 {
		t.Fatalf("%d secrets", len(secrets))
	}
	var all bytes.Buffer
	for _, c := range reached(t, w.st, b.Root.CID) {
		bl, err := w.st.Get(c)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(bl.Data)
	}
	if err := leakcheck.Find(all.Bytes(), secrets...); err != nil {
		t.Error(err)
	}
	if err := leakcheck.Find([]byte(fmt.Sprint(w.stateLines(t))), secrets...); err == nil {
		t.Error("the search finds nothing where they stand in the open")
	}
}

// faulty is a store in which one block is another one.
type faulty struct {
	*ipld.Memory
	c    ipld.CID
	data []byte
}

func (f *faulty) Get(c ipld.CID) (ipld.Block, error) {
	if c == f.c {
		return ipld.Block{CID: c, Data: bytes.Clone(f.data)}, nil // a store that does not look
	}
	return f.Memory.Get(c)
}

// One flipped bit in any block, whose store does not notice it, is an error and never another tree.
func TestDamage(t *testing.T) {
	t.Parallel()
	w := newWorld()
	dir := w.create(tree.RootID, "dir", tree.Dir)
	for i := range 300 {
		f := w.create(dir, fmt.Sprintf("%d%s", i, bytes.Repeat([]byte("x"), 150)), tree.File)
		if i%60 == 0 {
			w.write(f, text(600, i))
			w.do(tree.SetXattr{ID: f, Name: []byte("user.long"), Val: text(2000, i)})
		}
	}
	heads := w.create(dir, "heads", tree.File)
	for i := range maxInlineHeads + 3 {
		w.write(heads, text(10, i))
	}
	w.write(w.create(dir, "big", tree.File), text(300_000, 1))
	b := w.build(t)
	want := w.stateLines(t)
	rnd := rand.New(rand.NewPCG(7, 8))
	kinds := map[string]bool{}
	for _, c := range reached(t, w.st, b.Root.CID) {
		good, err := w.st.Get(c)
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			f := &faulty{w.st, c, bytes.Clone(good.Data)}
			at := rnd.IntN(len(f.data))
			f.data[at] ^= 1 << rnd.IntN(8)
			got, err := open2(t, f, b.Root)
			if err == nil {
				t.Fatalf("block %v with bit flipped in byte %d of %d reads as %d lines, the same: %t", c, at, len(f.data), len(got), slices.Equal(got, want))
			}
			if !errors.Is(err, ipld.ErrDamaged) && !errors.Is(err, ipld.ErrNotFound) && !errors.Is(err, ErrVersion) {
				t.Fatalf("block %v: %v", c, err)
			}
			kinds[err.Error()[:12]] = true
		}
	}
	if len(kinds) < 3 {
		t.Errorf("only these errors: %v", kinds)
	}
	missing := ipld.NewMemory()
	if _, err := Open(missing, b.Root); !errors.Is(err, ipld.ErrNotFound) {
		t.Errorf("a root that is nowhere: %v", err)
	}
	if _, err := Open(w.st, ipld.Link{CID: b.Root.CID}); !errors.Is(err, ipld.ErrDamaged) {
		t.Errorf("a root under another key: %v", err)
	}
}

func open2(t *testing.T, st ipld.Store, root ipld.Link) ([]string, error) {
	s, err := Open(st, root)
	if err != nil {
		return nil, err
	}
	return snapshotLines(t, s)
}

// A block that is sealed as it should be and says what no writer writes is damaged.
func TestForged(t *testing.T) {
	t.Parallel()
	w := everything()
	good := w.build(t)
	s, err := Open(w.st, good.Root)
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{writer: &writer{ctx: context.Background(), st: ipld.NewBatch(w.st), sealer: w.sealer}}
	leaf, err := loadChild(w.st, s.root.Dir.child(), 0)
	if err != nil || len(leaf.entries) < 2 {
		t.Fatalf("the root has %d entries: %v", len(leaf.entries), err)
	}
	forge := func(change func(*dirNode, *[]ipld.CID, *rootBlock)) error {
		n, cids := &dirNode{Leaf: slices.Clone(leaf.raw)}, slices.Concat(leaf.cids...)
		root := rootBlock{Version: formatVersion, Reducer: tree.Name, Root: inodeRecord{ID: tree.RootID, Kind: uint64(tree.Dir)}}
		root.Root.Contents = &dirRecord{Entries: leaf.sum.entries, Size: leaf.sum.size, Files: leaf.sum.files, Bytes: leaf.sum.bytes}
		change(n, &cids, &root)
		link, err := b.node(n, cids)
		if err != nil {
			t.Fatal(err)
		}
		root.Root.Contents.Node = &link.Key
		top, err := b.node(&root, []ipld.CID{link.CID})
		if err == nil {
			err = b.st.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = open2(t, w.st, top)
		return err
	}
	if err := forge(func(*dirNode, *[]ipld.CID, *rootBlock) {}); err != nil {
		t.Fatalf("what is as it should be: %v", err)
	}
	for name, change := range map[string]func(*dirNode, *[]ipld.CID, *rootBlock){
		"out of order":      func(n *dirNode, _ *[]ipld.CID, _ *rootBlock) { slices.Reverse(n.Leaf) },
		"twice":             func(n *dirNode, _ *[]ipld.CID, _ *rootBlock) { n.Leaf[0] = n.Leaf[1] },
		"one less":          func(n *dirNode, _ *[]ipld.CID, _ *rootBlock) { n.Leaf = n.Leaf[1:] },
		"a child too many":  func(_ *dirNode, c *[]ipld.CID, _ *rootBlock) { *c = append(*c, (*c)[0]) },
		"a child too few":   func(_ *dirNode, c *[]ipld.CID, _ *rootBlock) { *c = (*c)[1:] },
		"nothing":           func(n *dirNode, c *[]ipld.CID, _ *rootBlock) { n.Leaf, *c = nil, nil },
		"other counts":      func(_ *dirNode, _ *[]ipld.CID, r *rootBlock) { r.Root.Contents.Files++ },
		"a version of none": func(_ *dirNode, _ *[]ipld.CID, r *rootBlock) { r.Version = 0 },
		"another root":      func(_ *dirNode, _ *[]ipld.CID, r *rootBlock) { r.Root.ID = tree.FileID{9} },
		"of no kind":        func(_ *dirNode, _ *[]ipld.CID, r *rootBlock) { r.Root.Kind = 77 },
	} {
		if err := forge(change); !errors.Is(err, ipld.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err = forge(func(_ *dirNode, _ *[]ipld.CID, r *rootBlock) { r.Version = formatVersion + 1 })
	if !errors.Is(err, ErrVersion) {
		t.Errorf("a newer version: %v", err)
	}
}
