package fs

import "testing"

// Of times that the inode says anyway there is no record, and after a restart they are what they were.
func TestMetaRecords(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "d")
	f := r.create(dir, "f")
	path := "f"
	look := func(what string, id NodeID, want bool) {
		t.Helper()
		n, _ := r.fs.table.get(id)
		if _, is := n.vol.meta(n.file); is != want {
			t.Errorf("%s: there is a record: %t, want %t", what, is, want)
		}
		had, m := r.attr(id), n.vol.metaOf(n.file, n.local)
		if m.ctime != had.Ctime || m.atime != had.Atime {
			t.Errorf("%s: a lookup finds ctime %d, atime %d, want %d, %d", what, m.ctime, m.atime, had.Ctime, had.Atime)
		}
	}
	again := func() {
		t.Helper()
		was, wasDir := r.stat(dir, path), r.stat(r.vol, "d")
		r.reopen()
		dir, _ = r.lookup(r.vol, "d")
		f, _ = r.lookup(dir, path)
		if is, isDir := r.stat(dir, path), r.stat(r.vol, "d"); is != was || isDir != wasDir {
			t.Errorf("after a restart %+v and %+v, want %+v and %+v", is, isDir, was, wasDir)
		}
	}

	close := func() {
		r.must(r.fs.Flush(f))
		r.fs.Release(f, true)
	}
	r.write(f, 0, []byte("hello"))
	close()
	look("a new file", f, false)
	look("the directory that it was made in", dir, false)
	again()

	r.must(r.fs.Rename(dir, "f", dir, "g", 0))
	path = "g"
	look("a file that was renamed", f, true)
	look("the directory where it was", dir, false)
	again()

	r.must(r.fs.Open(f, true, false))
	r.write(f, 0, []byte("hallo"))
	close()
	look("a file that was written to again", f, false)
	again()

	mode := uint32(0o600)
	_, err := r.fs.SetAttr(f, Changes{Mode: &mode}, true)
	r.must(err)
	look("a file with another mode", f, true)
	again()
}
