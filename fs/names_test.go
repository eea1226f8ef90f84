package fs

import (
	"fmt"
	"slices"
	"testing"
)

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
