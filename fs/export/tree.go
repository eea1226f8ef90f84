package export

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A Tree is a file or directory as it was at one moment, with all that is below it.
type Tree struct {
	fs   *fs.FS
	ctx  context.Context
	root Node
}

// A Node is a file of a Tree.
type Node struct {
	ID     fs.NodeID
	Name   string // in its directory
	Attr   fs.Attr
	file   tree.FileID     // nodes with one, that is not zero, are one file
	sealed *snapshot.Inode // of a tree that is read from its sealed blocks
}

func (n Node) isDir() bool { return n.Attr.Mode&fs.ModeType == fs.ModeDir }

// Open finds what a path from the mount's top leads to: as it was at a time (as package when reads it) or in a snapshot of its volume; or, if
// at is empty, as the path itself says, which must lead to the past. Close it.
func Open(ctx context.Context, f *fs.FS, path []string, at string) (*Tree, error) {
	t := &Tree{fs: f, ctx: ctx}
	if at == "" {
		return t, t.find(path)
	}
	// By a time at the top: where the path leads to now is not where it led then.
	err := t.find(append([]string{atName, at}, path...))
	if !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	_, _, _, below, ok := f.Where(path)
	if !ok || len(path) == 0 {
		return t, err
	}
	volume := path[:len(path)-len(below)]
	if e := t.find(slices.Concat(volume, []string{atName, at}, below)); !errors.Is(e, fs.ErrNotExist) {
		err = e
	}
	return t, err
}

// find walks down from the top, and holds the last node.
func (t *Tree) find(path []string) error {
	n := Node{ID: fs.Root}
	for i, name := range path {
		e, err := t.fs.Lookup(n.ID, name)
		if n.ID != fs.Root {
			t.fs.Forget(n.ID, 1)
		}
		if err != nil {
			return fmt.Errorf("find %q: %w", strings.Join(path[:i+1], "/"), err)
		}
		n = Node{ID: e.Node, Name: name, Attr: e.Attr}
	}
	if !n.ID.IsPast() {
		if n.ID != fs.Root {
			t.fs.Forget(n.ID, 1)
		}
		return fmt.Errorf("find %q: it is not of the past", strings.Join(path, "/")) // a fault of the caller
	}
	t.root = n
	return nil
}

const atName = ".at"

// Close lets go of it.
func (t *Tree) Close() { t.fs.Forget(t.root.ID, 1) }

// Root returns what the path led to.
func (t *Tree) Root() Node { return t.root }

// children calls fn for what is in a directory. A node is good during the call.
func (t *Tree) children(dir Node, fn func(Node) error) error {
	for cookie := uint64(0); ; {
		list, err := t.fs.ReadDir(dir.ID, cookie)
		if err != nil {
			return fmt.Errorf("read directory %q: %w", dir.Name, err)
		}
		if len(list) == 0 {
			return nil
		}
		for _, d := range list {
			if err := t.ctx.Err(); err != nil {
				return err
			}
			e, ok := t.fs.Enter(d)
			if !ok {
				return fmt.Errorf("%q in %q: %w", d.Name, dir.Name, fs.ErrNotExist)
			}
			err := fn(Node{ID: e.Node, Name: string(d.Name), Attr: e.Attr, file: sameFile(e.Attr)})
			t.fs.Forget(e.Node, 1)
			if err != nil {
				return err
			}
		}
		cookie = list[len(list)-1].Cookie
	}
}

// open implements source.
func (t *Tree) open(n Node, fn func(content) error) error {
	if err := t.fs.Open(n.ID, false, false); err != nil {
		return fmt.Errorf("open %q: %w", n.Name, err)
	}
	defer t.fs.Release(n.ID, false)
	return fn(reader{t, n})
}

// describe implements source.
func (t *Tree) describe(n Node) (target []byte, attributes []tree.Xattr, err error) {
	if n.Attr.Mode&fs.ModeType == fs.ModeSymlink {
		target, err = t.fs.Readlink(n.ID)
		return target, nil, err
	}
	names, err := t.fs.ListXattr(n.ID)
	if err != nil {
		return nil, nil, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		val, err := t.fs.GetXattr(n.ID, name)
		if err != nil {
			return nil, nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		attributes = append(attributes, tree.Xattr{Name: []byte(name), Val: val})
	}
	return nil, attributes, nil
}

// sameFile tells a file with several names by its number.
func sameFile(a fs.Attr) (id tree.FileID) {
	if a.Nlink > 1 {
		binary.BigEndian.PutUint64(id[:], a.Ino)
	}
	return id
}

// A reader reads an open file.
type reader struct {
	t *Tree
	n Node
}

// Extent implements content.
func (r reader) Extent(off int64) (end int64, data bool, err error) {
	from, err := r.t.fs.SeekData(r.n.ID, off)
	if errors.Is(err, fs.ErrNoData) {
		return r.n.Attr.Size, false, nil
	}
	if err != nil || from > off {
		return from, false, err
	}
	end, err = r.t.fs.SeekHole(r.n.ID, off)
	return end, true, err
}

// ReadAt implements io.ReaderAt.
func (r reader) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		if err := r.t.ctx.Err(); err != nil {
			return done, err
		}
		n, err := r.t.fs.Read(r.n.ID, p[done:], off+int64(done))
		done += n
		if err != nil {
			return done, fmt.Errorf("read %q: %w", r.n.Name, err)
		}
		if n == 0 {
			return done, io.EOF
		}
	}
	return done, nil
}

// A Count is how much there is in a tree, or how much of it is done.
type Count struct {
	Files int64 // names
	Bytes int64 // of contents
}

// Count walks the tree. passed is told of each name.
func (t *Tree) Count(passed func(Count)) (c Count, err error) {
	var add func(Node) error
	add = func(n Node) error {
		c.Files++
		passed(Count{Files: 1})
		if n.isDir() {
			return t.children(n, add)
		}
		if n.Attr.Mode&fs.ModeType == fs.ModeRegular {
			c.Bytes += n.Attr.Size
		}
		return nil
	}
	return c, add(t.root)
}
