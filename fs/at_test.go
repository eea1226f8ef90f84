package fs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
)

// then is what dir was at a name in its .at. The test keeps it.
func (r *rig) then(dir NodeID, name string) NodeID {
	r.Helper()
	n, err := r.at(dir, name)
	r.must(err)
	return n
}

// now is a name in a .at for the present, which is past when the caller has it.
func (r *rig) now() string {
	defer r.clock.forward(time.Millisecond)
	return r.clock.now().UTC().Format(time.RFC3339Nano)
}

// .at is in every directory that the log has, for who looks for it.
func TestAtIsFoundAndNotListed(t *testing.T) {
	r := newRig(t)
	sub := r.mkdir(r.vol, "sub")
	for _, dir := range []NodeID{Root, r.home, r.vol, sub} {
		at, err := r.lookup(dir, atName)
		r.must(err)
		if !at.IsPast() || dir.IsPast() {
			t.Fatal("a number does not say what it is of")
		}
		if a := r.attr(at); a.Mode&ModeType != ModeDir || a.Ino == r.attr(dir).Ino {
			t.Fatalf(".at is %+v", a)
		}
		if names := r.names(dir); slices.Contains(names, atName) {
			t.Fatalf("listed: %v", names)
		}
		if names := r.names(at); len(names) > 0 {
			t.Fatalf(".at lists %v", names)
		}
		_, parent, err := r.fs.DotInos(at)
		r.must(err)
		if parent != r.attr(dir).Ino {
			t.Fatal("its .. is another directory")
		}
		back, err := r.lookup(at, "..")
		r.must(err)
		if back != dir {
			t.Fatalf(".. is %d, want %d", back, dir)
		}
		r.fs.Forget(at, 1)
	}
	r.missing(r.mkdir(r.vol, ".Trash-1"), atName) // the device's own
	r.missing(r.then(r.vol, r.now()), atName)
}

// Names that stand for no time, or for none that there was, lead nowhere; and the kernel is told to ask again.
func TestAtOfNoTime(t *testing.T) {
	r := newRig(t)
	before := r.now()
	sub := r.mkdir(r.vol, "sub")
	made := r.now()
	at, err := r.lookup(sub, atName)
	r.must(err)
	for _, name := range []string{
		before, "rubbish", "1", "10 m", "2026-13-01", "1970-01-01", "3000-01-01", "100w", "", "-1h", nameOf(eventlog.Moment{Time: r.clock.at + 1e9}),
		strings.Repeat("9", 254) + "s",
	} {
		if e, err := r.fs.Lookup(at, name); !errors.Is(err, ErrNotExist) || !e.Fleeting {
			t.Errorf("%q: %+v, %v", name, e, err)
		}
	}
	_, err = r.fs.Lookup(at, strings.Repeat("9", 256))
	r.wants(err, ErrNameTooLong)
	for name, fleeting := range map[string]bool{made: false, "0s": true, "now": true} {
		if e, err := r.fs.Lookup(at, name); err != nil || e.Fleeting != fleeting {
			t.Errorf("%q: %+v, %v", name, e, err)
		}
	}
}

// A name like 1h stands for one moment for as long as it is used, and for a later one when it was not used for a while.
func TestAtStandsStillInUse(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "f", []byte("one"))
	r.clock.forward(30 * time.Second)
	r.put(r.vol, "f", []byte("two"))
	r.clock.forward(9*time.Minute + 45*time.Second)
	for range 20 { // together more than the half minute that is missing
		then := r.then(r.vol, "10m")
		r.expect(then, "f", []byte("one"))
		r.fs.Forget(then, 1) // a kernel that is short of memory
		r.clock.forward(4 * time.Second)
	}
	then := r.then(r.vol, "10m")
	for range 20 { // who is inside uses it, too
		r.expect(then, "f", []byte("one"))
		r.clock.forward(4 * time.Second)
	}
	r.clock.forward(2 * time.Second)
	later := r.then(r.vol, "10m")
	if later == then {
		t.Fatal("the name stands for the old moment")
	}
	r.expect(later, "f", []byte("two"))
	r.expect(then, "f", []byte("one")) // for who has kept it
	r.fs.Forget(then, 1)
	r.fs.Forget(later, 1)
	for i := range 1000 {
		r.fs.Forget(r.then(r.vol, fmt.Sprintf("%ds", i)), 1)
		r.clock.forward(time.Second)
	}
	if n := len(r.fs.past.views); n > 2*sweepViews {
		t.Fatalf("%d views are kept", n)
	}
}

// Every change of the past is refused as one of a file system that is read-only, and so is taking .at away. Making it fails as of a name that
// is there.
func TestThePastDoesNotChange(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "f", []byte("one"))
	r.mkdir(r.vol, "d")
	live, err := r.lookup(r.vol, "f")
	r.must(err)
	then := r.then(r.vol, r.now())
	at, err := r.lookup(r.vol, atName)
	r.must(err)
	f, err := r.lookup(then, "f")
	r.must(err)
	size, mode := int64(0), uint32(0o600)
	entry := func(_ Entry, err error) error { return err }
	attr := func(_ Attr, err error) error { return err }
	for i, err := range []error{
		r.fs.Open(f, true, false), r.fs.Open(f, false, true),
		attr(r.fs.SetAttr(f, Changes{Size: &size}, false)), attr(r.fs.SetAttr(f, Changes{Mode: &mode}, false)),
		attr(r.fs.SetAttr(f, Changes{Mtime: &size}, false)),
		r.fs.SetXattr(f, "user.x", []byte("x"), 0), r.fs.RemoveXattr(f, "user.x"),
		entry(r.fs.Mkdir(then, "new", 0o755, me)), entry(r.fs.Create(then, "new", 0o644, true, me)),
		entry(r.fs.Mknod(then, "new", ModeFifo, 0, me)), entry(r.fs.Symlink(then, "new", "x", me)),
		entry(r.fs.Link(f, then, "new")), entry(r.fs.Link(f, r.vol, "new")), entry(r.fs.Link(live, then, "new")),
		entry(r.fs.Tmpfile(then, 0o644, false, me)),
		r.fs.Unlink(then, "f"), r.fs.Rmdir(then, "d"),
		r.fs.Rename(then, "f", then, "g", 0), r.fs.Rename(then, "f", r.vol, "g", 0), r.fs.Rename(r.vol, "f", then, "g", 0),
		entry(r.fs.Mkdir(at, "new", 0o755, me)),

		r.fs.Rmdir(r.vol, atName), r.fs.Unlink(r.vol, atName),
		r.fs.Rename(r.vol, atName, r.vol, "g", 0), r.fs.Rename(r.vol, "d", r.vol, atName, 0), r.fs.Rename(r.vol, "f", r.vol, atName, 0),
		r.fs.Rename(r.vol, "f", r.vol, atName, RenameExchange),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if _, err := r.fs.Write(f, []byte("x"), 0); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	if _, err := r.fs.Copy(live, 0, f, 0, 3); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	if err := r.fs.Allocate(f, 0, 3, Allocation{}); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	for i, err := range []error{
		entry(r.fs.Mkdir(r.vol, atName, 0o755, me)), entry(r.fs.Mkdir(r.home, atName, 0o755, me)), entry(r.fs.Create(r.vol, atName, 0o644, true, me)),
		entry(r.fs.Symlink(r.vol, atName, "x", me)), entry(r.fs.Link(live, r.vol, atName)),
	} {
		if !errors.Is(err, ErrExist) {
			t.Errorf("making %d: %v", i, err)
		}
	}
	r.must(r.fs.Flush(f))
	r.must(r.fs.Fsync(f))
	r.expect(then, "f", []byte("one"))
	r.check()
}

// A file that has the name since before it was taken is there as ever, now and then.
func TestARealAtWins(t *testing.T) {
	r := newRig(t)
	make := func(name string) {
		t.Helper()
		r.must(r.volume().update(func(t *txn) error {
			t.apply(false, tree.Create{
				ID: r.fs.newFileID(), Parent: tree.RootID, Name: []byte(name), Kind: tree.Dir, Mode: 0o755, Time: t.now, Mtime: t.now, Btime: t.now,
			})
			return nil
		}))
	}
	make(atName)
	real, err := r.lookup(r.vol, atName)
	r.must(err)
	if real.IsPast() || !slices.Contains(r.names(r.vol), atName) {
		t.Fatal("it is hidden")
	}
	r.put(real, "f", []byte("one"))
	r.expect(r.then(real, r.now()), "f", []byte("one"))
	had := r.now()
	r.must(r.fs.Rename(r.vol, atName, r.vol, "other", 0))
	then := r.then(r.vol, had)
	in, err := r.lookup(then, atName)
	r.must(err)
	r.expect(in, "f", []byte("one"))
	r.wants(r.fs.Rename(r.vol, "other", r.vol, atName, 0), ErrReadOnly)
}

// In an identity's directory the past of its volumes is found, of each at the same time; and at the top that of the identities.
func TestPastOfVolumes(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "f", []byte("one"))
	r.put(r.home, "mine", []byte("home"))
	early := r.now()
	r.put(r.vol, "f", []byte("two"))
	diary := r.mkdir(r.home, "diary")
	r.put(diary, "today", []byte("dear"))
	late := r.now()
	r.must(r.fs.Unlink(diary, "today"))
	r.fs.Forget(diary, 1)
	r.must(r.fs.Rmdir(r.home, "diary"))
	r.must(r.fs.Rename(r.home, "notes", r.home, "papers", 0))
	for _, reopened := range []bool{false, true} {
		if reopened {
			r.reopen()
		}
		for _, top := range []bool{false, true} {
			home := func(name string) NodeID {
				if !top {
					return r.then(r.home, name)
				}
				me, err := r.lookup(r.then(Root, name), "me")
				r.must(err)
				return me
			}
			then := home(early)
			if names := sorted(r.names(then)); !slices.Equal(names, []string{"mine", "notes"}) {
				t.Fatalf("%v", names)
			}
			notes, err := r.lookup(then, "notes")
			r.must(err)
			r.expect(notes, "f", []byte("one"))
			r.missing(then, "diary")
			r.expect(then, "mine", []byte("home"))
			up, err := r.lookup(notes, "..")
			r.must(err)
			if up != then {
				t.Fatal("a volume's root leads up to another directory")
			}

			then = home(late)
			if a := r.attr(then); a.Nlink != 4 {
				t.Fatalf("%d links", a.Nlink)
			}
			diary, err := r.lookup(then, "diary")
			r.must(err)
			r.expect(diary, "today", []byte("dear"))
			notes, err = r.lookup(then, "notes")
			r.must(err)
			r.expect(notes, "f", []byte("two"))
		}
		if _, err := r.at(r.home, "2000-01-01"); !errors.Is(err, ErrNotExist) {
			t.Fatal(err)
		}
		if names := r.names(r.then(Root, "2000-01-01")); len(names) > 0 {
			t.Fatalf("%v", names)
		}
	}
}

// A directory has its past whatever its name was. What the device alone keeps is not in it.
func TestPastOfADirectory(t *testing.T) {
	r := newRig(t)
	a := r.mkdir(r.vol, "a")
	b := r.mkdir(a, "b")
	r.put(b, "f", []byte("one"))
	r.put(b, ".f.swp", []byte("swap"))
	then := r.now()
	r.must(r.fs.Unlink(b, "f"))
	r.must(r.fs.Rename(a, "b", r.vol, "c", 0))
	old := r.then(b, then)
	r.expect(old, "f", []byte("one"))
	if names := r.names(old); !slices.Equal(names, []string{"f"}) {
		t.Fatalf("%v", names)
	}
	r.missing(old, ".f.swp")
	r.missing(r.then(b, r.now()), "f")
	was := r.then(r.vol, then)
	r.missing(was, "c")
	in, err := r.lookup(was, "a")
	r.must(err)
	in, err = r.lookup(in, "b")
	r.must(err)
	r.expect(in, "f", []byte("one"))
	if r.stat(in, "f").Ino != r.stat(old, "f").Ino {
		t.Fatal("one file at one moment has two numbers")
	}
	if in == old {
		t.Fatal("the kernel would know one directory by two names")
	}
	_, parent, err := r.fs.DotInos(old)
	r.must(err)
	if at := r.stat(b, atName); parent != at.Ino {
		t.Fatal("what a view is of is in its .at")
	}
	if _, parent, err = r.fs.DotInos(in); err != nil || parent != r.stat(was, "a").Ino {
		t.Fatal("another directory is above", err)
	}
	r.must(r.fs.Unlink(b, ".f.swp"))
	r.must(r.fs.Rmdir(r.vol, "c"))
	r.expect(in, "f", []byte("one"))
}

// A directory that has become part of another one has that one's past.
func TestPastOfAJoinedDirectory(t *testing.T) {
	r := newRig(t)
	d, e := r.mkdir(r.vol, "d"), r.mkdir(r.vol, "e")
	r.put(e, "f", []byte("one"))
	at, err := r.lookup(d, atName)
	r.must(err)
	r.must(r.volume().update(func(t *txn) error {
		t.apply(false, tree.Rename{ID: r.fileOf(e), From: tree.RootID, OldName: []byte("e"), To: tree.RootID, NewName: []byte("d"), Time: t.now})
		return nil
	}))
	if ino, _ := r.volume().inodeOf(false, r.fileOf(d)); ino.ID != r.fileOf(e) {
		t.Fatal("they were not joined")
	}
	then, err := r.lookup(at, r.now())
	r.must(err)
	r.expect(then, "f", []byte("one"))
}

// Files of the past have numbers of their own, the same for each name of one.
func TestPastInodes(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "f", []byte("one"))
	f, err := r.lookup(r.vol, "f")
	r.must(err)
	_, err = r.fs.Link(f, r.vol, "g")
	r.must(err)
	first := r.then(r.vol, r.now())
	r.put(r.vol, "other", nil)
	second := r.then(r.vol, r.now())
	x, err := r.lookup(first, "f")
	r.must(err)
	y, err := r.lookup(first, "g")
	r.must(err)
	if x != y || r.attr(x).Nlink != 2 {
		t.Fatalf("two nodes, or %d links", r.attr(x).Nlink)
	}
	list, err := r.fs.ReadDir(first, 0)
	r.must(err)
	for _, e := range list {
		if r.fs.InoOf(e) != r.attr(x).Ino {
			t.Fatal("a listing has another number")
		}
		in, ok := r.fs.Enter(e)
		if !ok || in.Node != x {
			t.Fatal("a listing leads to another node")
		}
	}
	seen := map[uint64]bool{}
	for _, ino := range []uint64{r.attr(f).Ino, r.attr(x).Ino, r.stat(second, "f").Ino, r.attr(first).Ino, r.attr(second).Ino} {
		if seen[ino] || ino < 16 || ino>>63 != 0 {
			t.Fatalf("number %d", ino)
		}
		seen[ino] = true
	}
	again, err := r.lookup(x, ".") // by a handle
	r.must(err)
	if again != x {
		t.Fatal("a handle leads elsewhere")
	}
	r.fs.Forget(x, 10)
	if _, err := r.lookup(x, "."); !errors.Is(err, ErrNotExist) {
		t.Fatal(err)
	}
}

// Bytes of the past are read, sought and copied wherever they are; a copy of what is in the block store stores nothing.
func TestPastBytes(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprint("sealed ", sealed), func(t *testing.T) {
			r := newRig(t)
			const third = 300 << 10
			want := pattern(3*third, 1)
			n := r.create(r.vol, "f")
			r.write(n, 0, want[:third])
			r.write(n, 2*third, want[2*third:])
			clear(want[third : 2*third])
			r.done(n)
			data := r.stat(r.vol, "f").Data
			if sealed {
				r.seal()
			}
			then := r.then(r.vol, r.now())
			if a := r.stat(then, "f"); a.Data != data {
				t.Fatalf("%d bytes of data, were %d", a.Data, data)
			}
			r.put(r.vol, "f", []byte("small"))
			r.expect(then, "f", want)
			f, err := r.lookup(then, "f")
			r.must(err)
			_, err = r.fs.Read(f, make([]byte, 10), 0)
			r.wants(err, ErrInvalid) // it is not open
			r.must(r.fs.Open(f, false, false))
			r.holes(f, want)
			b := make([]byte, 1000)
			k, err := r.fs.Read(f, b, third-500)
			r.must(err)
			r.same("part", b[:k], want[third-500:third+500])

			_, size := r.blocks.Stats()
			g := r.create(r.vol, "g")
			done, err := r.fs.Copy(f, 0, g, 0, 10<<20)
			r.must(err)
			if done != int64(len(want)) {
				t.Fatalf("copied %d bytes", done)
			}
			r.done(g)
			r.fs.Release(f, false)
			r.seal()
			r.expect(r.vol, "g", want)
			if _, now := r.blocks.Stats(); sealed && now != size {
				t.Fatalf("%d bytes were stored", now-size)
			}
			r.seal()
			r.settled()
		})
	}
}

// names of snapshots, for a test.
type named map[string]eventlog.Moment

func (s named) Moment(_ identity.VolumeID, name string) (eventlog.Moment, bool, error) {
	m, ok := s[name]
	return m, ok, nil
}

func (s named) Names(identity.VolumeID) (names []string, _ error) {
	for name := range s {
		names = append(names, name)
	}
	return names, nil
}

// toldOf notes what the kernel is told.
type toldOf struct {
	entries []string
	nodes   []NodeID
}

func (o *toldOf) InvalidateNode(id NodeID) { o.nodes = append(o.nodes, id) }
func (o *toldOf) InvalidateEntry(parent NodeID, name string) {
	o.entries = append(o.entries, fmt.Sprint(parent, name))
}

// Snapshots have names in .at, and are all that is listed there. What the kernel keeps of a name is withdrawn when it changes.
func TestSnapshotsInAt(t *testing.T) {
	r := newRig(t)
	s, told := named{}, &toldOf{}
	r.fs.SetSnapshots(s)
	r.fs.SetInvalidator(told)
	r.put(r.vol, "f", []byte("one"))
	s["early"] = r.volume().log.Now()
	sub := r.mkdir(r.vol, "sub")
	r.put(r.vol, "f", []byte("two"))
	s["late"] = r.volume().log.Now()
	r.put(r.vol, "f", []byte("three"))
	at, err := r.lookup(r.vol, atName)
	r.must(err)
	if names := sorted(r.names(at)); !slices.Equal(names, []string{"early", "late"}) {
		t.Fatalf("%v", names)
	}
	for name, want := range map[string]string{"early": "one", "late": "two"} {
		e, err := r.fs.Lookup(at, name)
		r.must(err)
		if e.Fleeting {
			t.Fatal("the kernel asks for a snapshot again and again")
		}
		r.expect(e.Node, "f", []byte(want))
	}
	list, err := r.fs.ReadDir(at, 0)
	r.must(err)
	for _, e := range list {
		in, ok := r.fs.Enter(e)
		if by, err := r.lookup(at, string(e.Name)); !ok || err != nil || in.Node != by || in.Attr.Ino != r.fs.InoOf(e) {
			t.Fatalf("%s is listed and found as two", e.Name)
		}
	}
	inSub, err := r.lookup(sub, atName)
	r.must(err)
	if names := r.names(inSub); !slices.Equal(names, []string{"late"}) {
		t.Fatalf("%v", names)
	}
	before := r.attr(at).Mtime
	s["late"] = r.volume().log.Now()
	delete(s, "early")
	r.fs.SnapshotsChanged(r.volume().id, "late")
	if r.attr(at).Mtime <= before {
		t.Fatal("the list has changed, and its time has not")
	}
	for _, id := range []NodeID{at, inSub} {
		if !slices.Contains(told.nodes, id) || !slices.Contains(told.entries, fmt.Sprint(id, "late")) {
			t.Fatalf("%+v", told)
		}
	}
	late, err := r.lookup(at, "late")
	r.must(err)
	r.expect(late, "f", []byte("three"))
	r.missing(at, "early")
}

// While a file goes to and fro between two directories, every view shows it in one of them, however long somebody looks; and of all the
// looking nothing is left.
func TestViewsHoldStill(t *testing.T) {
	r := newRig(t)
	dirs := [2]NodeID{r.mkdir(r.vol, "x"), r.mkdir(r.vol, "y")}
	r.put(dirs[0], "f", []byte("here"))
	done := make(chan struct{})
	var wg sync.WaitGroup
	look := func(name string) error {
		at, err := r.fs.Lookup(r.vol, atName)
		if err != nil {
			return err
		}
		defer r.fs.Forget(at.Node, 1)
		then, err := r.fs.Lookup(at.Node, name)
		if err != nil {
			return err
		}
		defer r.fs.Forget(then.Node, 1)
		for range 20 {
			count := 0
			for _, dir := range []string{"x", "y"} {
				d, err := r.fs.Lookup(then.Node, dir)
				if err != nil {
					return err
				}
				f, err := r.fs.Lookup(d.Node, "f")
				if err == nil {
					count++
					r.fs.Forget(f.Node, 1)
				}
				r.fs.Forget(d.Node, 1)
			}
			if count != 1 {
				return fmt.Errorf("the file is there %d times", count)
			}
		}
		return nil
	}
	errs := make(chan error, 3)
	for i := range 3 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if err := look(fmt.Sprintf("%ds", (n+i)%2)); err != nil && !errors.Is(err, ErrNotExist) {
					errs <- err
					return
				}
				r.clock.forward(10 * time.Second)
			}
		})
	}
	for i := range 200 {
		r.must(r.fs.Rename(dirs[i%2], "f", dirs[1-i%2], "f", 0))
	}
	close(done)
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	if p := r.fs.past; len(p.nodes)+len(p.moved) != 0 {
		t.Fatalf("%d nodes are left", len(p.nodes))
	}
}
