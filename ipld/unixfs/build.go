package unixfs

import (
	"context"
	"fmt"
	"io"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

// The profile unixfs-v1-2025, and what stands in its own node.
const (
	chunkSize = 1 << 20
	maxLinks  = 1024
	fanout    = 256
	shardSize = 256 << 10
	inNode    = 32 << 10
)

var builder = cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12}

// A build makes the DAG of a tree and keeps its nodes.
type build struct {
	ctx   context.Context
	src   Source
	nodes *nodes
	read  func(n int64) // is told what was read
}

// tree builds what an entry is, and all below it.
func (b *build) tree(e Entry) (format.Node, error) {
	if err := b.ctx.Err(); err != nil {
		return nil, err
	}
	switch e.Kind {
	case Dir:
		return b.dir(e)
	case Symlink:
		return symlink(e)
	}
	var node format.Node
	err := b.src.Open(e.Node, func(r io.ReaderAt) (err error) {
		node, err = b.file(e, r)
		return err
	})
	return node, err
}

func (b *build) dir(e Entry) (format.Node, error) {
	d, err := uio.NewDirectory(b.nodes, uio.WithCidBuilder(builder), uio.WithStat(e.mode(), e.Mtime), uio.WithMaxHAMTFanout(fanout),
		uio.WithSizeEstimationMode(uio.SizeEstimationBlock))
	if err != nil {
		return nil, fmt.Errorf("directory %q: %w", e.Name, err)
	}
	d.SetHAMTShardingSize(shardSize)
	err = b.src.Entries(e.Node, func(child Entry) error {
		node, err := b.tree(child)
		if err != nil {
			return err
		}
		return d.AddChild(b.ctx, child.Name, node)
	})
	if err != nil {
		return nil, err
	}
	node, err := d.GetNode()
	if err != nil {
		return nil, fmt.Errorf("directory %q: %w", e.Name, err)
	}
	return node, b.nodes.Add(b.ctx, node)
}

func symlink(e Entry) (format.Node, error) {
	fsn := ft.NewFSNode(ft.TSymlink)
	fsn.SetData([]byte(e.Target))
	fsn.SetModTime(e.Mtime)
	return wrap(fsn)
}

// wrap makes a node without links.
func wrap(fsn *ft.FSNode) (format.Node, error) {
	data, err := fsn.GetBytes()
	if err != nil {
		return nil, err
	}
	node := merkledag.NodeWithData(data)
	return node, node.SetCidBuilder(builder)
}

// file builds a file. Its leaves are not kept, nor is its node if it has none.
func (b *build) file(e Entry, r io.ReaderAt) (format.Node, error) {
	if e.Size <= inNode {
		return b.small(e, r)
	}
	params := helpers.DagBuilderParams{
		Maxlinks: maxLinks, RawLeaves: true, CidBuilder: builder, Dagserv: b.nodes, FileMode: e.mode(), FileModTime: e.Mtime,
	}
	in := &counted{io.NewSectionReader(r, 0, e.Size), b}
	db, err := params.New(chunk.NewSizeSplitter(in, chunkSize))
	if err != nil {
		return nil, err
	}
	var node format.Node
	if e.Size > chunkSize {
		node, err = balanced.Layout(db)
	} else {
		node, err = oneChunk(db) // the layout would be a leaf, which has no mode
	}
	if err != nil {
		return nil, fmt.Errorf("file %q: %w", e.Name, err)
	}
	return node, nil
}

// small builds a file that stands in its own node.
func (b *build) small(e Entry, r io.ReaderAt) (format.Node, error) {
	data := make([]byte, e.Size)
	if n, err := r.ReadAt(data, 0); n < len(data) {
		return nil, fmt.Errorf("file %q: %w", e.Name, err)
	}
	b.read(e.Size)
	fsn := ft.NewFSNode(ft.TFile)
	fsn.SetData(data)
	fsn.SetMode(e.mode())
	fsn.SetModTime(e.Mtime)
	return wrap(fsn)
}

func oneChunk(db *helpers.DagBuilderHelper) (format.Node, error) {
	leaf, size, err := db.NewLeafDataNode(ft.TFile)
	if err != nil {
		return nil, err
	}
	root := db.NewFSNodeOverDag(ft.TFile)
	if err := root.AddChild(leaf, size, db); err != nil {
		return nil, err
	}
	node, err := root.Commit()
	if err != nil {
		return nil, err
	}
	if err := db.SetFileAttributes(node); err != nil {
		return nil, err
	}
	return node, db.Add(node)
}

// counted tells what is read, and ends with the context.
type counted struct {
	r io.Reader
	b *build
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.b.read(int64(n))
	return n, err
}
