// Package table keeps sorted records, keys and values, as a DAG of sealed blocks: a checkpoint's form.
//
// # Words
//
// A run is records that follow each other, in a leaf. A branch leads to runs, or to branches, by the first key of each. The
// root is a branch, of a table without records too.
//
// # Guarantees
//
// Equal records make equal roots, whatever was there before: where a run ends depends on its own records alone. So two tables that
// differ in some records share the blocks of all others, but for the branches above.
//
// Not for: large values. One has to fit into a block.
package table

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/ipld"
)

const (
	// A run ends behind a record whose key's hash is divisible by runLength, or when it has maxRun bytes.
	runLength = 256
	maxRun    = 256 << 10
	// A branch ends behind a child whose first key's hash is divisible by branchLength, or when it has maxBranch children.
	branchLength = 64
	maxBranch    = 1024

	leafForm   = 0x03 // begins the plain bytes of a leaf
	branchForm = 0x04
	maxLevel   = 16

	// MaxRecord is how many bytes a key and its value have at most, together.
	MaxRecord = 512 << 10
)

var (
	errOrder = errors.New("records are not in order")
	errForm  = errors.New("not a node of a table")
)

// A Root is a table as a whole.
type Root struct {
	Link    ipld.Link
	Records uint64
	Bytes   uint64 // of keys and values
}

// A Memo remembers what was sealed: a table that is made again, a little different, then costs what is different. The zero
// Memo is empty. It takes some 200 bytes for each run.
type Memo struct {
	was, is map[[sha256.Size]byte]ipld.Link
}

// A Writer makes a table. It is used by one goroutine.
type Writer struct {
	batch  *ipld.Batch
	sealer *ipld.Sealer
	memo   *Memo
	ctx    context.Context

	root   Root
	anew   time.Duration // what sealing and storing what the memo has not took
	last   []byte
	run    []byte // plain bytes of the leaf that is being filled
	first  []byte // key of it
	levels []*level
}

// A level is the branch that is being filled at one height: 0 is the lowest.
type level struct {
	plain    []byte
	children []ipld.CID
	first    []byte
	branches int // that were ended at this height
}

// NewWriter returns a Writer that seals to a store. memo may be nil; else it is of the last table that was made with it.
func NewWriter(ctx context.Context, to ipld.Store, sealer *ipld.Sealer, memo *Memo) *Writer {
	if memo == nil {
		memo = &Memo{}
	}
	memo.was, memo.is = memo.is, make(map[[sha256.Size]byte]ipld.Link)
	return &Writer{ctx: ctx, batch: ipld.NewBatch(to), sealer: sealer, memo: memo}
}

// Add puts a record behind those that are there: its key must be greater than all theirs. It keeps neither slice.
func (w *Writer) Add(key, val []byte) error {
	if w.root.Records > 0 && bytes.Compare(w.last, key) >= 0 {
		return fmt.Errorf("table: add key %x behind %x: %w", key, w.last, errOrder)
	}
	if len(key)+len(val) > MaxRecord {
		return fmt.Errorf("table: record of %d bytes is too big", len(key)+len(val))
	}
	if len(w.run) > 0 && len(w.run)+len(key)+len(val) > maxRun {
		if err := w.endRun(); err != nil {
			return err
		}
	}
	if len(w.run) == 0 {
		w.run = append(w.run, leafForm)
		w.first = append(w.first[:0], key...)
	}
	w.run = appendBytes(appendBytes(w.run, key), val)
	w.last = append(w.last[:0], key...)
	w.root.Records++
	w.root.Bytes += uint64(len(key) + len(val))
	if ends(key, runLength) {
		return w.endRun()
	}
	return nil
}

// ends reports whether something ends behind a key.
func ends(key []byte, every uint64) bool {
	sum := sha256.Sum256(key)
	if every == branchLength { // another choice than that of runs, all of whose first keys follow a key that ends one
		return binary.BigEndian.Uint64(sum[8:])%every == 0
	}
	return binary.BigEndian.Uint64(sum[:])%every == 0
}

func (w *Writer) endRun() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	link, err := w.sealed(w.run, nil)
	w.run = w.run[:0]
	if err != nil {
		return err
	}
	return w.link(0, w.first, link)
}

// sealed seals a leaf, or a branch, unless the memo has it.
func (w *Writer) sealed(plain []byte, children []ipld.CID) (ipld.Link, error) {
	h := sha256.New()
	h.Write(plain)
	for _, c := range children {
		h.Write(c[:])
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	link, ok := w.memo.was[sum]
	if ok { // unless it was collected since
		var err error
		if ok, err = w.batch.Has(link.CID); err != nil {
			return link, err
		}
	}
	if !ok {
		defer w.spend(time.Now())
		var b ipld.Block
		if plain[0] == leafForm {
			b, link = w.sealer.SealLeaf(plain)
		} else {
			b, link = w.sealer.SealNode(plain, children)
		}
		if err := w.batch.Add(b); err != nil {
			return link, err
		}
	}
	w.memo.is[sum] = link
	return link, nil
}

// spend counts the time since.
func (w *Writer) spend(since time.Time) { w.anew += time.Since(since) }

// link puts a child into the branch at a height.
func (w *Writer) link(height int, first []byte, child ipld.Link) error {
	if height == len(w.levels) {
		w.levels = append(w.levels, &level{})
	}
	l := w.levels[height]
	if len(l.children) == 0 {
		l.plain = append(l.plain[:0], branchForm, byte(height))
		l.first = append(l.first[:0], first...)
	}
	l.plain = append(appendBytes(l.plain, first), child.Key[:]...)
	l.children = append(l.children, child.CID)
	if len(l.children) < maxBranch && len(l.plain) < maxRun && !ends(first, branchLength) {
		return nil
	}
	return w.endBranch(height)
}

func (w *Writer) endBranch(height int) error {
	l := w.levels[height]
	link, err := w.sealed(l.plain, l.children)
	if err != nil {
		return err
	}
	l.children = l.children[:0]
	l.branches++
	return w.link(height+1, l.first, link)
}

// Close ends the table. The blocks are in the store, as durable as its Put makes them.
func (w *Writer) Close() (Root, ipld.Added, error) {
	if len(w.run) > 0 {
		if err := w.endRun(); err != nil {
			return Root{}, ipld.Added{}, err
		}
	}
	err := w.close()
	if err == nil {
		start := time.Now()
		err = w.batch.Flush()
		w.spend(start)
	}
	w.memo.was = nil
	added := w.batch.Added()
	added.Took = w.anew
	return w.root, added, err
}

// close ends the branches that are open, from the lowest on. The root is the lowest branch that has all below it.
func (w *Writer) close() (err error) {
	if len(w.levels) == 0 {
		w.root.Link, err = w.sealed([]byte{branchForm, 0}, nil)
		return err
	}
	for height := 0; ; height++ {
		l := w.levels[height]
		top := height == len(w.levels)-1
		switch {
		case top && l.branches == 0:
			w.root.Link, err = w.sealed(l.plain, l.children)
			return err
		case len(l.children) == 0:
			if top {
				panic("table: an empty branch above others")
			}
		default:
			if err := w.endBranch(height); err != nil {
				return err
			}
		}
	}
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}
