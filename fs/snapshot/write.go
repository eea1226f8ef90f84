package snapshot

import (
	"bytes"
	"context"
	"fmt"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A writer seals blocks and puts them into a store, some at a time.
type writer struct {
	ctx    context.Context
	st     *ipld.Batch
	sealer *ipld.Sealer
}

// node seals a record as a node.
func (w *writer) node(v any, children []ipld.CID) (ipld.Link, error) {
	plain := dagcbor.Encode(v)
	if len(plain) > ipld.MaxPlain || len(children) > ipld.MaxChildren {
		return ipld.Link{}, fmt.Errorf("a node of %d bytes with %d children is too big", len(plain), len(children))
	}
	b, link := w.sealer.SealNode(plain, children)
	return link, w.st.Add(b)
}

// content stores bytes that are too many for where they belong.
func (w *writer) content(b []byte) (ipld.Content, error) {
	return w.sealer.Write(w.ctx, w.st, bytes.NewReader(b), int64(len(b)))
}
