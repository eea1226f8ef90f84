package fs

import (
	"fmt"
	"slices"
	"testing"
)

// Device-local files are there like all others, and no event tells of them.
func TestDeviceLocalFiles(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "notes")
	r.put(dir, "a.md", []byte("a"))
	was := r.volume().log.Stats()
	for _, size := range []int{0, 10, 100_000, 1 << 20} {
		r.put(dir, ".a.md.swp", pattern(size, 1))
		r.expect(dir, ".a.md.swp", pattern(size, 1))
	}
	_, err := r.fs.Symlink(dir, ".#a.md", "me@laptop", me)
	r.must(err)
	trash := r.mkdir(r.vol, ".Trash-1000")
	r.put(trash, "anything", pattern(300_000, 2))
	sub := r.mkdir(trash, "files")
	r.put(sub, "deep", []byte("deep"))
	n, err := r.lookup(dir, ".a.md.swp")
	r.must(err)
	mode := uint32(0o600)
	_, err = r.fs.SetAttr(n, Changes{Mode: &mode}, false)
	r.must(err)
	r.must(r.fs.SetXattr(n, "user.x", []byte("y"), 0))
	_, err = r.fs.Link(n, dir, ".b.md.swp")
	r.must(err)
	r.must(r.fs.Rename(trash, "anything", sub, "moved", 0))
	r.must(r.fs.Rename(dir, ".b.md.swp", r.vol, ".c.md.swp", 0))
	check := func() {
		t.Helper()
		r.expect(dir, ".a.md.swp", pattern(1<<20, 1))
		r.expect(r.vol, ".c.md.swp", pattern(1<<20, 1))
		if a := r.stat(r.vol, ".c.md.swp"); a.Nlink != 2 || a.Mode != ModeRegular|0o600 {
			t.Fatalf("%+v", a)
		}
		r.expect(sub, "moved", pattern(300_000, 2))
		if got := sorted(r.names(dir)); !slices.Equal(got, []string{".#a.md", ".a.md.swp", "a.md"}) {
			t.Fatal(got)
		}
		if got := sorted(r.names(r.vol)); !slices.Equal(got, []string{".Trash-1000", ".c.md.swp", "notes"}) {
			t.Fatal(got)
		}
	}
	check()
	r.seal()
	check()
	r.settled()
	if is := r.volume().log.Stats(); is.UnframedEvents != was.UnframedEvents {
		t.Fatalf("%+v, then %+v", was, is)
	}
	r.check()
	r.collect()
	r.reopen()
	dir, err = r.lookup(r.vol, "notes")
	r.must(err)
	trash, err = r.lookup(r.vol, ".Trash-1000")
	r.must(err)
	sub, err = r.lookup(trash, "files")
	r.must(err)
	check()

	// A directory with device-local names only is not empty.
	r.must(r.fs.Unlink(dir, "a.md"))
	r.wants(r.fs.Rmdir(r.vol, "notes"), ErrNotEmpty)
	r.must(r.fs.Unlink(dir, ".#a.md"))
	r.must(r.fs.Unlink(dir, ".a.md.swp"))
	r.must(r.fs.Rmdir(r.vol, "notes"))
	r.check()
}

// Where a directory with device-local files was, there is nothing once it is gone, and a new one is a new one.
func TestDirectoryWithLocalFilesComesAndGoes(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		dir := r.mkdir(r.vol, ".git")
		r.missing(dir, ".x.swp")
		r.put(dir, ".x.swp", fmt.Append(nil, i))
		sub := r.mkdir(dir, ".sub")
		r.put(sub, ".y.swp", []byte("y"))
		r.expect(dir, ".x.swp", fmt.Append(nil, i))
		r.must(r.fs.Rename(dir, ".sub", r.vol, ".other", 0))
		r.missing(dir, ".sub")
		r.expect(sub, ".y.swp", []byte("y"))
		if got := r.names(dir); !slices.Equal(got, []string{".x.swp"}) {
			t.Fatal(got)
		}
		r.must(r.fs.Rename(r.vol, ".git", r.vol, ".moved", 0))
		r.missing(r.vol, ".git")
		r.expect(dir, ".x.swp", fmt.Append(nil, i))
		r.must(r.fs.Unlink(dir, ".x.swp"))
		r.must(r.fs.Rmdir(r.vol, ".moved"))
		r.missing(r.vol, ".moved")
		r.must(r.fs.Unlink(sub, ".y.swp"))
		r.must(r.fs.Rmdir(r.vol, ".other"))
		if got := r.names(r.vol); len(got) > 0 {
			t.Fatal(got)
		}
		r.check()
	}
}

// Listings merge the two kinds of names, whatever their number, and neither miss nor repeat one that stays.
func TestListingsMerge(t *testing.T) {
	r := newRig(t)
	want := map[string]bool{}
	for i := range 700 {
		name := fmt.Sprintf("f%d", i)
		if i%3 == 0 {
			name = fmt.Sprintf(".f%d.swp", i)
		}
		r.put(r.vol, name, nil)
		want[name] = i%5 != 1
	}
	seen := map[string]int{}
	for cookie, page := uint64(0), 0; ; page++ {
		list, err := r.fs.ReadDir(r.vol, cookie)
		r.must(err)
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			if e.Cookie < cookie {
				t.Fatal("cookies go back")
			}
			cookie = e.Cookie
			seen[string(e.Name)]++
			if got, ok := r.fs.Enter(e); ok {
				if got.Attr.Ino != r.fs.InoOf(e) || got.Attr.Mode&ModeType != e.Mode {
					t.Fatalf("%q: %+v, listed as %+v", e.Name, got.Attr, e)
				}
				r.fs.Forget(got.Node, 1)
			}
		}
		for name, stays := range want {
			if !stays && page%2 == 0 && len(name)%2 == 0 {
				r.must(r.fs.Unlink(r.vol, name))
				delete(want, name)
			}
		}
		r.put(r.vol, fmt.Sprint("new", page), nil)
		r.put(r.vol, ".late.swp", nil)
	}
	for name, stays := range want {
		if stays && seen[name] != 1 {
			t.Fatalf("%s was listed %d times", name, seen[name])
		}
	}
	r.check()
}
