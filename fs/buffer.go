package fs

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

const (
	// memLimit is the size up to which an edited file is kept in memory as a whole.
	memLimit = 256 << 10
	// memTotal is how much all edits and closed versions that wait for sealing may take in memory: beyond that, edits
	// go to spill files however small they are.
	memTotal = 64 << 20
	// inlineLimit is the size up to which content stands in its event.
	inlineLimit = 4 << 10
)

// A buffer is an edit that goes on: the bytes of a node that was written to since its last version.
// The node's lock guards it.
type buffer struct {
	layered
	mtime     int64
	replaces  []tree.VersionID // the heads it replaces: what the last open showed
	lastWrite time.Time        // for the quiet second
	journaled bool             // fsync left a record of the edit in the database
	journal   journal

	spills    *spills
	baseVer   tree.VersionID // what base is the content of
	baseHoles int64          // bytes of base in holes, as far as is known
	held      int64          // INVARIANT: have.total()
	counted   int64          // of mem, in spills.mem

	unsynced extents  // changed since the last fsync
	shrunk   bool     // cut or punched since the last fsync: what its record has there must not come back
	retired  []*spill // emptied, but a fsync's record may still name them
}

// newBuffer begins an edit over base, which may be nil for an empty file.
func newBuffer(s *spills, base content) *buffer {
	b := &buffer{spills: s}
	b.base = base
	if base != nil {
		b.size = base.Size()
		b.below = b.size
	}
	return b
}

// load brings a small base into memory, or makes the spill file for a large one.
func (b *buffer) load(size int64) error {
	if b.spill != nil {
		return nil
	}
	if need := max(size, b.size); need > memLimit || need > b.counted && b.spills.mem.Load()+need-b.counted > memTotal {
		return b.toSpill()
	}
	if b.mem == nil {
		mem := make([]byte, b.size, max(b.size, size))
		if err := readBelow(b.base, b.below, mem, 0); err != nil {
			return err
		}
		b.mem = mem
		b.count()
	}
	return nil
}

// count keeps spills.mem in step with the edit.
func (b *buffer) count() {
	if n := int64(cap(b.mem)); n != b.counted {
		b.spills.mem.Add(n - b.counted)
		b.counted = n
	}
}

// toSpill moves the edit to a spill file.
func (b *buffer) toSpill() error {
	p, err := b.spills.create()
	if err != nil {
		return err
	}
	mem := b.mem
	if mem == nil && b.below <= memLimit {
		// A small base is copied: an edit stands only on versions that have blocks.
		mem = make([]byte, min(b.below, b.size))
		if err := readBelow(b.base, b.below, mem, 0); err != nil {
			return errors.Join(err, p.remove())
		}
	}
	if mem != nil {
		if err := p.writeAt(mem, 0); err != nil {
			return errors.Join(fmt.Errorf("spill: %w", err), p.remove())
		}
		b.held += b.have.add(0, int64(len(mem)))
		b.below, b.base = 0, nil
		b.mem = nil
		b.count()
	}
	b.spill = p
	return nil
}

// idle reports whether nothing has been changed yet.
func (b *buffer) idle() bool { return b.mem == nil && b.spill == nil }

// changed is about how many bytes a version made now would add.
func (b *buffer) changed() int64 {
	if b.spill == nil {
		return b.size
	}
	return b.held
}

// data is how many bytes are not in holes, or somewhat more: what hides data of the base may be counted twice.
func (b *buffer) data() int64 {
	if b.mem != nil {
		return b.size
	}
	if b.base == nil {
		return b.held
	}
	return min(b.size, b.held+min(b.base.Size()-b.baseHoles, b.below-b.holes.total()))
}

// WriteAt writes p at off; the file grows as it must.
func (b *buffer) WriteAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	if end < off {
		return 0, ErrTooBig
	}
	if err := b.load(max(end, b.size)); err != nil {
		return 0, err
	}
	if b.spill != nil {
		if err := b.spill.writeAt(p, off); err != nil {
			return 0, fmt.Errorf("spill: %w", err)
		}
		b.held += b.have.add(off, int64(len(p)))
		b.holes.remove(off, int64(len(p)))
	} else {
		b.growMem(end)
		copy(b.mem[off:], p)
	}
	b.unsynced.add(off, int64(len(p)))
	b.size = max(b.size, end)
	return len(p), nil
}

func (b *buffer) growMem(size int64) {
	n := int64(len(b.mem))
	if size <= n {
		return
	}
	if size <= int64(cap(b.mem)) {
		b.mem = b.mem[:size]
		clear(b.mem[n:])
		return
	}
	mem := make([]byte, size, min(memLimit, max(2*size, 4<<10)))
	copy(mem, b.mem)
	b.mem = mem
	b.count()
}

// truncate sets the size: what is cut off is gone, what is added is a hole.
func (b *buffer) truncate(size int64) error {
	if size == b.size && (b.mem != nil || b.spill != nil) {
		return nil
	}
	if size == 0 {
		return b.empty()
	}
	if err := b.load(size); err != nil {
		return err
	}
	if b.spill != nil {
		b.held -= b.have.cut(size)
		b.holes.cut(size)
		b.below = min(b.below, size)
	} else if size <= int64(len(b.mem)) {
		b.mem = b.mem[:size]
	} else {
		b.growMem(size)
	}
	b.unsynced.cut(size)
	b.shrunk = b.shrunk || size < b.size
	b.size = size
	return nil
}

// empty is truncate(0): it reads nothing of what was there.
func (b *buffer) empty() error {
	var err error
	switch {
	case b.spill == nil:
	case b.journaled && b.journal.spill == b.spill:
		b.retired = append(b.retired, b.spill)
	default: // or a program that empties its file again and again would fill the disk
		err = b.spill.remove()
	}
	b.spill, b.have, b.holes, b.held = nil, nil, nil, 0
	b.mem, b.base, b.below, b.size = []byte{}, nil, 0, 0
	b.count()
	b.unsynced, b.shrunk = nil, true
	return err
}

// zero makes [off, off+n) a hole, up to the end of the file.
func (b *buffer) zero(off, n int64) error {
	n = min(n, b.size-off)
	if n <= 0 {
		return nil
	}
	if err := b.load(b.size); err != nil {
		return err
	}
	if b.spill == nil {
		clear(b.mem[off : off+n])
		b.unsynced.add(off, n)
		return nil
	}
	b.held -= b.punch(off, n)
	b.unsynced.remove(off, n)
	b.shrunk = true
	return nil
}

// wholeBase is the sealed content that the edit is, byte for byte, if it is known to be one.
func (b *buffer) wholeBase() *ipld.Content {
	if b.spill == nil || len(b.have)+len(b.holes) > 0 || b.base == nil || b.below != b.size || b.base.Size() != b.size {
		return nil
	}
	return sealedForm(b.base)
}

// extent says what is at off, as content.
func (b *buffer) extent(off int64) (end int64, data bool, err error) {
	if b.idle() {
		return extentBelow(b.base, b.below, off, b.size)
	}
	return b.layered.extent(off)
}

// read is ReadAt without an error at the end of the file: it returns how many bytes there are.
func (b *buffer) read(p []byte, off int64) (int, error) {
	if b.mem == nil && b.spill == nil {
		n := max(0, min(int64(len(p)), b.size-off))
		return int(n), readBelow(b.base, b.below, p[:n], off)
	}
	n, err := b.ReadAt(p, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// dropRetired removes the spill files that nothing names any more.
func (b *buffer) dropRetired() error {
	var errs error
	for _, p := range b.retired {
		errs = errors.Join(errs, p.remove())
	}
	b.retired = nil
	return errs
}

// discard drops the edit.
func (b *buffer) discard() error {
	b.mem = nil
	b.count()
	err := b.dropRetired()
	if b.spill != nil {
		err = errors.Join(err, b.spill.remove())
	}
	return err
}
