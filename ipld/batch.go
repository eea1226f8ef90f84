package ipld

import (
	"bytes"
	"time"
)

// gatherBytes is how much a Batch gathers before it puts it into the store: each put costs.
const gatherBytes = 1 << 20

// A Batch is a Store that gathers what is put, for whoever makes many blocks. What it has gathered is in the store below after
// Flush. It is used by one goroutine.
type Batch struct {
	below  Store
	blocks []Block
	at     map[CID]int
	bytes  int

	added Added
}

// Added counts what a Batch put into its store that was not there.
type Added struct {
	Blocks int64
	Bytes  int64
	Took   time.Duration // sealing and storing them, if whoever made them has measured it
}

// NewBatch returns a Batch above a store.
func NewBatch(st Store) *Batch { return &Batch{below: st, at: map[CID]int{}} }

// Add takes a block whose bytes nobody changes any more.
func (b *Batch) Add(bl Block) error {
	if _, there := b.at[bl.CID]; there {
		return nil
	}
	b.at[bl.CID] = len(b.blocks)
	b.blocks = append(b.blocks, bl)
	if b.bytes += len(bl.Data); b.bytes < gatherBytes {
		return nil
	}
	return b.Flush()
}

// Put implements Store.
func (b *Batch) Put(blocks ...Block) error {
	for _, bl := range blocks {
		bl.Data = bytes.Clone(bl.Data)
		if err := b.Add(bl); err != nil {
			return err
		}
	}
	return nil
}

// Get implements Store.
func (b *Batch) Get(c CID) (Block, error) {
	if i, ok := b.at[c]; ok {
		return Block{CID: c, Data: bytes.Clone(b.blocks[i].Data)}, nil
	}
	return b.below.Get(c)
}

// Has implements Store.
func (b *Batch) Has(c CID) (bool, error) {
	if _, ok := b.at[c]; ok {
		return true, nil
	}
	return b.below.Has(c)
}

// Flush puts what is gathered.
func (b *Batch) Flush() error {
	for _, bl := range b.blocks {
		if has, err := b.below.Has(bl.CID); err != nil {
			return err
		} else if !has {
			b.added.Blocks++
			b.added.Bytes += int64(len(bl.Data))
		}
	}
	err := b.below.Put(b.blocks...)
	clear(b.blocks)
	clear(b.at)
	b.blocks, b.bytes = b.blocks[:0], 0
	return err
}

// Added tells what was flushed.
func (b *Batch) Added() Added { return b.added }
