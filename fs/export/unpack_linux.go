package export

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// ErrWrongFile says that a link does not lead into a file.
var ErrWrongFile = errors.New("the link is of another file")

// UnpackTold is whom Unpack tells how far it is. All must be there.
type UnpackTold struct {
	Read   func(n, total int64) // of each piece of the file when it is checked, and its size
	Begin  func(Count)          // what will be copied, when that begins
	Done   func(Count)
	Missed func(path string, err error)
}

// Unpack copies what Sealed has written to file to a directory, as Dir does. It needs nothing but the file and the link. Errors: ErrWrongFile,
// ErrNotEmpty, ipld.ErrDamaged, snapshot.ErrVersion.
func Unpack(ctx context.Context, file string, link ipld.Link, dir string, told UnpackTold) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	car, err := ipld.OpenCAR(f, info.Size(), func(n int64) { told.Read(n, info.Size()) })
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if car.Root() != link.CID {
		return fmt.Errorf("%s: %w", file, ErrWrongFile)
	}
	s, err := snapshot.Open(car, link)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	u := &unpacking{ctx: ctx, s: s}
	root := s.Root()
	top := u.node("", root)
	all := Count{Files: 1 + int64(root.Dir.Files), Bytes: int64(root.Dir.Bytes)}
	if !top.isDir() {
		all, top.Name = Count{Files: 1, Bytes: top.Attr.Size}, "file" // its name stands in its directory, which is not here
	}
	told.Begin(all)
	return copyTo(u, top, dir, told.Done, told.Missed)
}

// An unpacking is a tree that is read from its sealed blocks.
type unpacking struct {
	ctx context.Context
	s   *snapshot.Snapshot
}

func (u *unpacking) node(name string, i snapshot.Inode) Node {
	uid, gid := i.UID, i.GID
	if uid == tree.Owner {
		uid = uint32(os.Getuid())
	}
	if gid == tree.Owner {
		gid = uint32(os.Getgid())
	}
	return Node{
		Name: name, file: i.ID, sealed: &i,
		Attr: fs.Attr{Mode: i.Mode&0o7777 | fs.ModeOf(i.Kind), Size: i.Size(), UID: uid, GID: gid, Mtime: i.Mtime, Rdev: i.Rdev},
	}
}

// children implements source. Names that another one hides are not shown.
func (u *unpacking) children(dir Node, fn func(Node) error) error {
	return u.s.ReadDir(*dir.sealed, func(e snapshot.Entry) error {
		if err := u.ctx.Err(); err != nil || e.Rank != 0 {
			return err
		}
		return fn(u.node(string(e.Name), e.Inode))
	})
}

// open implements source.
func (u *unpacking) open(n Node, fn func(content) error) error {
	heads, err := u.s.Heads(*n.sealed)
	if err != nil || len(heads) == 0 {
		return err
	}
	return fn(cancelled{u.ctx, u.s.Content(heads[0])})
}

// describe implements source.
func (u *unpacking) describe(n Node) ([]byte, []tree.Xattr, error) {
	attributes, err := u.s.Xattrs(*n.sealed)
	return n.sealed.Target, attributes, err
}

// A cancelled content ends with its context.
type cancelled struct {
	ctx context.Context
	snapshot.Content
}

// ReadAt implements io.ReaderAt.
func (c cancelled) ReadAt(p []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Content.ReadAt(p, off)
}
