package snapshot

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// entries makes the entries of a name: one for each claim.
func (b *builder) entries(dir tree.FileID, name []byte, claims []tree.FileID) ([]entry, error) {
	es := make([]entry, 0, len(claims))
	for rank, id := range claims {
		if err := b.step(); err != nil {
			return nil, err
		}
		ino, ok := tree.GetInode(b.r, id)
		if !ok {
			return nil, fmt.Errorf("name in directory %v: %w: it names no file", dir, tree.ErrInvariant)
		}
		rec, children, below, err := b.inode(&ino)
		if err != nil {
			return nil, err
		}
		e := entry{place: placeOf(name, uint32(rank)), children: children}
		e.raw = dagcbor.Encode(&entryRecord{Name: name, Rank: uint32(rank), Inode: rec})
		if rank == 0 {
			e.files, e.bytes = 1+below.files, below.bytes
		}
		es = append(es, e)
	}
	return es, nil
}

// inode encodes an inode, with the children that it leads to in the order of their keys, and what it adds to the counts.
func (b *builder) inode(i *tree.Inode) (rec inodeRecord, children []ipld.CID, below sum, err error) {
	rec = inodeRecord{
		ID: i.ID, Kind: uint64(i.Kind), Mode: i.Mode, UID: i.UID, GID: i.GID, Mtime: i.Mtime, Btime: i.Btime, Rdev: i.Rdev,
		Target: i.Target, By: string(i.By),
	}
	if i.Kind == tree.Graft {
		rec.Volume = &i.Volume
	}
	l := &leads{cids: children}
	if i.Xattrs > 0 {
		if err = b.attrs(i.ID, &rec, l); err != nil {
			return
		}
	}
	if err = b.heads(i.Heads, &rec, l); err != nil {
		return
	}
	if i.Kind == tree.Dir {
		var d Dir
		if d, err = b.directory(i.ID); err != nil {
			return
		}
		rec.Contents = &dirRecord{Entries: d.Entries, Size: d.Size, Files: d.Files, Bytes: d.Bytes, Node: l.to(d.Node)}
		below.files, below.bytes = d.Files, d.Bytes
	} else if i.Kind == tree.File {
		below.bytes = uint64(max(i.Size(), 0))
	}
	return rec, l.cids, below, nil
}

// leads collects the children of a record.
type leads struct{ cids []ipld.CID }

// to returns the key of a link, and notes its CID; nil for no link.
func (l *leads) to(link ipld.Link) *ipld.Key {
	if link.CID.IsZero() {
		return nil
	}
	l.cids = append(l.cids, link.CID)
	return &link.Key
}

func (l *leads) content(c ipld.Content) *contentRecord {
	return &contentRecord{Size: c.Size, Depth: c.Depth, Root: l.to(c.Root)}
}

// attrs adds a file's attributes to its record, or a content with all of them.
func (b *builder) attrs(id tree.FileID, rec *inodeRecord, l *leads) error {
	size := 0
	list := []attrRecord{}
	tree.Xattrs(b.r, id, func(name, val []byte) bool {
		list = append(list, attrRecord{Name: append([]byte(nil), name...), Val: append([]byte(nil), val...)})
		size += len(name) + len(val)
		return true
	})
	if size <= maxInlineAttrs {
		rec.Attrs = list
		return nil
	}
	c, err := b.content(dagcbor.Encode(list))
	if err != nil {
		return err
	}
	rec.AttrsAt = l.content(c)
	return nil
}

// heads adds a file's heads to its record, the first ones at least.
func (b *builder) heads(heads []tree.Head, rec *inodeRecord, l *leads) error {
	few := heads[:min(len(heads), maxInlineHeads)]
	list, err := b.headList(few, l)
	if err != nil {
		return err
	}
	rec.Heads = list
	more, err := b.moreHeads(heads[len(few):])
	rec.HeadsAt = l.to(more)
	return err
}

// moreHeads writes a list of heads, from its end.
func (b *builder) moreHeads(heads []tree.Head) (link ipld.Link, err error) {
	for len(heads) > 0 {
		from := (len(heads) - 1) / maxListHeads * maxListHeads
		l := &leads{}
		n := &headsNode{}
		if n.Heads, err = b.headList(heads[from:], l); err != nil {
			return link, err
		}
		n.More = l.to(link)
		if link, err = b.node(n, l.cids); err != nil {
			return link, err
		}
		heads = heads[:from]
	}
	return link, nil
}

func (b *builder) headList(heads []tree.Head, l *leads) ([]headRecord, error) {
	list := make([]headRecord, 0, len(heads))
	for _, h := range heads {
		rec := headRecord{ID: h.ID, Size: h.Size}
		v, ok := tree.GetVersion(b.r, h.ID)
		if ok {
			rec.Time, rec.By = v.Time, v.By
			if err := b.bytesOf(&v, &rec, l); err != nil {
				return nil, err
			}
		}
		list = append(list, rec)
	}
	return list, nil
}

// bytesOf says where a version's bytes are.
func (b *builder) bytesOf(v *tree.Version, rec *headRecord, l *leads) (err error) {
	c := v.Content
	switch {
	case v.IsInline():
		body, ok := tree.Body(b.r, *v)
		if !ok {
			return fmt.Errorf("version %v: %w: it has no body", v.ID, tree.ErrInvariant)
		}
		if len(body) <= maxInline {
			rec.Inline = body
			return nil
		}
		if c, err = b.content(body); err != nil {
			return err
		}
	case v.Pending && b.o.Content == nil:
		return fmt.Errorf("version %v: %w", v.ID, ErrPending)
	case v.Pending:
		if c, err = b.o.Content(*v); err != nil {
			return fmt.Errorf("version %v: %w", v.ID, err)
		}
	case v.Size == 0:
		return nil
	}
	rec.Content = l.content(c)
	return nil
}
