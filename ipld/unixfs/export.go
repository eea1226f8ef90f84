package unixfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

// ErrChanged says that a source has other bytes the second time.
var ErrChanged = errors.New("the tree changed while it was exported")

// Export writes root and all below it to out as a CARv1 file, and returns the root's CID. scratch is an empty file that is used meanwhile.
// read is told how many bytes were read of contents; each is read twice.
func Export(ctx context.Context, out io.Writer, scratch *os.File, src Source, root Entry, read func(n int64)) (string, error) {
	b := &build{ctx: ctx, src: src, nodes: &nodes{file: scratch, at: map[cid.Cid]span{}}, read: read}
	node, err := b.tree(root)
	if err != nil {
		return "", err
	}
	w := &writing{build: b, seen: map[blockName]struct{}{}}
	if w.out, err = newCAR(out, node.Cid()); err != nil {
		return "", err
	}
	if err := w.tree(node.Cid(), root); err != nil {
		return "", err
	}
	return node.Cid().String(), nil
}

// A writing is the second pass.
type writing struct {
	*build
	out  *car
	seen map[blockName]struct{} // the blocks that were written
}

// A blockName is the end of a block's digest.
type blockName [16]byte

func nameOf(c cid.Cid) (n blockName) {
	h := c.Hash()
	copy(n[:], h[len(h)-len(n):])
	return n
}

// put writes a block, unless it was written before: then it reports false.
func (w *writing) put(c cid.Cid, data []byte) (bool, error) {
	if err := w.ctx.Err(); err != nil {
		return false, err
	}
	if _, ok := w.seen[nameOf(c)]; ok {
		return false, nil
	}
	w.seen[nameOf(c)] = struct{}{}
	return true, w.out.put(c, data)
}

// tree writes what e is, whose node is c, and all below it.
func (w *writing) tree(c cid.Cid, e Entry) error {
	if _, ok := w.seen[nameOf(c)]; ok {
		if e.Kind == File {
			w.read(e.Size)
		}
		return nil
	}
	switch e.Kind {
	case Dir:
		return w.dir(c, e)
	case Symlink:
		node, err := symlink(e)
		return w.made(c, node, err)
	}
	return w.src.Open(e.Node, func(r io.ReaderAt) error {
		if e.Size <= inNode {
			node, err := w.small(e, r)
			return w.made(c, node, err)
		}
		return w.file(c, &leaves{r: r, left: e.Size})
	})
}

// made writes a node that was made again.
func (w *writing) made(c cid.Cid, node format.Node, err error) error {
	if err != nil {
		return err
	}
	if !node.Cid().Equals(c) {
		return ErrChanged
	}
	_, err = w.put(c, node.RawData())
	return err
}

// dir writes a directory's node, or one of its shards, and what is below.
func (w *writing) dir(c cid.Cid, e Entry) error {
	node, err := w.nodes.Get(w.ctx, c)
	if err != nil {
		return err
	}
	if isNew, err := w.put(c, node.RawData()); err != nil || !isNew {
		return err
	}
	fsn, err := ft.FSNodeFromBytes(node.(*merkledag.ProtoNode).Data())
	if err != nil {
		return fmt.Errorf("directory %q: %w", e.Name, err)
	}
	for _, link := range node.Links() {
		name := link.Name
		if fsn.Type() == ft.THAMTShard {
			const prefix = len("ff") // where in a shard of 256
			if name = name[prefix:]; name == "" {
				if err := w.dir(link.Cid, e); err != nil {
					return err
				}
				continue
			}
		}
		err := w.src.Find(e.Node, name, func(child Entry) error { return w.tree(link.Cid, child) })
		if err != nil {
			return err
		}
	}
	return nil
}

// leaves is a file that is read in order.
type leaves struct {
	r    io.ReaderAt
	off  int64
	left int64
	buf  []byte
}

// file writes a node of a file and what is below it, whose bytes are next.
func (w *writing) file(c cid.Cid, in *leaves) error {
	if c.Type() == cid.Raw {
		return w.leaf(c, in)
	}
	node, err := w.nodes.Get(w.ctx, c)
	if err != nil {
		return err
	}
	// What is below is read even if the node is there already: the bytes behind it are further.
	if _, err := w.put(c, node.RawData()); err != nil {
		return err
	}
	for _, link := range node.Links() {
		if err := w.file(link.Cid, in); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) leaf(c cid.Cid, in *leaves) error {
	n := min(in.left, chunkSize)
	if in.buf == nil {
		in.buf = make([]byte, chunkSize)
	}
	data := in.buf[:n]
	if k, err := in.r.ReadAt(data, in.off); k < len(data) {
		return err
	}
	in.off, in.left = in.off+n, in.left-n
	w.read(n)
	if _, ok := w.seen[nameOf(c)]; ok {
		return nil
	}
	is, err := c.Prefix().Sum(data)
	if err != nil || !is.Equals(c) {
		return ErrChanged
	}
	_, err = w.put(c, data)
	return err
}

// A car is a CARv1 file that is being written. Its blocks have codecs that are none of our sealed blocks'.
type car struct {
	w   io.Writer
	buf []byte
}

func newCAR(w io.Writer, root cid.Cid) (*car, error) {
	c := root.Bytes()
	b := append([]byte("\xa2\x65roots\x81\xd8\x2a\x58"), byte(1+len(c)), 0)
	b = append(append(b, c...), "\x67version\x01"...)
	_, err := w.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
	return &car{w: w}, err
}

func (f *car) put(c cid.Cid, data []byte) error {
	name := c.Bytes()
	f.buf = binary.AppendUvarint(f.buf[:0], uint64(len(name)+len(data)))
	f.buf = append(append(f.buf, name...), data...)
	_, err := f.w.Write(f.buf)
	return err
}
