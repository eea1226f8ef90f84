package fs

import (
	"slices"
	"testing"
)

// A user makes a trash of their own at the mount's top, and nothing else.
func TestTrashAtTop(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{".Trash-0", ".Trash-", ".Trash-07", "x", ".Trash"} {
		_, err := r.fs.Mkdir(Root, name, 0o700, me)
		r.wants(err, ErrPermission)
	}
	e, err := r.fs.Mkdir(Root, ".Trash-1000", 0o777, Cred{UID: testUID, GID: testGID, Umask: 0o077})
	r.must(err)
	if e.Attr.Mode != ModeDir|0o700 || e.Attr.UID != testUID {
		t.Fatalf("%+v", e.Attr)
	}
	_, err = r.fs.Mkdir(Root, ".Trash-1000", 0o700, me)
	r.wants(err, ErrExist)
	if got := sorted(r.names(Root)); !slices.Equal(got, []string{".Trash-1000", "me"}) {
		t.Fatal(got)
	}
	if a := r.attr(Root); a.Nlink != 4 {
		t.Fatalf("%+v", a)
	}
	if self, parent, err := r.fs.DotInos(e.Node); err != nil || self != e.Attr.Ino || parent != uint64(Root) {
		t.Fatal(self, parent, err)
	}
	r.wants(r.fs.Rename(Root, ".Trash-1000", r.home, "x", 0), ErrPermission)
	r.must(r.fs.Rmdir(Root, ".Trash-1000"))
	r.missing(Root, ".Trash-1000")
	r.wants(r.fs.Rmdir(Root, "me"), ErrPermission)
	r.check()
}

// What goes from a volume to the trash is gone from its log, is in the trash with all that it was, and comes back. The trash shows
// what all volumes have in it as one.
func TestTrashTakesFromAllVolumes(t *testing.T) {
	r := newRig(t)
	other := r.mkdir(r.home, "other")
	trash := r.mkdir(Root, ".Trash-1000")
	files, info := r.mkdir(trash, "files"), r.mkdir(trash, "info")
	r.put(r.vol, "a", pattern(1<<20, 1))
	r.put(other, "b", pattern(10, 2))
	r.put(r.home, "c", pattern(100_000, 3))
	dir := r.mkdir(other, "d")
	r.put(dir, "f", []byte("f"))
	inos := map[string]uint64{"a": r.stat(r.vol, "a").Ino, "b": r.stat(other, "b").Ino, "c": r.stat(r.home, "c").Ino, "d": r.stat(other, "d").Ino}
	from := map[string]NodeID{"a": r.vol, "b": other, "c": r.home, "d": other}
	before := r.attr(files)
	for name, dir := range from {
		r.put(info, name, []byte(name))
		r.must(r.fs.Rename(dir, name, files, name, 0))
		r.missing(dir, name)
	}
	r.wants(errOf(r.fs.Create(files, "a", 0o644, true, me)), ErrExist)
	r.wants(errOf(r.fs.Mkdir(files, "d", 0o755, me)), ErrExist)
	r.wants(r.fs.Rename(info, "a", files, "a", 0), ErrCrossVolume) // each volume has its own
	r.wants(r.fs.Rename(info, "a", files, "a", RenameNoReplace), ErrExist)
	check := func() {
		t.Helper()
		r.expect(files, "a", pattern(1<<20, 1))
		r.expect(files, "b", pattern(10, 2))
		r.expect(files, "c", pattern(100_000, 3))
		r.expect(dir, "f", []byte("f"))
		if got := sorted(r.names(files)); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
			t.Fatal(got)
		}
		for name, ino := range inos {
			if is := r.stat(files, name).Ino; is != ino {
				t.Fatalf("%s has number %d, had %d", name, is, ino)
			}
		}
		if a := r.attr(files); a.Nlink != 3 || a.Mtime <= before.Mtime || a.Ctime < a.Mtime {
			t.Fatalf("%+v, before %+v", a, before)
		}
		if _, parent, err := r.fs.DotInos(dir); err != nil || parent != r.attr(files).Ino {
			t.Fatal(parent, err)
		}
		if e, err := r.fs.Lookup(dir, ".."); err != nil || e.Node != files {
			t.Fatal(e, err)
		}
		r.check()
	}
	check()
	r.seal()
	r.commit()
	r.settled()
	r.collect()
	r.reopen()
	var err error
	find := func(dir NodeID, name string) NodeID {
		t.Helper()
		n, err := r.lookup(dir, name)
		r.must(err)
		return n
	}
	trash, other = find(Root, ".Trash-1000"), find(r.home, "other")
	files, info = find(trash, "files"), find(trash, "info")
	dir = find(files, "d")
	check()

	r.wants(r.fs.Rmdir(trash, "files"), ErrNotEmpty)
	r.wants(r.fs.Rmdir(Root, ".Trash-1000"), ErrNotEmpty)
	r.wants(r.fs.Rename(trash, "files", r.vol, "files", 0), ErrCrossVolume)
	r.wants(r.fs.Rename(trash, "files", r.home, ".Trash-7", 0), ErrCrossVolume)
	r.wants(r.fs.Rename(files, "a", other, "a", 0), ErrCrossVolume)
	r.wants(r.fs.Rename(r.home, "other", files, "other", 0), ErrCrossVolume)
	r.must(r.fs.Rename(files, "a", files, "a2", 0))
	r.must(r.fs.Rename(files, "a2", info, "a2", 0))
	r.must(r.fs.Rename(info, "a2", r.vol, "a", 0))
	r.expect(r.vol, "a", pattern(1<<20, 1))
	r.must(r.fs.Rename(files, "d", other, "d", 0))
	r.expect(dir, "f", []byte("f"))
	r.must(r.fs.Unlink(files, "b"))
	r.missing(files, "b")
	r.must(r.fs.Rename(trash, "files", trash, "moved", 0))
	r.expect(files, "c", pattern(100_000, 3))
	r.must(r.fs.Unlink(files, "c"))
	if got := r.names(files); len(got) > 0 {
		t.Fatal(got)
	}
	r.must(r.fs.Rmdir(trash, "moved"))
	for _, name := range r.names(info) {
		r.must(r.fs.Unlink(info, name))
	}
	r.must(r.fs.Rmdir(trash, "info"))
	r.must(r.fs.Rmdir(Root, ".Trash-1000"))
	r.check()
	r.seal()
	r.commit()
	r.reopen()
	r.expect(r.vol, "a", pattern(1<<20, 1))
	if got := r.names(Root); !slices.Equal(got, []string{"me"}) {
		t.Fatal(got, err)
	}
}

func errOf(_ Entry, err error) error { return err }
