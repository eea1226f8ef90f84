package export

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/ipld/unixfs"
)

// Plain writes the tree to file, whose mode it will be, as UnixFS in a CAR, in the clear, and returns the root's CID. All is read twice, and
// told to done twice. left is told what can't be said in UnixFS and is left out.
func Plain(t *Tree, file string, mode os.FileMode, done func(Count), left func(path, why string)) (root string, err error) {
	kind, ok := kindOf(t.root)
	if !ok {
		return "", fmt.Errorf("%q: UnixFS has no files of this kind", t.root.Name)
	}
	err = writeFile(file, mode, func(out io.Writer, scratch *os.File) error {
		buffered := bufio.NewWriterSize(out, 1<<20)
		src := &plainSource{Tree: t, left: left, done: done, nodes: map[uint64]Node{}}
		e, err := src.entry(t.root, kind)
		if err != nil {
			return err
		}
		src.nodes[e.Node], e.Name = t.root, ""
		if root, err = unixfs.Export(t.ctx, buffered, scratch, src, e, func(n int64) { done(Count{Bytes: n}) }); err != nil {
			return err
		}
		return buffered.Flush()
	})
	return root, err
}

func kindOf(n Node) (unixfs.Kind, bool) {
	switch n.Attr.Mode & fs.ModeType {
	case fs.ModeRegular:
		return unixfs.File, true
	case fs.ModeDir:
		return unixfs.Dir, true
	case fs.ModeSymlink:
		return unixfs.Symlink, true
	}
	return 0, false
}

// A plainSource shows a Tree as UnixFS knows it. Of what could not be said it tells the first time.
type plainSource struct {
	*Tree
	left  func(path, why string)
	done  func(Count)
	nodes map[uint64]Node // those that are good at present: the way down to where the walk is
}

func (s *plainSource) entry(n Node, kind unixfs.Kind) (e unixfs.Entry, err error) {
	e = unixfs.Entry{
		Name: n.Name, Kind: kind, Mode: n.Attr.Mode & 0o7777, Mtime: time.Unix(0, n.Attr.Mtime), Size: n.Attr.Size, Node: uint64(n.ID),
	}
	if kind == unixfs.Symlink {
		var target []byte
		target, err = s.fs.Readlink(n.ID)
		e.Target = string(target)
	}
	return e, err
}

// with calls fn with an entry whose node is good meanwhile.
func (s *plainSource) with(n Node, kind unixfs.Kind, fn func(unixfs.Entry) error) error {
	s.done(Count{Files: 1})
	e, err := s.entry(n, kind)
	if err != nil {
		return err
	}
	if before, ok := s.nodes[e.Node]; ok { // a hard link within itself there is not; the root may be found again
		defer func() { s.nodes[e.Node] = before }()
	} else {
		defer delete(s.nodes, e.Node)
	}
	s.nodes[e.Node] = n
	return fn(e)
}

// Entries implements unixfs.Source.
func (s *plainSource) Entries(dir uint64, fn func(unixfs.Entry) error) error {
	return s.children(s.nodes[dir], func(n Node) error {
		kind, ok := kindOf(n)
		switch {
		case !ok:
			s.left(n.Name, "UnixFS has no files of this kind")
			return nil
		case !utf8.ValidString(n.Name):
			s.left(n.Name, "its name is not UTF-8")
			return nil
		}
		return s.with(n, kind, fn)
	})
}

// Find implements unixfs.Source.
func (s *plainSource) Find(dir uint64, name string, fn func(unixfs.Entry) error) error {
	e, err := s.fs.Lookup(s.nodes[dir].ID, name)
	if err != nil {
		return fmt.Errorf("find %q: %w", name, err)
	}
	defer s.fs.Forget(e.Node, 1)
	n := Node{ID: e.Node, Name: name, Attr: e.Attr}
	kind, _ := kindOf(n)
	return s.with(n, kind, fn)
}

// Open implements unixfs.Source.
func (s *plainSource) Open(file uint64, fn func(io.ReaderAt) error) error {
	return s.open(s.nodes[file], func(r content) error { return fn(r) })
}
