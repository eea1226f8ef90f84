package fs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// history lists what happened to a path, newest first: "what path", "rename from -> path".
func (r *rig) history(path string) (list []string) {
	r.Helper()
	p, err := r.fs.FindPast(strings.Split(path, "/"))
	r.must(err)
	changes, err := r.fs.History(p)
	r.must(err)
	for i, c := range changes {
		if c.Device != r.keys.Device() || i > 0 && c.Time.Sub(changes[i-1].Time) > time.Second {
			r.Fatalf("%+v, after %+v", c, changes[max(0, i-1)])
		}
		s := c.What + " " + c.Path
		if c.From != "" {
			s = c.What + " " + c.From + " -> " + c.Path
		}
		if c.Kind == tree.File {
			s += fmt.Sprint(" ", c.Bytes)
		}
		list = append(list, s)
	}
	return list
}

func (r *rig) happened(path string, want ...string) {
	r.Helper()
	if got := r.history(path); !slices.Equal(got, want) {
		r.Fatalf("history of %s:\n%s\nwant\n%s", path, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestHistoryOfFile: everything that happened to a file is told, through renames and removals, framed or not; and each version's bytes are there.
func TestHistoryOfFile(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "dir")
	r.put(dir, "a", []byte("one"))
	r.moment()
	r.put(dir, "a", pattern(10_000, 1))
	r.moment()
	n, err := r.lookup(dir, "a")
	r.must(err)
	mode, mtime := uint32(0o600), int64(start)
	_, err = r.fs.SetAttr(n, Changes{Mode: &mode}, false)
	r.must(err)
	r.moment()
	_, err = r.fs.SetAttr(n, Changes{Mtime: &mtime}, false)
	r.must(err)
	r.fs.Forget(n, 1)
	r.moment()
	r.seal()
	r.commit()
	r.must(r.fs.Rename(dir, "a", r.vol, "b", 0))
	r.moment()
	r.put(r.vol, "tmp", []byte("saved"))
	r.must(r.fs.Rename(r.vol, "tmp", r.vol, "b", 0)) // an atomic save is an edit
	r.moment()
	r.must(r.fs.Unlink(r.vol, "b"))
	r.moment()
	first := []string{
		"remove me/notes/b 5", "edit me/notes/b 5", "chmod me/notes/b 5", "rename me/notes/dir/a -> me/notes/b 10000", "touch me/notes/dir/a 10000",
		"chmod me/notes/dir/a 10000", "edit me/notes/dir/a 10000", "edit me/notes/dir/a 3", "create me/notes/dir/a 0",
	}
	r.happened("me/notes/b", first...)
	r.restore("me/notes/b", time.Time{}, RestoreOptions{})
	r.moment()
	r.happened("me/notes/b", append([]string{"restore me/notes/b 5"}, first...)...)

	// Another file under the name.
	r.must(r.fs.Unlink(r.vol, "b"))
	r.moment()
	r.put(r.vol, "b", []byte("other"))
	r.reopen()
	r.happened("me/notes/b", append([]string{"edit me/notes/b 5", "create me/notes/b 0", "remove me/notes/b 5", "restore me/notes/b 5"}, first...)...)

	p, err := r.fs.FindPast([]string{"me", "notes", "b"})
	r.must(err)
	changes, err := r.fs.History(p)
	r.must(err)
	var bodies []string
	for _, c := range changes {
		if c.What == "edit" {
			b, err := r.fs.ReadVersion(p.Volume, c.Version, 1<<20)
			r.must(err)
			bodies = append(bodies, string(b[:min(5, len(b))]))
		}
	}
	if want := []string{"other", "saved", string(pattern(5, 1)), "one"}; !slices.Equal(bodies, want) {
		t.Fatalf("%q, want %q", bodies, want)
	}
	_, err = r.fs.FindPast([]string{"me", "notes", "never"})
	r.wants(err, ErrNotExist)
}

// TestHistoryOfDirectory: which names came and went, of a directory that is gone too.
func TestHistoryOfDirectory(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "dir")
	r.put(dir, "a", []byte("one"))
	r.moment()
	r.must(r.fs.Rename(dir, "a", dir, "b", 0))
	r.moment()
	want := []string{"came me/notes/dir/b 3", "gone me/notes/dir/a 3", "came me/notes/dir/a 3", "create me/notes/dir"}
	got := r.history("me/notes/dir")
	slices.Sort(got[:2]) // they are of one moment
	slices.Sort(want[:2])
	if !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	r.wipe(dir)
	r.must(r.fs.Rmdir(r.vol, "dir"))
	r.moment()
	if got := r.history("me/notes/dir"); len(got) != 6 || got[0] != "remove me/notes/dir" || got[1] != "gone me/notes/dir/b 3" {
		t.Fatalf("%q", got)
	}
	r.wipe(r.home)
	r.moment()
	if got := r.history("me/notes/dir/b"); len(got) != 4 || got[0] != "remove me/notes/dir/b 3" {
		t.Fatalf("in a volume that is gone: %q", got)
	}
}

func (r *rig) diff(path string, from, to time.Time) (list []string) {
	r.Helper()
	r.must(r.fs.Diff(context.Background(), strings.Split(path, "/"), from, to, func(d Difference) error {
		s := d.What + " " + d.Path
		if d.From != "" {
			s = d.What + " " + d.From + " -> " + d.Path
		}
		list = append(list, s)
		return nil
	}))
	slices.Sort(list)
	return list
}

// TestDiff: what differs between two moments, one way and the other.
func TestDiff(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "dir")
	r.everything(dir)
	at := r.moment()
	if got := r.diff("me", at, time.Time{}); len(got) > 0 {
		t.Fatalf("nothing has changed: %q", got)
	}
	r.put(dir, "small", []byte("some other text\n"))
	r.must(r.fs.Unlink(dir, "large")) // the other name stays
	r.must(r.fs.Rename(dir, "sub", r.vol, "moved", 0))
	moved, err := r.lookup(r.vol, "moved")
	r.must(err)
	r.put(moved, "inner", []byte("changed"))
	r.must(r.fs.RemoveXattr(moved, "user.dir"))
	fresh := r.mkdir(dir, "fresh")
	r.put(fresh, "new", []byte("new"))
	r.must(r.fs.Unlink(dir, "fifo"))
	other := r.mkdir(r.home, "other")
	r.put(other, "o", []byte("o"))
	then := r.moment()
	want := []string{
		"added me/notes/dir/fresh", "added me/notes/dir/fresh/new", "added me/other", "added me/other/o", "attributes me/notes/moved",
		"changed me/notes/dir/small", "changed me/notes/moved/inner", "removed me/notes/dir/fifo", "removed me/notes/dir/large",
		"renamed me/notes/dir/sub -> me/notes/moved",
	}
	if got := r.diff("me", at, time.Time{}); !slices.Equal(got, want) {
		t.Fatalf("got %q\nwant %q", got, want)
	}
	back := []string{
		"added me/notes/dir/fifo", "added me/notes/dir/large", "attributes me/notes/dir/sub", "changed me/notes/dir/small",
		"changed me/notes/dir/sub/inner", "removed me/notes/dir/fresh", "removed me/notes/dir/fresh/new", "removed me/other", "removed me/other/o",
		"renamed me/notes/moved -> me/notes/dir/sub",
	}
	if got := r.diff("me", then, at); !slices.Equal(got, back) {
		t.Fatalf("got %q\nwant %q", got, back)
	}
	if got := r.diff("me/notes/dir/small", at, then); !slices.Equal(got, []string{"changed me/notes/dir/small"}) {
		t.Fatalf("%q", got)
	}
	r.wants(r.fs.Diff(context.Background(), []string{"me", "notes", "none"}, at, then, func(Difference) error { return nil }), ErrNotExist)
}
