package ipfs_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/datamodel"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/ipld/go-ipld-prime/traversal"

	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/ipfs"
)

// content stores a file of some sections, and returns its root and what our own walk finds below it.
func content(t *testing.T) (st *ipld.Memory, root ipld.CID, walked []ipld.CID) {
	t.Helper()
	st = ipld.NewMemory()
	data := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	s := ipld.NewSealer([32]byte{1}, [32]byte{2})
	c, err := s.Write(context.Background(), st, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	err = ipld.WalkClear(st, c.Root.CID, func(c ipld.CID) error { walked = append(walked, c); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(walked) < 100 {
		t.Fatalf("a walk finds %d blocks", len(walked))
	}
	return st, c.Root.CID, walked
}

// boxo walks our sealed blocks as it walks any DAG, without a key.
func TestBoxoWalks(t *testing.T) {
	st, root, want := content(t)
	bs := ipfs.Blockstore(st)
	dag := merkledag.NewDAGService(blockservice.New(bs, offline.Exchange(bs)))
	var got []ipld.CID
	seen := cid.NewSet()
	err := merkledag.Walk(context.Background(), merkledag.GetLinksDirect(dag), ipfs.CID(root), func(c cid.Cid) bool {
		if !seen.Visit(c) {
			return false
		}
		ours, err := ipfs.FromCID(c)
		if err != nil {
			t.Error(err)
		}
		got = append(got, ours)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("boxo finds %d blocks, we %d, or in another order", len(got), len(want))
	}
}

// ipld-prime decodes a node, finds its children, and encodes it again to the same bytes.
func TestPrimeReadsNodes(t *testing.T) {
	st, _, walked := content(t)
	nodes := 0
	for _, c := range walked {
		if c.Codec() != ipld.DagCBOR {
			continue
		}
		nodes++
		b, err := st.Get(c)
		if err != nil {
			t.Fatal(err)
		}
		node, err := prime(b)
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := dagcbor.Encode(node, &again); err != nil || !bytes.Equal(again.Bytes(), b.Data) {
			t.Errorf("ipld-prime encodes block %v otherwise: %v", c, err)
		}
		links, err := traversal.SelectLinks(node)
		if err != nil {
			t.Fatal(err)
		}
		children, err := ipld.Children(b)
		if err != nil || len(links) != len(children) {
			t.Fatalf("ipld-prime finds %d children, we %d: %v", len(links), len(children), err)
		}
		for i, l := range links {
			if l.(cidlink.Link).Cid != ipfs.CID(children[i]) {
				t.Errorf("child %d of block %v is %v", i, c, l)
			}
		}
	}
	if nodes < 4 {
		t.Errorf("%d nodes", nodes)
	}
}

func prime(b ipld.Block) (datamodel.Node, error) {
	builder := basicnode.Prototype.Any.NewBuilder()
	if err := dagcbor.Decode(builder, bytes.NewReader(b.Data)); err != nil {
		return nil, err
	}
	return builder.Build(), nil
}

func TestBlockstore(t *testing.T) {
	ctx := context.Background()
	st, root, walked := content(t)
	bs := ipfs.Blockstore(st)
	keys, err := bs.AllKeysChan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for c := range keys {
		n++
		if ok, err := bs.Has(ctx, c); !ok || err != nil {
			t.Errorf("has %v: %v, %v", c, ok, err)
		}
	}
	if n != len(walked) {
		t.Errorf("%d keys of %d blocks", n, len(walked))
	}
	b, err := st.Get(root)
	if err != nil {
		t.Fatal(err)
	}
	if size, err := bs.GetSize(ctx, ipfs.CID(root)); size != len(b.Data) || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	missing := blocks.NewBlock([]byte("elsewhere")) // a CIDv0, which none of ours is
	if _, err := bs.Get(ctx, missing.Cid()); !format.IsNotFound(err) {
		t.Errorf("get what is not there: %v", err)
	}
	if ok, err := bs.Has(ctx, missing.Cid()); ok || err != nil {
		t.Errorf("has what is not there: %v, %v", ok, err)
	}
	if err := bs.Put(ctx, missing); err == nil {
		t.Error("a block that can't be ours was taken")
	}
	lie, err := blocks.NewBlockWithCid([]byte("something else"), ipfs.CID(root))
	if err != nil {
		t.Fatal(err)
	}
	if err := bs.Put(ctx, lie); err == nil {
		t.Error("a block that is not its CID's was taken")
	}
	if err := bs.DeleteBlock(ctx, ipfs.CID(root)); err == nil {
		t.Error("a block was deleted")
	}
}
