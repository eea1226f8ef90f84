package export

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// ErrNotEmpty says that an export would go to a directory that has something in it.
var ErrNotEmpty = errors.New("it is there and not an empty directory")

// copyBytes is how much of a file is copied at once.
const copyBytes = 1 << 20

// Dir copies the tree to a directory, which is made, or is empty: what the tree is of, if that is a directory, or else the one file in it.
// Modes, times, attributes, hard links, symlinks and holes are kept, owners if root does it. done is told of each
// name and of all bytes, those of holes too; missed is told what could not be copied, or not all of it: the rest is.
func Dir(t *Tree, dir string, done func(Count), missed func(path string, err error)) error {
	return copyTo(t, t.root, dir, done, missed)
}

// A source is a tree that is copied.
type source interface {
	// children calls fn for what is in a directory. A node is good during the call.
	children(dir Node, fn func(Node) error) error
	// open opens a file for the time of fn.
	open(n Node, fn func(content) error) error
	// describe returns what a node has besides: where a symlink leads, and attributes.
	describe(n Node) (target []byte, attributes []tree.Xattr, err error)
}

// A content is the bytes of a file.
type content interface {
	io.ReaderAt
	// Extent tells what is at off, which lies before the end: data, or a hole; and where that run ends.
	Extent(off int64) (end int64, data bool, err error)
}

func copyTo(t source, top Node, dir string, done func(Count), missed func(path string, err error)) (err error) {
	if names, err := os.ReadDir(dir); err == nil && len(names) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("export to %s: %w", dir, ErrNotEmpty)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = removeAll(temp)
		}
	}()
	root, err := openDir(unix.AT_FDCWD, temp)
	if err != nil {
		return err
	}
	defer root.Close()
	c := &copying{t: t, root: root, links: map[tree.FileID]string{}, done: done, missed: missed, buf: make([]byte, copyBytes)}
	if top.isDir() {
		done(Count{Files: 1})
		err = c.inside(root, top, "")
	} else {
		err = c.node(root, top, top.Name)
	}
	if err != nil {
		return err
	}
	if err := unix.Syncfs(int(root.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := unix.Rename(temp, dir); err != nil { // over an empty one, too
		return fmt.Errorf("export to %s: %w", dir, err)
	}
	return syncDir(filepath.Dir(dir))
}

func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// removeAll removes a directory, with what is below directories that nobody may enter.
func removeAll(dir string) error {
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700) // before it is read
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// A copying is one call of Dir.
type copying struct {
	t      source
	root   *os.File
	links  map[tree.FileID]string // where the first name of a file is that may have several
	done   func(Count)
	missed func(string, error)
	buf    []byte
}

// inside copies what is in a directory to one that was made, and then the directory's own attributes.
func (c *copying) inside(to *os.File, dir Node, path string) error {
	err := c.t.children(dir, func(n Node) error { return c.node(to, n, join(path, n.Name)) })
	if err != nil {
		return err
	}
	return c.attributes(to, int(to.Fd()), ".", dir, path)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

// node copies one file into a directory.
func (c *copying) node(to *os.File, n Node, path string) error {
	c.done(Count{Files: 1})
	at := int(to.Fd())
	several := !n.isDir() && n.file != tree.FileID{}
	if first, ok := c.links[n.file]; several && ok {
		if err := unix.Linkat(int(c.root.Fd()), first, at, n.Name, 0); err == nil {
			return nil
		} // else it becomes a file of its own
	}
	if err := c.make(at, n, path); err != nil {
		return err
	}
	if several {
		c.links[n.file] = path
	}
	return nil
}

func (c *copying) make(at int, n Node, path string) error {
	fail := func(err error) error {
		if err == nil {
			return nil
		}
		return &os.PathError{Op: "make", Path: path, Err: err}
	}
	switch n.Attr.Mode & fs.ModeType {
	case fs.ModeDir:
		if err := unix.Mkdirat(at, n.Name, 0o700); err != nil {
			return fail(err)
		}
		dir, err := openDir(at, n.Name)
		if err != nil {
			return err
		}
		defer dir.Close()
		return c.inside(dir, n, path)
	case fs.ModeRegular:
		return c.regular(at, n, path)
	case fs.ModeSymlink:
		target, _, err := c.t.describe(n)
		if err == nil {
			err = unix.Symlinkat(string(target), at, n.Name)
		}
		if err != nil {
			return fail(err)
		}
		return c.attributes(nil, at, n.Name, n, path)
	}
	err := unix.Mknodat(at, n.Name, n.Attr.Mode&fs.ModeType|0o600, int(n.Attr.Rdev))
	if errors.Is(err, unix.EPERM) {
		c.missed(path, err)
		return nil
	}
	if err != nil {
		return fail(err)
	}
	return c.attributes(nil, at, n.Name, n, path)
}

// regular copies a file. One whose bytes are damaged here is missed.
func (c *copying) regular(at int, n Node, path string) error {
	fd, err := unix.Openat(at, n.Name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "make", Path: path, Err: err}
	}
	to := os.NewFile(uintptr(fd), path)
	defer to.Close()
	err = c.t.open(n, func(r content) error { return c.bytes(to, r, n) })
	if errors.Is(err, fs.ErrDamaged) || errors.Is(err, ipld.ErrNotFound) || errors.Is(err, ipld.ErrDamaged) {
		c.missed(path, err)
		return unix.Unlinkat(at, n.Name, 0)
	}
	if err != nil {
		return err
	}
	return c.attributes(to, at, n.Name, n, path)
}

// bytes copies what is no hole.
func (c *copying) bytes(to *os.File, r content, n Node) error {
	for off := int64(0); off < n.Attr.Size; {
		end, data, err := r.Extent(off)
		if err != nil {
			return err
		}
		if !data {
			c.done(Count{Bytes: end - off})
			off = end
			continue
		}
		for off < end {
			part := c.buf[:min(int64(len(c.buf)), end-off)]
			if k, err := r.ReadAt(part, off); k < len(part) {
				return err
			}
			if _, err := to.WriteAt(part, off); err != nil {
				return err
			}
			off += int64(len(part))
			c.done(Count{Bytes: int64(len(part))})
		}
	}
	return to.Truncate(n.Attr.Size)
}

// attributes sets what a copy has besides its bytes. open is the copy, if it can be opened; at and name lead to it.
func (c *copying) attributes(open *os.File, at int, name string, n Node, path string) error {
	if open != nil {
		if err := c.xattrs(open, n, path); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 { // before the mode: it takes set-id bits away
		if err := unix.Fchownat(at, name, int(n.Attr.UID), int(n.Attr.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "chown", Path: path, Err: err}
		}
	}
	if n.Attr.Mode&fs.ModeType != fs.ModeSymlink {
		if err := unix.Fchmodat(at, name, n.Attr.Mode&0o7777, 0); err != nil {
			return &os.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	times := []unix.Timespec{unix.NsecToTimespec(n.Attr.Mtime), unix.NsecToTimespec(n.Attr.Mtime)}
	if err := unix.UtimesNanoAt(at, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "set times", Path: path, Err: err}
	}
	return nil
}

// xattrs sets extended attributes. What the target's file system or user may not have is missed.
func (c *copying) xattrs(open *os.File, n Node, path string) error {
	_, attributes, err := c.t.describe(n)
	if err != nil {
		return fmt.Errorf("attributes of %q: %w", path, err)
	}
	for _, a := range attributes {
		if err := unix.Fsetxattr(int(open.Fd()), string(a.Name), a.Val, 0); err != nil {
			c.missed(path, fmt.Errorf("its attribute %s: %w", a.Name, err))
		}
	}
	return nil
}
