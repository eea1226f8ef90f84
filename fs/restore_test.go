package fs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// restore restores a path and returns what was done: "deed path" or "rename from -> path".
func (r *rig) restore(path string, at time.Time, o RestoreOptions) []string {
	r.Helper()
	deeds, err := r.tryRestore(path, at, o)
	r.must(err)
	r.check()
	return deeds
}

func (r *rig) tryRestore(path string, at time.Time, o RestoreOptions) (deeds []string, err error) {
	err = r.fs.Restore(context.Background(), strings.Split(path, "/"), at, o, func(d Restored) error {
		if d.Deed == DeedMoment {
			return nil
		}
		s := fmt.Sprintf("%s %s", d.Deed, d.Path)
		if d.From != "" {
			s = fmt.Sprintf("%s %s -> %s", d.Deed, d.From, d.Path)
		}
		deeds = append(deeds, s)
		return nil
	})
	slices.Sort(deeds)
	return deeds, err
}

// moment lets time pass, and returns a time between what was before and what comes.
func (r *rig) moment() time.Time {
	r.clock.forward(10 * time.Minute)
	at := r.clock.now()
	r.clock.forward(10 * time.Minute)
	return at
}

// A tree as programs see it, times of change and access and inode numbers aside: a line for each name.
func (r *rig) tree(dir NodeID) string {
	r.Helper()
	var lines []string
	first := map[uint64]string{}
	var walk func(dir NodeID, path string)
	walk = func(dir NodeID, path string) {
		names := r.names(dir)
		slices.Sort(names)
		for _, name := range names {
			p := path + "/" + name
			e, err := r.fs.Lookup(dir, name)
			r.must(err)
			a := e.Attr
			line := fmt.Sprintf("%s %o %d %d %d n%d", p, a.Mode, a.UID, a.GID, a.Mtime, a.Nlink)
			switch a.Mode & ModeType {
			case ModeDir:
			case ModeRegular:
				line += fmt.Sprintf(" %d %x", a.Size, r.get(dir, name))
			case ModeSymlink:
				target, err := r.fs.Readlink(e.Node)
				r.must(err)
				line += " " + string(target)
			default:
				line += fmt.Sprint(" ", a.Rdev)
			}
			if a.Nlink > 1 && a.Mode&ModeType != ModeDir {
				if f, ok := first[a.Ino]; ok {
					line += " = " + f
				} else {
					first[a.Ino] = p
				}
			}
			list, err := r.fs.ListXattr(e.Node)
			r.must(err)
			xs := strings.Split(strings.TrimRight(string(list), "\x00"), "\x00")
			slices.Sort(xs)
			for _, x := range xs {
				if x == "" {
					continue
				}
				val, err := r.fs.GetXattr(e.Node, x)
				r.must(err)
				line += fmt.Sprintf(" %s=%x", x, val)
			}
			lines = append(lines, line)
			if a.Mode&ModeType == ModeDir {
				walk(e.Node, p)
			}
			r.fs.Forget(e.Node, 1)
		}
	}
	walk(dir, "")
	return strings.Join(lines, "\n")
}

func (r *rig) sameTree(what string, got, want string) {
	if got == want {
		return
	}
	r.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, l := range g {
		if !slices.Contains(w, l) {
			r.Logf("%s: has     %.200s", what, l)
		}
	}
	for _, l := range w {
		if !slices.Contains(g, l) {
			r.Logf("%s: has not %.200s", what, l)
		}
	}
	r.Fatal(what + ": the tree is another one")
}

// everything fills a directory with one of each kind.
func (r *rig) everything(dir NodeID) {
	r.Helper()
	r.put(dir, "small", []byte("some text\n"))
	r.put(dir, "large", pattern(300_000, 1))
	r.put(dir, "empty", []byte{})
	sub := r.mkdir(dir, "sub")
	r.put(sub, "inner", pattern(10_000, 2))
	deep := r.mkdir(sub, "deep")
	r.put(deep, "x", []byte("x"))
	r.mkdir(dir, "void")
	e, err := r.fs.Symlink(dir, "link", "sub/inner", me)
	r.must(err)
	r.fs.Forget(e.Node, 1)
	e, err = r.fs.Mknod(dir, "fifo", ModeFifo|0o600, 0, me)
	r.must(err)
	r.fs.Forget(e.Node, 1)
	n, err := r.lookup(dir, "large")
	r.must(err)
	defer r.fs.Forget(n, 2)
	_, err = r.fs.Link(n, sub, "hard")
	r.must(err)
	mode, mtime, uid := uint32(0o640), int64(start+12345), uint32(0)
	_, err = r.fs.SetAttr(n, Changes{Mode: &mode, Mtime: &mtime, UID: &uid}, false)
	r.must(err)
	r.must(r.fs.SetXattr(n, "user.colour", []byte("blue"), 0))
	mode = 0o2700
	_, err = r.fs.SetAttr(sub, Changes{Mode: &mode, Mtime: &mtime}, false)
	r.must(err)
	r.must(r.fs.SetXattr(sub, "user.dir", []byte("yes"), 0))
}

// wipe is rm -rf of what is in a directory.
func (r *rig) wipe(dir NodeID) {
	r.Helper()
	for _, name := range r.names(dir) {
		e, err := r.fs.Lookup(dir, name)
		r.must(err)
		if e.Attr.Mode&ModeType == ModeDir {
			r.wipe(e.Node)
			r.must(r.fs.Rmdir(dir, name))
		} else {
			r.must(r.fs.Unlink(dir, name))
		}
		r.fs.Forget(e.Node, 1)
	}
}

// TestRestoreRemoved: rm -rf of a directory of everything, and all of it is back, sealed or not, after a restart too, with the same inode
// numbers, and no byte is stored twice.
func TestRestoreRemoved(t *testing.T) {
	for _, how := range []string{"sealed", "pending", "reopened"} {
		for _, timed := range []bool{true, false} {
			t.Run(fmt.Sprint(how, timed), func(t *testing.T) {
				r := newRig(t)
				dir := r.mkdir(r.vol, "dir")
				r.everything(dir)
				want, ino := r.tree(r.vol), r.stat(dir, "large").Ino
				if how != "pending" {
					r.seal()
				}
				at := r.moment()
				r.wipe(dir)
				r.must(r.fs.Rmdir(r.vol, "dir"))
				if how == "reopened" {
					r.commit()
					r.reopen()
				}
				r.clock.forward(time.Hour)
				blocks, versions := r.stored(), r.versions()
				if !timed {
					at = time.Time{}
				}
				deeds := r.restore("me/notes/dir", at, RestoreOptions{})
				if len(deeds) != 12 {
					t.Fatal(len(deeds), deeds)
				}
				got := r.tree(r.vol)
				r.sameTree("restored", got, want)
				e, err := r.fs.Lookup(r.vol, "dir")
				r.must(err)
				if is := r.stat(e.Node, "large").Ino; is != ino {
					t.Fatalf("inode %d, was %d", is, ino)
				}
				r.seal()
				if is := r.stored(); is != blocks && how != "pending" {
					t.Fatalf("%d bytes of blocks, before %d", is, blocks)
				}
				if n := r.versions(); n != versions {
					t.Fatalf("%d versions, before %d: nothing was edited", n, versions)
				}
			})
		}
	}
}

// stored is how many bytes the block store has.
func (r *rig) stored() int64 {
	_, n := r.blocks.Stats()
	return n
}

// TestRestoreEdited: what a program wrote over comes back as an edit, and that edit can be taken back the same way.
func TestRestoreEdited(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "a", pattern(100_000, 1))
	r.seal()
	mtime := r.stat(r.vol, "a").Mtime
	at := r.moment()
	r.put(r.vol, "a", pattern(100_001, 2))
	r.seal()
	blocks := r.stored()
	if deeds := r.restore("me/notes/a", at, RestoreOptions{}); !slices.Equal(deeds, []string{"change me/notes/a"}) {
		t.Fatal(deeds)
	}
	r.expect(r.vol, "a", pattern(100_000, 1))
	if is := r.stat(r.vol, "a").Mtime; is != mtime {
		t.Fatalf("mtime %d, want %d", is, mtime)
	}
	if is := r.stored(); is != blocks {
		t.Fatalf("%d bytes of blocks, before %d", is, blocks)
	}
	r.restore("me/notes/a", time.Time{}, RestoreOptions{})
	r.expect(r.vol, "a", pattern(100_001, 2))
	r.restore("me/notes/a", time.Time{}, RestoreOptions{})
	r.expect(r.vol, "a", pattern(100_000, 1))
	if deeds := r.restore("me/notes/a", at, RestoreOptions{}); len(deeds) > 0 {
		t.Fatal("it was as it was:", deeds)
	}
	_, err := r.tryRestore("me/notes/none", at, RestoreOptions{})
	r.wants(err, ErrNotExist)
	_, err = r.tryRestore("me/notes/none", time.Time{}, RestoreOptions{})
	r.wants(err, ErrNotExist)
	_, err = r.tryRestore("me/notes", time.Time{}, RestoreOptions{})
	r.wants(err, ErrInvalid)
}

// TestRestoreExact turns a tree that programs have worked on in every way into what it was, to the byte.
func TestRestoreExact(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "dir")
	r.everything(dir)
	r.put(dir, "swap1", []byte("one"))
	r.put(dir, "swap2", []byte("two"))
	inA := r.mkdir(dir, "outer")
	r.mkdir(inA, "inner")
	want := r.tree(r.vol)
	at := r.moment()

	sub, err := r.lookup(dir, "sub")
	r.must(err)
	r.must(r.fs.Rename(dir, "swap1", dir, "swap2", RenameExchange))
	r.must(r.fs.Rename(inA, "inner", dir, "was inner", 0))
	was, err := r.lookup(dir, "was inner")
	r.must(err)
	r.must(r.fs.Rename(dir, "outer", was, "was outer", 0))
	r.must(r.fs.Rename(dir, "small", sub, "moved", 0))
	r.put(dir, "small", []byte("another file\n"))
	r.must(r.fs.Unlink(dir, "large"))
	r.must(r.fs.Unlink(dir, "link"))
	r.put(dir, "link", []byte("no link"))
	r.must(r.fs.Rmdir(dir, "void"))
	r.put(dir, "void", []byte("no directory"))
	r.must(r.fs.Unlink(dir, "empty"))
	e := r.mkdir(dir, "empty")
	r.put(e, "full", []byte("full"))
	r.put(sub, "inner", pattern(20_000, 9))
	r.must(r.fs.RemoveXattr(sub, "user.dir"))
	fresh := r.mkdir(dir, "new")
	r.put(fresh, "new", []byte("new"))
	changed := r.tree(r.vol)
	back := r.moment()

	plan := r.restore("me/notes/dir", at, RestoreOptions{Exact: true, DryRun: true})
	r.sameTree("after a dry run", r.tree(r.vol), changed)
	r.restore("me/notes/dir", at, RestoreOptions{Exact: true})
	r.sameTree("restored", r.tree(r.vol), want)
	if len(plan) == 0 {
		t.Fatal("nothing was planned")
	}
	r.restore("me/notes/dir", back, RestoreOptions{Exact: true})
	r.sameTree("taken back", r.tree(r.vol), changed)
	r.commit()
	r.seal()
	r.reopen()
	r.restore("me/notes", at, RestoreOptions{Exact: true})
	r.sameTree("restored again", r.tree(r.vol), want)
}

// TestRestoreKeepsNewer: what was not there then stays, unless it is asked for.
func TestRestoreKeepsNewer(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "dir")
	r.put(dir, "a", []byte("a"))
	at := r.moment()
	r.put(dir, "a", []byte("A"))
	r.put(dir, "new", []byte("new"))
	r.must(r.fs.Rename(dir, "a", dir, "b", 0))
	deeds := r.restore("me/notes/dir", at, RestoreOptions{})
	if !slices.Equal(deeds, []string{"restore me/notes/dir/a"}) {
		t.Fatal(deeds)
	}
	r.expect(dir, "a", []byte("a"))
	r.expect(dir, "b", []byte("A"))
	r.expect(dir, "new", []byte("new"))
}

// TestRestoreVolumes: rm -rf of all that an identity has, app volumes too.
func TestRestoreVolumes(t *testing.T) {
	r := newRig(t)
	r.everything(r.vol)
	r.put(r.home, "plain", []byte("plain"))
	other := r.mkdir(r.home, "other")
	r.put(other, "o", []byte("o"))
	want := r.tree(r.home)
	at := r.moment()
	r.wipe(r.home)
	if names := r.names(r.home); len(names) != 0 {
		t.Fatal(names)
	}
	r.clock.forward(time.Hour)
	r.restore("me", at, RestoreOptions{Exact: true})
	r.sameTree("restored", r.tree(r.home), want)

	// One by one, without a time.
	r.clock.forward(time.Hour)
	r.wipe(r.home)
	r.clock.forward(time.Hour)
	r.reopen()
	r.restore("me/notes", time.Time{}, RestoreOptions{})
	r.restore("me/other/o", time.Time{}, RestoreOptions{})
	r.restore("me/plain", time.Time{}, RestoreOptions{})
	aside := func(s string) string { // the time of the directory in which one file was restored
		return strings.Join(slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool { return strings.HasPrefix(l, "/other ") }), "\n")
	}
	r.sameTree("restored one by one", aside(r.tree(r.home)), aside(want))
	want = r.tree(r.home)

	// A volume that was not there goes again.
	back := r.clock.now()
	r.clock.forward(time.Hour)
	third := r.mkdir(r.home, "third")
	r.put(third, "t", []byte("t"))
	r.must(r.fs.Rename(r.home, "other", r.home, "renamed", 0))
	r.restore("me", back, RestoreOptions{Exact: true})
	r.sameTree("without the third", r.tree(r.home), want)
}

// TestRestoreWhileOpen: programs that have a file open go on, and what they were writing is kept as a version.
func TestRestoreWhileOpen(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "a", []byte("first"))
	at := r.moment()
	r.put(r.vol, "a", []byte("second"))
	n, err := r.lookup(r.vol, "a")
	r.must(err)
	r.must(r.fs.Open(n, true, false))
	r.write(n, 0, []byte("SECOND and more"))
	r.restore("me/notes/a", at, RestoreOptions{})
	r.same("shown to who has it open", r.bytesOf(n), []byte("first"))
	r.write(n, 5, []byte(" again"))
	r.done(n)
	r.must(r.volume().merge())
	r.expect(r.vol, "a", []byte("first again"))
	if names := r.names(r.vol); len(names) != 1 {
		t.Fatal("a conflict:", names)
	}
	r.restore("me/notes/a", time.Time{}, RestoreOptions{})
	r.expect(r.vol, "a", []byte("first"))
	found := false
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		er.Scan([]byte{'b'}, nil, func(_, v []byte) bool {
			found = found || string(v) == "SECOND and more"
			return true
		})
		return nil
	}))
	if !found {
		t.Fatal("what was being written is lost")
	}

	// Removed while it is open: the path is another file's, with another number, for as long as the old one is held.
	n, err = r.lookup(r.vol, "a")
	r.must(err)
	r.must(r.fs.Open(n, true, false))
	r.must(r.fs.Unlink(r.vol, "a"))
	r.restore("me/notes/a", time.Time{}, RestoreOptions{})
	r.write(n, 0, []byte("unseen"))
	r.expect(r.vol, "a", []byte("first"))
	if r.attr(n).Ino == r.stat(r.vol, "a").Ino {
		t.Fatal("two files have one number")
	}
	r.fs.Release(n, true)
}

// TestRestoreTells: the kernel hears of every name and file that a restore changes.
func TestRestoreTells(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "edited", []byte("1"))
	r.put(r.vol, "removed", []byte("1"))
	at := r.moment()
	r.put(r.vol, "edited", []byte("2"))
	r.must(r.fs.Unlink(r.vol, "removed"))
	r.put(r.vol, "new", []byte("new"))
	edited, err := r.lookup(r.vol, "edited")
	r.must(err)
	told := &heard{names: map[string]bool{}, nodes: map[NodeID]bool{}}
	r.fs.SetInvalidator(told)
	r.restore("me/notes", at, RestoreOptions{Exact: true})
	if !told.names["removed"] || !told.names["new"] || !told.nodes[edited] || !told.nodes[r.vol] {
		t.Fatalf("told of %v and %v", told.names, told.nodes)
	}
}

type heard struct {
	names map[string]bool
	nodes map[NodeID]bool
}

func (h *heard) InvalidateNode(id NodeID)              { h.nodes[id] = true }
func (h *heard) InvalidateEntry(_ NodeID, name string) { h.names[name] = true }
