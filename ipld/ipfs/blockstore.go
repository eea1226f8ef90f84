package ipfs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"

	"github.com/rhizome-fs/rhizome/ipld"
)

// Blockstore makes st boxo's blockstore. It takes blocks whose CIDs have the form of ours, and checks
// that they are what they say. It deletes nothing: that is the collector's. If st can't list its keys,
// AllKeysChan fails.
func Blockstore(st ipld.Store) blockstore.Blockstore { return adapter{st} }

// CID gives c the type of IPFS's libraries.
func CID(c ipld.CID) cid.Cid {
	_, out, err := cid.CidFromBytes(c[:])
	if err != nil {
		return cid.Undef // c is the zero CID
	}
	return out
}

// FromCID is the inverse of CID. It fails for a CID that none of our blocks has.
func FromCID(c cid.Cid) (ipld.CID, error) { return ipld.CIDFromBytes(c.Bytes()) }

type adapter struct{ st ipld.Store }

var errNoDelete = errors.New("blocks are collected, not deleted")

func (a adapter) DeleteBlock(context.Context, cid.Cid) error { return errNoDelete }

func (a adapter) Has(_ context.Context, c cid.Cid) (bool, error) {
	ours, err := FromCID(c)
	if err != nil {
		return false, nil // a block of another form is never here
	}
	return a.st.Has(ours)
}

func (a adapter) Get(_ context.Context, c cid.Cid) (blocks.Block, error) {
	ours, err := FromCID(c)
	if err != nil {
		return nil, format.ErrNotFound{Cid: c}
	}
	b, err := a.st.Get(ours)
	if errors.Is(err, ipld.ErrNotFound) {
		return nil, format.ErrNotFound{Cid: c}
	}
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(b.Data, c)
}

func (a adapter) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	b, err := a.Get(ctx, c)
	if err != nil {
		return -1, err
	}
	return len(b.RawData()), nil
}

func (a adapter) Put(ctx context.Context, b blocks.Block) error {
	return a.PutMany(ctx, []blocks.Block{b})
}

func (a adapter) PutMany(_ context.Context, theirs []blocks.Block) error {
	ours := make([]ipld.Block, len(theirs))
	for i, b := range theirs {
		c, err := FromCID(b.Cid())
		if err != nil {
			return fmt.Errorf("put block %v: %w", b.Cid(), err)
		}
		ours[i] = ipld.Block{CID: c, Data: b.RawData()}
		if err := ours[i].Verify(); err != nil {
			return err
		}
	}
	return a.st.Put(ours...)
}

func (a adapter) AllKeysChan(ctx context.Context) (<-chan cid.Cid, error) {
	st, ok := a.st.(interface {
		Keys(func(ipld.CID) error) error
	})
	if !ok {
		return nil, errors.New("list blocks: this store has no list")
	}
	out := make(chan cid.Cid)
	go func() {
		defer close(out)
		// boxo's contract: a list that ends early says nothing.
		_ = st.Keys(func(c ipld.CID) error {
			select {
			case out <- CID(c):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return out, nil
}

// Store makes boxo's blockstore an ipld.Store.
func Store(bs blockstore.Blockstore) ipld.Store { return reverse{bs} }

type reverse struct{ bs blockstore.Blockstore }

func (r reverse) Get(c ipld.CID) (ipld.Block, error) {
	b, err := r.bs.Get(context.Background(), CID(c))
	if format.IsNotFound(err) {
		return ipld.Block{}, fmt.Errorf("get block %v: %w", c, ipld.ErrNotFound)
	}
	if err != nil {
		return ipld.Block{}, fmt.Errorf("get block %v: %w", c, err)
	}
	ours := ipld.Block{CID: c, Data: append([]byte(nil), b.RawData()...)}
	return ours, ours.Verify()
}

func (r reverse) Put(ours ...ipld.Block) error {
	theirs := make([]blocks.Block, len(ours))
	for i, b := range ours {
		var err error
		if theirs[i], err = blocks.NewBlockWithCid(append([]byte(nil), b.Data...), CID(b.CID)); err != nil {
			return fmt.Errorf("put block %v: %w", b.CID, err)
		}
		if CID(b.CID) == cid.Undef || len(b.Data) > ipld.MaxBlock {
			return fmt.Errorf("put block %v of %d bytes: %w", b.CID, len(b.Data), ipld.ErrNotCID)
		}
	}
	return r.bs.PutMany(context.Background(), theirs)
}

func (r reverse) Has(c ipld.CID) (bool, error) { return r.bs.Has(context.Background(), CID(c)) }
