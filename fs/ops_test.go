package fs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

func TestWriteAndReadBack(t *testing.T) {
	r := newRig(t)
	for _, size := range []int{0, 1, inlineLimit, inlineLimit + 1, memLimit, memLimit + 1, 3 << 20} {
		name := fmt.Sprint("f", size)
		r.put(r.vol, name, pattern(size, 1))
		r.expect(r.vol, name, pattern(size, 1))
	}
	again := func() {
		t.Helper()
		for _, size := range []int{0, 1, inlineLimit, inlineLimit + 1, memLimit, memLimit + 1, 3 << 20} {
			r.expect(r.vol, fmt.Sprint("f", size), pattern(size, 1))
		}
	}
	r.seal()
	again()
	r.settled()
	r.reopen()
	again()
	r.collect()
	r.commit()
	again()
	r.collect()
	again()
	r.check()
}

func TestErrors(t *testing.T) {
	r := newRig(t)
	f := r.fs
	dir := r.mkdir(r.vol, "dir")
	r.put(r.vol, "file", []byte("x"))
	r.put(dir, "inside", []byte("x"))
	file, err := r.lookup(r.vol, "file")
	r.must(err)
	long := strings.Repeat("n", tree.MaxName+1)

	try := func(want error, errs ...error) {
		t.Helper()
		for _, err := range errs {
			r.wants(err, want)
		}
	}
	_, e1 := f.Lookup(r.vol, "nothing")
	_, e2 := f.Lookup(Root, "nobody")
	_, e3 := f.GetAttr(9999)
	try(ErrNotExist, e1, e2, e3, f.Unlink(r.vol, "nothing"), f.Rmdir(r.vol, "nothing"),
		f.Rename(r.vol, "nothing", r.vol, "x", 0), f.Rename(r.vol, "file", r.vol, "nothing", RenameExchange))
	_, e1 = f.Mkdir(r.vol, "file", 0o755, me)
	_, e2 = f.Create(r.vol, "file", 0o644, true, me)
	_, e3 = f.Symlink(r.vol, "dir", "x", me)
	_, e4 := f.Link(file, r.vol, "dir")
	try(ErrExist, e1, e2, e3, e4, f.Rename(r.vol, "file", r.vol, "dir", RenameNoReplace))
	_, e1 = f.Lookup(r.vol, long)
	_, e2 = f.Mkdir(r.vol, long, 0o755, me)
	_, e3 = f.Symlink(r.vol, "s", strings.Repeat("x", 4096), me)
	_, e4 = f.Mkdir(r.home, long, 0o755, me)
	try(ErrNameTooLong, e1, e2, e3, e4, f.Rename(r.vol, "file", r.vol, long, 0), f.Unlink(r.vol, long))
	_, e1 = f.Mkdir(Root, "x", 0o755, me)
	_, e2 = f.SetAttr(Root, Changes{}, false)
	_, e3 = f.Link(dir, r.vol, "x")
	try(ErrPermission, e1, e2, e3, f.Unlink(Root, "me"), f.Rmdir(Root, "me"), f.Rename(r.vol, "file", Root, "x", 0))
	try(ErrIsDir, f.Unlink(r.vol, "dir"), f.Rename(r.vol, "file", r.vol, "dir", 0), f.Open(dir, false, false),
		f.Open(Root, false, false), f.Unlink(r.home, "notes"))
	size := int64(1)
	_, e1 = f.SetAttr(dir, Changes{Size: &size}, false)
	try(ErrIsDir, e1)
	try(ErrNotDir, f.Rmdir(r.vol, "file"), f.Rename(r.vol, "dir", r.vol, "file", 0))
	_, e1 = f.Mkdir(file, "x", 0o755, me)
	_, e2 = f.Create(file, "x", 0o644, false, me)
	try(ErrNotDir, e1, e2)
	try(ErrNotEmpty, f.Rmdir(r.vol, "dir"), f.Rmdir(r.home, "notes"))
	empty := r.mkdir(r.vol, "empty")
	try(ErrNotEmpty, f.Rename(r.vol, "empty", r.vol, "dir", 0))
	try(ErrInvalid, f.Rename(r.vol, "dir", dir, "x", 0), f.Rename(r.vol, "file", r.vol, "y", 8),
		f.Rename(r.vol, "dir", dir, "inside", RenameExchange),
		f.Rename(r.vol, "file", r.vol, "y", RenameNoReplace|RenameExchange))
	_, e1 = f.Readlink(file)
	try(ErrInvalid, e1)
	_, e1 = f.Link(file, r.home, "x")
	try(ErrCrossVolume, e1, f.Rename(r.vol, "file", r.home, "x", 0), f.Rename(r.vol, "dir", r.home, "x", 0),
		f.Rename(r.home, "notes", r.vol, "x", 0))
	_, e1 = f.GetXattr(file, "user.x")
	try(ErrNoAttr, e1, f.RemoveXattr(file, "user.x"), f.SetXattr(file, "user.x", nil, XattrReplace))
	try(ErrNotSupported, f.SetXattr(file, "system.x", nil, 0), f.SetXattr(file, "other.x", nil, 0))
	try(ErrInvalid, f.SetXattr(file, aclAccess, []byte{2}, 0), f.SetXattr(file, "user.", nil, 0))
	try(ErrNoSpace, f.SetXattr(file, "user.x", make([]byte, tree.MaxXattrValue+1), 0))

	// None of it changed anything.
	if got := r.names(r.vol); !slices.Equal(sorted(got), []string{"dir", "empty", "file"}) {
		t.Fatalf("names %q", got)
	}
	r.expect(dir, "inside", []byte("x"))
	f.Forget(empty, 1)
	r.check()
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func TestOpenUnlinked(t *testing.T) {
	for _, size := range []int{0, 10, 100_000, 1 << 20} {
		for _, sealFirst := range []bool{false, true} {
			t.Run(fmt.Sprint(size, sealFirst), func(t *testing.T) {
				r := newRig(t)
				data := pattern(size, 3)
				r.put(r.vol, "a", data)
				if sealFirst {
					r.seal()
					r.commit()
				}
				n, err := r.lookup(r.vol, "a")
				r.must(err)
				r.must(r.fs.Open(n, true, false))
				r.must(r.fs.SetXattr(n, "user.k", []byte("v"), 0))
				r.must(r.fs.Unlink(r.vol, "a"))
				r.missing(r.vol, "a")
				r.put(r.vol, "a", []byte("another"))
				r.seal()
				r.collect()
				r.same("unlinked", r.bytesOf(n), data)
				if a := r.attr(n); a.Nlink != 0 || a.Size != int64(size) {
					t.Fatalf("%+v", a)
				}
				r.write(n, int64(size), []byte("more"))
				r.must(r.fs.Flush(n))
				r.must(r.fs.Fsync(n))
				r.quiet(5e9)
				r.same("unlinked", r.bytesOf(n), append(slices.Clone(data), "more"...))
				if v, err := r.fs.GetXattr(n, "user.k"); err != nil || string(v) != "v" {
					t.Fatal(v, err)
				}
				mode := uint32(0o600)
				a, err := r.fs.SetAttr(n, Changes{Mode: &mode}, true)
				if err != nil || a.Mode&0o777 != mode {
					t.Fatal(a, err)
				}
				_, err = r.fs.Link(n, r.vol, "back")
				r.wants(err, ErrNotExist)
				r.done(n)
				_, err = r.fs.GetAttr(n)
				r.wants(err, ErrNotExist)
				r.expect(r.vol, "a", []byte("another"))
				r.seal()
				r.settled()
				r.check()
			})
		}
	}
}

func TestOpenUnlinkedDirectory(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "d")
	r.must(r.fs.Rmdir(r.vol, "d"))
	if a := r.attr(dir); a.Mode&ModeType != ModeDir {
		t.Fatalf("%+v", a)
	}
	if got := r.names(dir); len(got) > 0 {
		t.Fatal(got)
	}
	for _, name := range []string{"x", ".x.swp"} {
		_, err := r.fs.Create(dir, name, 0o644, false, me)
		r.wants(err, ErrNotExist)
	}
	_, err := r.fs.Mkdir(dir, "x", 0o755, me)
	r.wants(err, ErrNotExist)
	r.put(r.vol, "f", []byte("x"))
	r.wants(r.fs.Rename(r.vol, "f", dir, "f", 0), ErrNotExist)
	_, err = r.fs.Lookup(dir, "x")
	r.wants(err, ErrNotExist)
	_, _, err = r.fs.DotInos(dir)
	r.must(err)
	r.check()
}

// The path has the new file's inode number from the rename on, and over a restart; who holds the old inode
// keeps the old bytes; the history of the target goes on.
func TestAtomicSave(t *testing.T) {
	for _, size := range []int{10, 100_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t)
			old, next := pattern(size, 1), pattern(size+5, 2)
			r.put(r.vol, "doc", old)
			reader, err := r.lookup(r.vol, "doc")
			r.must(err)
			r.must(r.fs.Open(reader, false, false))
			wasIno := r.attr(reader).Ino
			target := r.fileOf(reader)

			n := r.create(r.vol, "doc.tmp")
			r.write(n, 0, next)
			mode := uint32(0o600)
			_, err = r.fs.SetAttr(n, Changes{Mode: &mode}, true)
			r.must(err)
			r.must(r.fs.Fsync(n))
			r.must(r.fs.Flush(n))
			r.fs.Release(n, true)
			newIno := r.attr(n).Ino
			r.must(r.fs.Rename(r.vol, "doc.tmp", r.vol, "doc", 0))

			check := func() {
				t.Helper()
				r.missing(r.vol, "doc.tmp")
				a := r.stat(r.vol, "doc")
				if a.Ino != newIno || a.Nlink != 1 || a.Mode&0o777 != mode || a.Size != int64(len(next)) {
					t.Fatalf("%+v, want inode %d", a, newIno)
				}
				r.expect(r.vol, "doc", next)
			}
			check()
			if a := r.attr(reader); a.Ino != wasIno || a.Nlink != 0 {
				t.Fatalf("old inode: %+v", a)
			}
			r.same("old inode", r.bytesOf(reader), old)
			r.seal()
			r.commit()
			r.collect()
			r.same("old inode", r.bytesOf(reader), old)
			if r.fileOf(n) != target {
				t.Fatal("the save is no edit of the target")
			}
			v := r.heads(target)
			if len(v) != 1 || len(r.parents(v[0])) != 1 {
				t.Fatalf("heads %v: the history does not go on", v)
			}
			r.fs.Release(reader, false)
			r.fs.Forget(reader, 1)
			r.fs.Forget(n, 1)
			check()
			r.settled()
			r.reopen()
			check()
			r.check()
			r.expectVersion(r.parents(v[0])[0], old)
		})
	}
}

// Writing goes on through a handle that is open while its file is renamed over another.
func TestSaveWhileOpen(t *testing.T) {
	for _, size := range []int{10, 100_000, 1 << 20} {
		for _, fsync := range []bool{false, true} {
			t.Run(fmt.Sprint(size, fsync), func(t *testing.T) {
				r := newRig(t)
				r.put(r.vol, "doc", []byte("old"))
				target := r.fileNamed("doc")
				n := r.create(r.vol, "tmp")
				data := pattern(size, 1)
				r.write(n, 0, data)
				if fsync {
					r.must(r.fs.Fsync(n))
				}
				r.must(r.fs.Rename(r.vol, "tmp", r.vol, "doc", 0))
				r.expect(r.vol, "doc", data)
				r.write(n, int64(size), []byte("more"))
				data = append(data, "more"...)
				r.must(r.fs.Fsync(n))
				r.done(n)
				r.expect(r.vol, "doc", data)
				if r.fileNamed("doc") != target {
					t.Fatal("no edit of the target")
				}
				r.seal()
				r.settled()
				r.expect(r.vol, "doc", data)
				r.reopen()
				r.expect(r.vol, "doc", data)
				r.check()
			})
		}
	}
}

func TestRenameKinds(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(r.vol, "d")
	e := r.mkdir(r.vol, "e")
	r.put(d, "a", []byte("a"))
	r.put(e, "b", []byte("b"))
	// Two names of one file: nothing happens.
	n, err := r.lookup(d, "a")
	r.must(err)
	_, err = r.fs.Link(n, e, "a2")
	r.must(err)
	r.must(r.fs.Rename(d, "a", e, "a2", 0))
	if a := r.stat(d, "a"); a.Nlink != 2 || a != r.stat(e, "a2") {
		t.Fatalf("%+v", a)
	}
	// A rename over one name of a file with two leaves the other.
	r.must(r.fs.Rename(e, "b", d, "a", 0))
	r.expect(d, "a", []byte("b"))
	r.expect(e, "a2", []byte("a"))
	if a := r.stat(e, "a2"); a.Nlink != 1 {
		t.Fatalf("%+v", a)
	}
	// Exchange of a file and a directory.
	sub := r.mkdir(e, "sub")
	r.put(sub, "s", []byte("s"))
	r.must(r.fs.Rename(e, "sub", d, "a", RenameExchange))
	r.expect(e, "sub", []byte("b"))
	moved, err := r.lookup(d, "a")
	r.must(err)
	r.expect(moved, "s", []byte("s"))
	if _, up, _ := r.fs.DotInos(moved); up != r.attr(d).Ino {
		t.Fatal("..")
	}
	// A directory over an empty one.
	r.mkdir(r.vol, "target")
	r.must(r.fs.Rename(r.vol, "e", r.vol, "target", 0))
	r.missing(r.vol, "e")
	at, err := r.lookup(r.vol, "target")
	r.must(err)
	r.expect(at, "a2", []byte("a"))
	if a := r.attr(r.vol); a.Nlink != 4 {
		t.Fatalf("%+v", a)
	}
	r.check()
	r.commit()
	r.check()
}

func TestHardLinks(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "a", []byte("one"))
	n, err := r.lookup(r.vol, "a")
	r.must(err)
	ent, err := r.fs.Link(n, r.vol, "b")
	r.must(err)
	if ent.Node != n || ent.Attr.Nlink != 2 {
		t.Fatalf("%+v", ent)
	}
	r.put(r.vol, "b", pattern(100_000, 1))
	r.expect(r.vol, "a", pattern(100_000, 1))
	if r.stat(r.vol, "a") != r.stat(r.vol, "b") {
		t.Fatal("two inodes")
	}
	r.must(r.fs.Unlink(r.vol, "a"))
	r.expect(r.vol, "b", pattern(100_000, 1))
	if a := r.stat(r.vol, "b"); a.Nlink != 1 {
		t.Fatalf("%+v", a)
	}
	// A rename over a file with two names is no edit of it.
	_, err = r.fs.Link(n, r.vol, "c")
	r.must(err)
	r.put(r.vol, "tmp", []byte("new"))
	r.must(r.fs.Rename(r.vol, "tmp", r.vol, "b", 0))
	r.expect(r.vol, "c", pattern(100_000, 1))
	r.expect(r.vol, "b", []byte("new"))
	r.seal()
	r.check()
	r.reopen()
	r.check()
}

func TestOtherKinds(t *testing.T) {
	r := newRig(t)
	e, err := r.fs.Symlink(r.vol, "link", "to/where", me)
	r.must(err)
	if b, err := r.fs.Readlink(e.Node); err != nil || string(b) != "to/where" || e.Attr.Size != 8 || e.Attr.Mode != ModeSymlink|0o777 {
		t.Fatalf("%q %v %+v", b, err, e.Attr)
	}
	for i, mode := range []uint32{ModeFifo, ModeSocket, ModeChar, ModeBlock} {
		e, err := r.fs.Mknod(r.vol, fmt.Sprint(i), mode|0o600, 0x0103, Cred{UID: 5, GID: 6})
		r.must(err)
		if e.Attr.Mode != mode|0o600 || e.Attr.UID != 5 || e.Attr.GID != 6 || mode == ModeChar && e.Attr.Rdev != 0x0103 {
			t.Fatalf("%+v", e.Attr)
		}
		_, err = r.fs.Write(e.Node, []byte("x"), 0)
		r.wants(err, ErrInvalid)
		r.must(r.fs.Unlink(r.vol, fmt.Sprint(i)))
	}
	r.check()
}

func TestXattrs(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "a")
	r.must(r.fs.SetXattr(n, "user.a", []byte("1"), XattrCreate))
	r.wants(r.fs.SetXattr(n, "user.a", []byte("2"), XattrCreate), ErrExist)
	r.must(r.fs.SetXattr(n, "user.a", []byte("2"), XattrReplace))
	r.must(r.fs.SetXattr(n, "user.empty", nil, 0))
	if v, err := r.fs.GetXattr(n, "user.empty"); err != nil || len(v) != 0 {
		t.Fatal(v, err)
	}
	if list, err := r.fs.ListXattr(n); err != nil || string(list) != "user.a\x00user.empty\x00" {
		t.Fatalf("%q %v", list, err)
	}
	r.must(r.fs.RemoveXattr(n, "user.empty"))
	r.reopen()
	n, err := r.lookup(r.vol, "a")
	r.must(err)
	if v, err := r.fs.GetXattr(n, "user.a"); err != nil || string(v) != "2" {
		t.Fatal(v, err)
	}
	r.check()
}

func TestTimesAndModes(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "a")
	r.write(n, 0, []byte("x"))
	atime, mtime := int64(-5e9), int64(1234567890)
	_, err := r.fs.SetAttr(n, Changes{Atime: &atime, Mtime: &mtime}, true)
	r.must(err)
	r.done(n) // tar sets times before it closes
	a := r.stat(r.vol, "a")
	if a.Atime != atime || a.Mtime != mtime || a.Ctime <= mtime {
		t.Fatalf("%+v", a)
	}
	mode, uid, gid := uint32(0o4711), uint32(7), uint32(testGID)
	n, err = r.lookup(r.vol, "a")
	r.must(err)
	_, err = r.fs.SetAttr(n, Changes{Mode: &mode, UID: &uid, GID: &gid}, false)
	r.must(err)
	r.must(r.fs.KillSetID(n, nil))
	r.reopen()
	b := r.stat(r.vol, "a")
	if b.Mode != ModeRegular|0o711 || b.UID != 7 || b.GID != testGID || b.Mtime != mtime || b.Atime != atime ||
		b.Ctime <= a.Ctime || b.Ino != a.Ino {
		t.Fatalf("%+v\n%+v", a, b)
	}
	// A write sets mtime; a directory's changes when its entries do.
	was := r.attr(r.vol)
	r.put(r.vol, "a", []byte("y"))
	if c := r.stat(r.vol, "a"); c.Mtime <= start || c.Ctime <= b.Ctime {
		t.Fatalf("%+v", c)
	}
	if is := r.attr(r.vol); is.Mtime != was.Mtime {
		t.Fatalf("%+v %+v", was, is)
	}
	r.put(r.vol, "b", nil)
	if is := r.attr(r.vol); is.Mtime <= was.Mtime || is.Ctime <= was.Ctime {
		t.Fatalf("%+v %+v", was, is)
	}
	r.check()
}

func TestSetGIDDirectory(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "d")
	mode, gid := uint32(0o2775), uint32(77)
	_, err := r.fs.SetAttr(dir, Changes{Mode: &mode, GID: &gid}, false)
	r.must(err)
	r.put(dir, "f", nil)
	r.fs.Forget(r.mkdir(dir, "s"), 1)
	if a := r.stat(dir, "f"); a.GID != 77 {
		t.Fatalf("%+v", a)
	}
	if a := r.stat(dir, "s"); a.GID != 77 || a.Mode&0o2000 == 0 {
		t.Fatalf("%+v", a)
	}
}

func TestTruncate(t *testing.T) {
	for _, size := range []int64{0, 100, 100_000, 1 << 20} {
		for _, to := range []int64{0, 50, 5000, 300_000, 2 << 20} {
			for _, open := range []bool{false, true} {
				r := newRig(t)
				data := pattern(int(size), 1)
				r.put(r.vol, "a", data)
				if size%3 == 0 {
					r.seal()
				}
				want := make([]byte, to)
				copy(want, data)
				n, err := r.lookup(r.vol, "a")
				r.must(err)
				if open {
					r.must(r.fs.Open(n, true, false))
				}
				a, err := r.fs.SetAttr(n, Changes{Size: &to}, open)
				if err != nil || a.Size != to {
					t.Fatal(a, err)
				}
				r.same("truncated", r.bytesOf(n), want)
				if open {
					r.must(r.fs.Flush(n))
					r.fs.Release(n, true)
				}
				r.same("closed", r.bytesOf(n), want)
				r.fs.Forget(n, 1)
				r.seal()
				r.settled()
				r.expect(r.vol, "a", want)
				r.reopen()
				r.expect(r.vol, "a", want)
			}
		}
	}
}

// O_TRUNC is no version; truncate, write and close are one edit.
func TestTruncateAndWriteIsOneEdit(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "a", []byte("one"))
	was := r.versions()
	r.put(r.vol, "a", []byte("two"))
	if n := r.versions(); n != was+1 {
		t.Fatalf("%d versions more", n-was)
	}
	// A reader's close in between ends nothing.
	n, err := r.lookup(r.vol, "a")
	r.must(err)
	r.must(r.fs.Open(n, true, true))
	r.expect(r.vol, "a", nil)
	r.write(n, 0, []byte("three"))
	r.expect(r.vol, "a", []byte("three"))
	if n := r.versions(); n != was+1 {
		t.Fatalf("%d versions more", n-was)
	}
	r.done(n)
	r.expect(r.vol, "a", []byte("three"))
}

func TestTopAndIdentities(t *testing.T) {
	r := newRig(t)
	if got := r.names(Root); !slices.Equal(got, []string{"me"}) {
		t.Fatal(got)
	}
	r.wants(r.fs.RenameIdentity("nobody", "x"), ErrNotExist)
	r.wants(r.fs.RenameIdentity("me", "me"), ErrExist)
	r.must(r.fs.RenameIdentity("me", "ich"))
	r.missing(Root, "me")
	r.stat(Root, "ich")
	r.must(r.fs.Fsync(Root))
	r.must(r.fs.Fsync(r.vol))
	self, up, err := r.fs.DotInos(r.vol)
	if err != nil || self != r.attr(r.vol).Ino || up != r.attr(r.home).Ino {
		t.Fatal(self, up, err)
	}
	if self, up, _ := r.fs.DotInos(r.home); up != uint64(Root) || self != r.attr(r.home).Ino {
		t.Fatal(self, up)
	}
	list, err := r.fs.ReadDir(Root, 0)
	r.must(err)
	e, ok := r.fs.Enter(list[0])
	if !ok || e.Node != r.home || e.Attr.Ino != r.fs.InoOf(list[0]) {
		t.Fatal(e, ok)
	}
}

func (r *rig) fileOf(id NodeID) tree.FileID {
	r.Helper()
	n, err := r.fs.nodeOf(id)
	r.must(err)
	return n.file
}

func (r *rig) fileNamed(name string) tree.FileID {
	r.Helper()
	n, err := r.lookup(r.vol, name)
	r.must(err)
	defer r.fs.Forget(n, 1)
	return r.fileOf(n)
}

func (r *rig) heads(file tree.FileID) (ids []tree.VersionID) {
	r.Helper()
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		ino, ok := tree.GetInode(er, file)
		if !ok {
			r.Fatal("no inode")
		}
		ids = ino.HeadIDs()
		return nil
	}))
	return ids
}

func (r *rig) headsIn(n *Node) []tree.VersionID {
	r.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	ino, err := n.inodeLocked()
	r.must(err)
	return ino.HeadIDs()
}

func (r *rig) parents(v tree.VersionID) (ids []tree.VersionID) {
	r.Helper()
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		ids = tree.Parents(er, v)
		return nil
	}))
	return ids
}

// expectVersion reads a version that may be long past.
func (r *rig) expectVersion(id tree.VersionID, want []byte) {
	r.Helper()
	c, err := r.volume().content(false, id)
	r.must(err)
	if c == nil {
		r.same("version", nil, want)
		return
	}
	got := make([]byte, c.Size())
	r.must(readFull(c, got, 0))
	if !bytes.Equal(got, want) {
		r.Fatalf("version %x has other bytes", id[:4])
	}
}
