package backup

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/ipld"
)

// A blockPack is a CAR file that is being written, and the index that lists its blocks in their order.
type blockPack struct {
	blocks, index *packFile
	car           *ipld.CARWriter
}

func createBlockPack(fs vfs.FS, dir string, number uint64) (_ *blockPack, err error) {
	p := &blockPack{}
	if p.blocks, err = createPack(fs, dir, packName(number, blockSuffix)); err != nil {
		return nil, err
	}
	if p.index, err = createPack(fs, dir, packName(number, indexSuffix)); err != nil {
		p.blocks.abandon()
		return nil, err
	}
	if p.car, err = ipld.NewCARWriter(p.blocks, ipld.CID{}); err != nil {
		p.abandon()
		return nil, err
	}
	return p, nil
}

func (p *blockPack) put(b ipld.Block) error {
	_, err := p.index.Write(appendIndexEntry(nil, b.CID, len(b.Data)))
	return errors.Join(err, p.car.Put(b))
}

func (p *blockPack) finish() ([]pack, error) {
	blocks, err1 := p.blocks.finish()
	index, err2 := p.index.finish()
	return []pack{blocks, index}, errors.Join(err1, err2)
}

func (p *blockPack) abandon() {
	p.blocks.abandon()
	if p.index != nil {
		p.index.abandon()
	}
}

// appendIndexEntry appends a block's entry: its digest, its codec, and how many bytes it has.
func appendIndexEntry(dst []byte, c ipld.CID, size int) []byte {
	d := c.Digest()
	dst = append(append(dst, d[:]...), byte(c.Codec()))
	return binary.AppendUvarint(dst, uint64(size))
}

// parseIndex calls fn for the entries of an index: which block, where its section begins, and its size.
func parseIndex(b []byte, fn func(c ipld.CID, off int64, size int)) error {
	off := ipld.CARHeaderSize
	for len(b) > 0 {
		if len(b) < 34 {
			return fmt.Errorf("%w: an index is cut short", ErrDamaged)
		}
		c, ok := ipld.CIDOfDigest([32]byte(b), ipld.Codec(b[32]))
		size, n := binary.Uvarint(b[33:])
		if !ok || n <= 0 || size > ipld.MaxBlock {
			return fmt.Errorf("%w: an index has a bad entry", ErrDamaged)
		}
		fn(c, off, int(size))
		off += ipld.CARSectionSize(int(size))
		b = b[33+n:]
	}
	return nil
}

// maxIndex bounds an index: a full block pack has no more entries than its bytes allow.
const maxIndex = packBytes + 4*ipld.MaxBlock
