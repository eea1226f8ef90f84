package unixfs

import (
	"context"
	"errors"
	"fmt"
	"os"

	merkledag "github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

// nodes keeps the nodes of a DAG, and no leaf, in a temporary file. It is the part of a format.DAGService that building asks for.
type nodes struct {
	file *os.File
	size int64
	at   map[cid.Cid]span
}

type span struct {
	off int64
	len int
}

var errNoRemove = errors.New("nodes are not removed")

// Add implements format.DAGService.
func (n *nodes) Add(_ context.Context, node format.Node) error {
	c := node.Cid()
	if _, ok := n.at[c]; ok || c.Type() == cid.Raw {
		return nil
	}
	data := node.RawData()
	if _, err := n.file.WriteAt(data, n.size); err != nil {
		return fmt.Errorf("keep node: %w", err)
	}
	n.at[c] = span{n.size, len(data)}
	n.size += int64(len(data))
	return nil
}

// AddMany implements format.DAGService.
func (n *nodes) AddMany(ctx context.Context, all []format.Node) error {
	for _, node := range all {
		if err := n.Add(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// Get implements format.DAGService.
func (n *nodes) Get(_ context.Context, c cid.Cid) (format.Node, error) {
	at, ok := n.at[c]
	if !ok {
		return nil, format.ErrNotFound{Cid: c}
	}
	data := make([]byte, at.len)
	if _, err := n.file.ReadAt(data, at.off); err != nil {
		return nil, fmt.Errorf("read node: %w", err)
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, fmt.Errorf("read node: %w", err)
	}
	node.SetCidBuilder(c.Prefix())
	return node, nil
}

// GetMany implements format.DAGService.
func (n *nodes) GetMany(ctx context.Context, cids []cid.Cid) <-chan *format.NodeOption {
	out := make(chan *format.NodeOption, len(cids))
	for _, c := range cids {
		node, err := n.Get(ctx, c)
		out <- &format.NodeOption{Node: node, Err: err}
	}
	close(out)
	return out
}

// Remove implements format.DAGService.
func (n *nodes) Remove(context.Context, cid.Cid) error { return errNoRemove }

// RemoveMany implements format.DAGService.
func (n *nodes) RemoveMany(context.Context, []cid.Cid) error { return errNoRemove }
