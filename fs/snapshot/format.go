package snapshot

import (
	"errors"
	"fmt"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// What sealed blocks of a snapshot hold, opened: canonical DAG-CBOR, as docs/schema/snapshot.ipldsch says. A link's key stands in the
// plain bytes, its CID in the clear beside the ciphertext: the first key belongs to the first child, and so on.

const formatVersion = 1

// Bounds. Beyond an inline bound something has a block of its own.
const (
	maxInline      = 512      // bytes of content in a head
	maxInlineHeads = 16       // heads in an inode
	maxListHeads   = 256      // heads in one node of a longer list
	maxInlineAttrs = 1 << 10  // bytes of all attributes in an inode
	maxLeaf        = 32 << 10 // bytes of the entries in a leaf, unless it has just one
	maxAttrs       = 64 << 20 // bytes that a reader takes for the attributes of one file
)

// ErrVersion says that a snapshot is of a format that this program does not know.
var ErrVersion = errors.New("snapshot of a newer version of rhizome")

type rootBlock struct {
	_         struct{} `cbor:",toarray"`
	Version   uint64
	Volume    identity.VolumeID
	Reducer   string
	Index     uint64
	OrderHash [32]byte
	Tentative bool
	Root      inodeRecord
}

type inodeRecord struct {
	_        struct{} `cbor:",toarray"`
	ID       tree.FileID
	Kind     uint64
	Mode     uint32
	UID      uint32
	GID      uint32
	Mtime    int64
	Btime    int64
	Rdev     uint32
	Target   []byte
	Volume   *identity.VolumeID
	By       string
	Attrs    []attrRecord
	AttrsAt  *contentRecord // of the encoded list, if it is long
	Heads    []headRecord
	HeadsAt  *ipld.Key // of a headsNode with the heads that follow
	Contents *dirRecord
}

type attrRecord struct {
	_    struct{} `cbor:",toarray"`
	Name []byte
	Val  []byte
}

type headRecord struct {
	_       struct{} `cbor:",toarray"`
	ID      tree.VersionID
	Size    int64
	Time    int64
	By      string
	Inline  []byte
	Content *contentRecord
}

type headsNode struct {
	_     struct{} `cbor:",toarray"`
	Heads []headRecord
	More  *ipld.Key
}

type contentRecord struct {
	_     struct{} `cbor:",toarray"`
	Size  int64
	Depth uint8
	Root  *ipld.Key // nil: zeros
}

// dirRecord is a directory's search tree; Node is nil if it is empty.
type dirRecord struct {
	_       struct{} `cbor:",toarray"`
	Entries uint64
	Size    uint64
	Files   uint64
	Bytes   uint64
	Node    *ipld.Key
}

// dirNode has one of both.
type dirNode struct {
	Leaf   []dagcbor.Raw `cbor:"leaf,omitempty"`
	Branch []childRecord `cbor:"branch,omitempty"`
}

type entryRecord struct {
	_     struct{} `cbor:",toarray"`
	Name  []byte
	Rank  uint32
	Inode inodeRecord
}

type childRecord struct {
	_       struct{} `cbor:",toarray"`
	Place   uint8
	Entries uint64
	Size    uint64
	Files   uint64
	Bytes   uint64
	Node    ipld.Key
}

// refs hands out the children of a node, in the order in which the keys are met.
type refs struct {
	children []ipld.CID
	err      error
}

// next is the link of the next key.
func (r *refs) next(key ipld.Key, codec ipld.Codec) ipld.Link {
	switch {
	case len(r.children) == 0:
		r.fail("more keys than children")
		return ipld.Link{}
	case codec != 0 && r.children[0].Codec() != codec:
		r.fail("a child of another kind")
		return ipld.Link{}
	}
	l := ipld.Link{CID: r.children[0], Key: key}
	r.children = r.children[1:]
	return l
}

func (r *refs) fail(why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", why, ipld.ErrDamaged)
	}
}

// end reports what was wrong, or that children are left.
func (r *refs) end() error {
	if len(r.children) > 0 {
		r.fail("more children than keys")
	}
	return r.err
}

func (r *refs) content(c *contentRecord) ipld.Content {
	if c == nil {
		return ipld.Content{}
	}
	out := ipld.Content{Size: c.Size, Depth: c.Depth}
	if c.Root != nil {
		out.Root = r.next(*c.Root, 0)
	}
	if err := out.Check(); err != nil && r.err == nil {
		r.err = err
	}
	return out
}

func (r *refs) heads(records []headRecord) []Head {
	heads := make([]Head, len(records))
	for i, h := range records {
		heads[i] = Head{ID: h.ID, Size: h.Size, Time: h.Time, By: h.By, Inline: h.Inline, Content: r.content(h.Content)}
		if bad := len(h.Inline) > 0 && (h.Content != nil || int64(len(h.Inline)) != h.Size); bad || h.Size < 0 ||
			h.Content != nil && h.Content.Size != h.Size {
			r.fail("a head of two sizes")
		}
	}
	return heads
}

// inode reads an inode, and takes its children.
func (r *refs) inode(rec *inodeRecord) Inode {
	i := Inode{
		ID: rec.ID, Kind: tree.Kind(rec.Kind), Mode: rec.Mode, UID: rec.UID, GID: rec.GID, Mtime: rec.Mtime, Btime: rec.Btime,
		Rdev: rec.Rdev, Target: rec.Target, By: rec.By,
	}
	if rec.Kind < uint64(tree.File) || rec.Kind > uint64(tree.Graft) {
		r.fail("an inode of no kind")
	}
	if rec.Volume != nil {
		i.Volume = *rec.Volume
	}
	for _, a := range rec.Attrs {
		i.attrs = append(i.attrs, tree.Xattr{Name: a.Name, Val: a.Val})
	}
	i.attrsAt = r.content(rec.AttrsAt)
	i.heads = r.heads(rec.Heads)
	if rec.HeadsAt != nil {
		i.headsAt = r.next(*rec.HeadsAt, ipld.DagCBOR)
	}
	if d := rec.Contents; d != nil {
		i.Dir = Dir{Entries: d.Entries, Size: d.Size, Files: d.Files, Bytes: d.Bytes}
		if d.Node != nil {
			i.Dir.Node = r.next(*d.Node, ipld.DagCBOR)
		}
	}
	if (i.Kind == tree.Dir) != (rec.Contents != nil) || (i.Dir.Entries == 0) != i.Dir.Node.IsZero() {
		r.fail("a directory without entries, or entries without one")
	}
	return i
}

// open reads a node and decodes it into v.
func open(st ipld.Store, link ipld.Link, v any) (children []ipld.CID, err error) {
	if link.CID.Codec() != ipld.DagCBOR {
		return nil, fmt.Errorf("open block %v: not a node: %w", link.CID, ipld.ErrDamaged)
	}
	b, err := st.Get(link.CID)
	if err != nil {
		return nil, err
	}
	plain, children, err := ipld.Open(b, link.Key)
	if err != nil {
		return nil, err
	}
	if err := dagcbor.Decode(plain, v); err != nil {
		return nil, fmt.Errorf("open block %v: %w: %w", link.CID, ipld.ErrDamaged, err)
	}
	return children, nil
}
