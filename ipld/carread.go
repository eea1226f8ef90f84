package ipld

import (
	"errors"
	"fmt"
	"io"
)

// A CARFile is a Store whose blocks are in a CARv1 file; it takes none. Its index is in memory, some 80 bytes a block.
type CARFile struct {
	r    io.ReaderAt
	size int64
	root CID
	at   map[CID]int64
}

var errReadOnly = errors.New("a CAR file takes no blocks")

// OpenCAR reads a CAR file of size bytes that names one root, from its beginning to its end, and checks its blocks. read is told of each piece.
// The error is ErrDamaged if it is none, or has a damaged block.
func OpenCAR(r io.ReaderAt, size int64, read func(n int64)) (*CARFile, error) {
	f := &CARFile{r: r, size: size, at: map[CID]int64{}}
	head := len(carHeaderOf(CID{}))
	b := make([]byte, head)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read CAR: %w: %w", ErrDamaged, err)
	}
	off := int64(head)
	for off < size {
		block, next, err := ReadCARAt(r, off, size)
		if err != nil {
			return nil, err
		}
		if len(f.at) == 0 {
			f.root = block.CID
			if string(carHeaderOf(f.root)) != string(b) {
				return nil, fmt.Errorf("read CAR: its first block is not its only root: %w", ErrDamaged)
			}
		}
		f.at[block.CID] = off
		read(next - off)
		off = next
	}
	if len(f.at) == 0 {
		return nil, fmt.Errorf("read CAR: it has no block: %w", ErrDamaged)
	}
	return f, nil
}

// Root is the one that the file names.
func (f *CARFile) Root() CID { return f.root }

// Get implements Store.
func (f *CARFile) Get(c CID) (Block, error) {
	off, ok := f.at[c]
	if !ok {
		return Block{}, fmt.Errorf("get block %v: %w", c, ErrNotFound)
	}
	b, _, err := ReadCARAt(f.r, off, f.size)
	return b, err
}

// Has implements Store.
func (f *CARFile) Has(c CID) (bool, error) {
	_, ok := f.at[c]
	return ok, nil
}

// Put implements Store, and fails.
func (f *CARFile) Put(...Block) error { return errReadOnly }
