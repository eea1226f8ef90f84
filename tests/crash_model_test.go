package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A model is what a directory tree must hold: an inode for each path below its root. Inodes are shared by hard
// links and never changed: an operation puts new ones in a copy of the map.
type model map[string]*inode

// An inode is what stat, read and listxattr show.
type inode struct {
	mode    fs.FileMode // with the type
	content []byte      // or a symlink's target; nil for a directory
	mtime   int64       // ns; 0 if it was not set by hand since the last write
	xattrs  string      // "name=value name=value", sorted; only of files
	ino     uint64      // 0: not seen yet
}

// with returns m after the inode at path, under all its names, was replaced by a changed copy.
func (m model) with(path string, change func(*inode)) model {
	old, next := m[path], maps.Clone(m)
	changed := *old
	change(&changed)
	for p, n := range m {
		if n == old {
			next[p] = &changed
		}
	}
	return next
}

// put returns m with another inode at path.
func (m model) put(path string, n *inode) model {
	next := maps.Clone(m)
	next[path] = n
	return next
}

// without returns m without path.
func (m model) without(path string) model {
	next := maps.Clone(m)
	delete(next, path)
	return next
}

// moved returns m after rename(from, to), with all that is below from.
func (m model) moved(from, to string) model {
	next := m.without(to)
	if m[from] == m[to] {
		return m // two names of one file: rename does nothing
	}
	for p, n := range m {
		if rest, below := strings.CutPrefix(p, from); below && (rest == "" || rest[0] == '/') {
			delete(next, p)
			next[to+rest] = n
		}
	}
	return next
}

// look reads a tree as it is.
func look(root string) (model, error) {
	m := model{}
	byIno := map[uint64]*inode{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		ino := info.Sys().(*syscall.Stat_t).Ino
		if n := byIno[ino]; n != nil {
			m[rel] = n
			return nil
		}
		n := &inode{mode: info.Mode(), mtime: info.ModTime().UnixNano(), ino: ino}
		byIno[ino], m[rel] = n, n
		switch {
		case info.Mode().IsRegular():
			if n.content, err = os.ReadFile(path); err == nil {
				n.xattrs, err = xattrsOf(path)
			}
		case info.Mode().Type() == fs.ModeSymlink:
			var target string
			target, err = os.Readlink(path)
			n.content = []byte(target)
		}
		return err
	})
	return m, err
}

func xattrsOf(path string) (string, error) {
	names := make([]byte, 4096)
	n, err := unix.Listxattr(path, names)
	if err != nil {
		return "", err
	}
	var all []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		val := make([]byte, 4096)
		k, err := unix.Getxattr(path, name, val)
		if err != nil {
			return "", err
		}
		all = append(all, name+"="+string(val[:k]))
	}
	slices.Sort(all)
	return strings.Join(all, " "), nil
}

// differs says where a tree as it is is not what it must be, or nil. The content of one inode may be in doubt.
func (m model) differs(is model, d *doubt) error {
	var errs []error
	bad := func(format string, args ...any) {
		if len(errs) < 10 {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	pairs := map[*inode]*inode{} // hard links stay together, and apart from all others
	for _, path := range slices.Sorted(maps.Keys(m)) {
		want, got := m[path], is[path]
		if got == nil {
			bad("%s (%v, %d bytes) is gone", path, want.mode, len(want.content))
			continue
		}
		if p := pairs[want]; p != nil && p != got {
			bad("%s is no longer a link of what it was", path)
		}
		pairs[want] = got
		why := ""
		switch want {
		case d.of:
			why = d.differs(got)
		default:
			why = want.differs(got)
		}
		if why != "" {
			bad("%s: %s", path, why)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(is)) {
		if m[path] == nil {
			bad("%s is there, and was not", path)
		}
	}
	return errors.Join(errs...)
}

func (n *inode) differs(got *inode) string {
	switch {
	case n.mode != got.mode:
		return fmt.Sprintf("mode %v, want %v", got.mode, n.mode)
	case !bytes.Equal(n.content, got.content):
		at := 0
		for at < min(len(n.content), len(got.content)) && n.content[at] == got.content[at] {
			at++
		}
		end := at
		for end < min(len(n.content), len(got.content)) && n.content[end] != got.content[end] {
			end++
		}
		return fmt.Sprintf("%d bytes, want %d; they differ from %d to %d (%x, want %x)", len(got.content), len(n.content),
			at, end, got.content[at:min(at+8, len(got.content))], n.content[at:min(at+8, len(n.content))])
	case n.mtime != 0 && n.mtime != got.mtime:
		return fmt.Sprintf("mtime %d, want %d", got.mtime, n.mtime)
	case n.xattrs != got.xattrs:
		return fmt.Sprintf("xattrs %q, want %q", got.xattrs, n.xattrs)
	case n.ino != 0 && n.ino != got.ino:
		return fmt.Sprintf("inode number %d, was %d", got.ino, n.ino)
	}
	return ""
}

// A doubt is an edit that no close has ended: of its bytes some may be there.
type doubt struct {
	of    *inode
	was   []byte   // the content that is safe
	since [][]byte // what it was after each write since then, the one under way too
	cut   bool     // it was emptied in between
}

// now is the content as the program sees it.
func (d *doubt) now() []byte {
	if len(d.since) > 0 {
		return d.since[len(d.since)-1]
	}
	if d.cut {
		return nil
	}
	return d.was
}

// synced is d after an fsync.
func (d *doubt) synced() { d.was, d.since, d.cut = d.now(), nil, false }

// differs allows each byte to be as it was, or as a write left it.
func (d *doubt) differs(got *inode) string {
	states := append([][]byte{d.was}, d.since...)
	least, most := len(d.was), 0
	for _, s := range states {
		least, most = min(least, len(s)), max(most, len(s))
	}
	if d.cut {
		least = 0
	}
	if got.mode != d.of.mode || len(got.content) < least || len(got.content) > most {
		return fmt.Sprintf("mode %v, want %v; %d bytes, want %d to %d", got.mode, d.of.mode, len(got.content), least, most)
	}
	if got.xattrs != d.of.xattrs || d.of.ino != 0 && got.ino != d.of.ino {
		return fmt.Sprintf("xattrs %q, want %q; inode number %d, was %d", got.xattrs, d.of.xattrs, got.ino, d.of.ino)
	}
	for i, c := range got.content {
		hole := c == 0 && (d.cut || i >= len(d.was))
		if !hole && !slices.ContainsFunc(states, func(s []byte) bool { return i < len(s) && s[i] == c }) {
			return fmt.Sprintf("byte %d of %d is %#x, as no write left it", i, len(got.content), c)
		}
	}
	return ""
}

// settled is a tree as it is, as the model to go on with: times are known only where they were set.
func settled(is, was model) model {
	next := model{}
	copies := map[*inode]*inode{}
	for path, n := range is {
		c := copies[n]
		if c == nil {
			c = new(*n)
			c.mtime = 0
			if w := was[path]; w != nil && w.mtime == n.mtime {
				c.mtime = n.mtime
			}
			copies[n] = c
		}
		next[path] = c
	}
	return next
}
