package ipld

import "fmt"

// Bounds on every block, whoever made it.
const (
	// MaxPlain is how much one block seals at most.
	MaxPlain = 1 << 20
	// MaxChildren is how many children a node has at most.
	MaxChildren = 8192
	// MaxBlock bounds a block's sealed bytes: bitswap carries no more.
	MaxBlock = 2 << 20
)

// A Block is sealed bytes and their name.
type Block struct {
	CID  CID
	Data []byte
}

// Verify compares the bytes with the name. Whoever takes a block from elsewhere calls it first.
func (b Block) Verify() error {
	switch {
	case !b.CID.valid():
		return fmt.Errorf("check block: %w", ErrNotCID)
	case len(b.Data) > MaxBlock:
		return fmt.Errorf("check block %v of %d bytes: larger than %d: %w", b.CID, len(b.Data), MaxBlock, ErrDamaged)
	case CIDOf(b.CID.Codec(), b.Data) != b.CID:
		return fmt.Errorf("check block %v: the bytes have another hash: %w", b.CID, ErrDamaged)
	}
	return nil
}

// A Store holds blocks. Its methods may be called from any goroutine.
type Store interface {
	// Get returns a block whose bytes have the hash that c says. The bytes are the caller's own. The
	// error is ErrNotFound, or ErrDamaged if the block was here and is not what it was.
	Get(c CID) (Block, error)
	// Put adds blocks, which the caller knows to be what their CIDs say (Block.Verify). What is there
	// already is not stored twice. On return they survive kill -9 if the store is on a disk. Put
	// keeps none of the bytes.
	Put(blocks ...Block) error
	// Has reports whether Get would find c, as far as is known without reading it.
	Has(c CID) (bool, error)
}

// A sealedGetter is a Store that can leave out the hash of what it reads, for one who opens the block
// under its link's key at once and so learns the same.
type sealedGetter interface {
	getSealed(c CID) (Block, error)
}

// getSealed reads a block that the caller will open.
func getSealed(st Store, c CID) (Block, error) {
	if s, ok := st.(sealedGetter); ok {
		return s.getSealed(c)
	}
	return st.Get(c)
}
