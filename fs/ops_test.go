package fs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

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
