package fs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// snap makes a snapshot of the app volume.
func (r *rig) snap(name string) Snapshot {
	r.Helper()
	s, err := r.fs.CreateSnapshot(context.Background(), r.volume().id, name, 0, nil)
	r.must(err)
	s.Added, s.Took = ipld.Added{}, 0 // are not remembered
	return s
}

// fromNothing is the root that a snapshot of the app volume has that is made without the one before.
func (r *rig) fromNothing() ipld.Link {
	r.Helper()
	v, root := r.volume(), ipld.Link{}
	r.must(v.log.Pin(nil, func(p *eventlog.Pin) error {
		info := snapshot.Info{Volume: v.id, Reducer: tree.Name, Index: p.Index, OrderHash: p.OrderHash, Tentative: p.Tentative > 0}
		b, err := snapshot.Build(context.Background(), snapshot.Target{Store: r.blocks, Sealer: v.sealer}, p, info, snapshot.Options{})
		root = b.Root
		return err
	}))
	return root
}

// contents reads all files of a snapshot from its blocks, by their paths.
func (r *rig) contents(root ipld.Link) map[string]string {
	r.Helper()
	s, err := snapshot.Open(r.blocks, root)
	r.must(err)
	all := map[string]string{}
	r.must(s.Walk(s.Root(), func(path [][]byte, e snapshot.Entry) error {
		heads, err := s.Heads(e.Inode)
		if err != nil {
			return err
		}
		text := e.Inode.Kind.String()
		for _, h := range heads {
			c := s.Content(h)
			b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
			if err != nil {
				return err
			}
			text += " " + string(b)
		}
		all[string(bytes.Join(path, []byte("/")))] = text
		return nil
	}))
	return all
}

func TestSnapshots(t *testing.T) {
	r := newRig(t)
	vol := r.volume().id
	dir := r.mkdir(r.vol, "dir")
	for i := range 300 {
		r.put(dir, fmt.Sprint("file", i), fmt.Appendf(nil, "text %d", i))
	}
	big := pattern(3*memLimit, 1)
	r.put(r.vol, "big", big)
	r.seal()
	if s := r.snap("early"); !s.Tentative || s.Files != 302 {
		t.Errorf("nothing is committed: %+v", s)
	}
	r.commit()
	s := r.snap("first")
	if s.Tentative || s.Index == 0 || s.Bytes < uint64(len(big)) {
		t.Errorf("all is committed: %+v", s)
	}
	if s.Root != r.fromNothing() {
		t.Error("a snapshot made from nothing has another root")
	}
	saw := r.dump(r.vol)
	if got := r.contents(s.Root); len(got) != 302 || got["dir/file7"] != "file text 7" || got["big"] != "file "+string(big) {
		t.Errorf("the blocks have %d names, file7 is %q", len(got), got["dir/file7"])
	}

	r.put(dir, "file7", []byte("another text"))
	r.must(r.fs.Unlink(r.vol, "big"))
	r.must(r.fs.Rename(r.vol, "dir", r.vol, "moved", 0))
	r.commit()
	second := r.snap("second")
	if second.Root != r.fromNothing() {
		t.Error("a snapshot made from the one before has another root than one made from nothing")
	}
	if got := r.contents(second.Root); got["moved/file7"] != "file another text" || got["moved/file8"] != "file text 8" || len(got) != 301 {
		t.Errorf("the blocks have %d names, file7 is %q", len(got), got["moved/file7"])
	}

	r.reopen()
	list, err := r.fs.Snapshots(vol)
	r.must(err)
	if len(list) != 3 || list[0].Name != "early" || list[1] != s || list[2] != second {
		t.Errorf("the list is %+v", list)
	}
	then, err := r.at(r.vol, "first")
	r.must(err)
	r.sameDump("first", r.dump(then), saw)
	r.fs.Forget(then, 1)
	r.collectHard()
	if got := r.contents(s.Root); got["big"] != "file "+string(big) {
		t.Error("a collection took what a snapshot needs")
	}

	for name, want := range map[string]error{
		"first": ErrExist, "2h": ErrInvalid, "yesterday": ErrInvalid, "2026-01-01": ErrInvalid, "a/b": ErrInvalid, "": ErrInvalid, "..": ErrInvalid,
		"-x": ErrInvalid, "a\nb": ErrInvalid, string(bytes.Repeat([]byte("x"), 200)): ErrNameTooLong,
	} {
		_, err := r.fs.CreateSnapshot(context.Background(), vol, name, 0, nil)
		r.wants(err, want)
	}
	r.wants(r.fs.DeleteSnapshot(vol, "nobody"), ErrNotExist)
	for _, name := range []string{"first", "early", "second"} {
		r.must(r.fs.DeleteSnapshot(vol, name))
		_, err := r.at(r.vol, name)
		r.wants(err, ErrNotExist)
	}
	if pins, err := r.volume().pins(); err != nil || len(pins) != 0 {
		t.Errorf("%d moments are kept: %v", len(pins), err)
	}
	dead, err := r.fs.Garbage(context.Background())
	r.must(err)
	if dead == 0 {
		t.Error("what only snapshots needed is needed still")
	}
}

// A snapshot has what was closed before it, also if that is sealed while it is made, and gone from the state when it is done; and collections keep
// it.
func TestSnapshotOfUnsealed(t *testing.T) {
	r := newRig(t)
	v := r.volume()
	n := r.create(r.vol, "f")
	r.put(r.vol, "other", pattern(20_000, 3))
	text := pattern(20_000, 1)
	r.write(n, 0, text)
	r.quiet(2 * time.Second) // a quiet version
	node, err := r.fs.nodeOf(n)
	r.must(err)
	var s Snapshot
	done := make(chan error)
	go func() {
		var err error
		s, err = r.fs.CreateSnapshot(context.Background(), v.id, "s", 0, nil)
		done <- err
	}()
	for hasMoment := false; !hasMoment; time.Sleep(time.Millisecond) {
		if m := v.making.Load(); m != nil {
			_, hasMoment = m.pinned()
		}
	}
	r.seal()
	r.must(<-done)
	r.write(n, 0, pattern(20_000, 2))
	r.must(r.fs.endEdit(node, false)) // drops it
	r.seal()
	r.commit()
	r.collectHard()
	r.reopen()
	if got := r.contents(s.Root); got["f"] != "file "+string(text) || got["other"] != "file "+string(pattern(20_000, 3)) {
		t.Errorf("f has %d bytes", len(got["f"]))
	}
}

// A snapshot can be made while a collection runs, whenever it begins.
func TestSnapshotDuringCollection(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.put(r.vol, fmt.Sprint(i), pattern(5000, byte(i)))
	}
	r.seal()
	r.commit()
	var snaps []Snapshot
	for at := range 12 {
		r.put(r.vol, fmt.Sprint(at), pattern(6000, byte(at)))
		r.seal()
		if at > 0 {
			r.must(r.fs.DeleteSnapshot(r.volume().id, snaps[at-1].Name)) // what the next is made from
		}
		yields := 0
		made := false
		_, err := r.blocks.Collect(context.Background(), func(yield func(ipld.CID) error) error {
			err := r.fs.reachable(func(c ipld.CID) error {
				yields++
				return yield(c)
			})
			snaps = append(snaps, r.snap(fmt.Sprint("s", at))) // between marking and sweeping
			made = true
			return err
		})
		r.must(err)
		if !made || yields == 0 {
			t.Fatal("nothing was marked")
		}
		r.collectHard()
		if got := r.contents(snaps[at].Root); len(got) != 20 {
			t.Fatalf("%d names", len(got))
		}
	}
}

// The machine may die at any write of the making of a snapshot: there is the whole snapshot or none, and the next one is as if nothing had
// been.
func TestSnapshotCrash(t *testing.T) {
	seed := seeded(t, 1)
	disk, rng := vfs.NewCrashableMem(), rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	var crashed []*vfs.MemFS
	on := false
	r := rigOn(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if on && changes(op) {
			crashed = append(crashed, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}))
		}
		return nil
	})))
	for i := range 40 {
		r.put(r.vol, fmt.Sprint(i), pattern(100*i, byte(i)))
	}
	r.seal()
	r.commit()
	r.snap("one")
	r.put(r.vol, "7", []byte("changed"))
	r.commit()
	r.must(r.fs.Sync())
	mu.Lock()
	on = true
	mu.Unlock()
	two := r.snap("two")
	mu.Lock()
	on = false
	mu.Unlock()
	want := r.contents(two.Root)
	r.close()
	if len(crashed) < 5 {
		t.Fatalf("only %d crashes", len(crashed))
	}
	for i, d := range crashed {
		c := &rig{tb: t, disk: d, boot: "one", keys: r.keys, clock: &clock{at: start + int64(time.Hour)}}
		c.open()
		vol, err := c.lookup(c.home, "notes")
		c.must(err)
		c.vol = vol
		list, err := c.fs.Snapshots(c.volume().id)
		c.must(err)
		if len(list) == 0 || list[0].Name != "one" || len(list) > 2 {
			t.Fatalf("crash %d: %+v", i, list)
		}
		for _, s := range list {
			if got := c.contents(s.Root); len(got) != len(want) {
				t.Fatalf("crash %d: snapshot %s has %d names", i, s.Name, len(got))
			}
		}
		c.index = r.index
		three := c.snap("three")
		if three.Root != two.Root {
			t.Fatalf("crash %d: the next snapshot has another root", i)
		}
		c.check()
		c.close()
	}
	t.Logf("%d crashes", len(crashed))
}

// Snapshots at random moments of a random history are what the tree shows, and have the roots of ones that are made from nothing.
func TestSnapshotSchedules(t *testing.T) {
	seed := seeded(t, 1)
	rng := rand.New(rand.NewPCG(seed, 2))
	r := newRig(t)
	r.mkdir(r.vol, "d0")
	for i := range 120 {
		dirs := slices.DeleteFunc(r.names(r.vol), func(n string) bool { return n[0] != 'd' })
		pick := func() NodeID {
			if len(dirs) == 0 {
				return r.vol
			}
			id, err := r.lookup(r.vol, dirs[rng.IntN(len(dirs))])
			r.must(err)
			return id
		}
		name, dir := fmt.Sprint("f", rng.IntN(6)), pick()
		switch rng.IntN(8) {
		case 0:
			_ = failure(r.fs.Mkdir(r.vol, fmt.Sprint("d", rng.IntN(4)), 0o755, me))
		case 1, 2, 3:
			r.put(dir, name, pattern(rng.IntN(9000), byte(i)))
		case 4:
			_ = r.fs.Unlink(dir, name)
		case 5:
			_ = r.fs.Rename(dir, name, pick(), fmt.Sprint("f", rng.IntN(6)), 0)
		case 6:
			_ = r.fs.Rename(r.vol, fmt.Sprint("d", rng.IntN(4)), r.vol, fmt.Sprint("d", rng.IntN(4)), 0)
		case 7:
			_ = r.fs.Rmdir(r.vol, fmt.Sprint("d", rng.IntN(4)))
		}
		switch rng.IntN(8) {
		case 0:
			r.commit()
		case 1:
			r.reopen()
		case 2:
			r.seal()
			s := r.snap(fmt.Sprint("s", i))
			if s.Root != r.fromNothing() {
				t.Fatalf("snapshot %d has another root than one made from nothing", i)
			}
			var names int
			r.must(r.volume().view(false, func(er eventlog.Reader) error {
				tree.Walk(er, tree.RootID, func([][]byte, tree.Dirent) bool { names++; return true })
				return nil
			}))
			if got := r.contents(s.Root); len(got) != names {
				t.Fatalf("snapshot %d has %d names of %d", i, len(got), names)
			}
		}
	}
}

func failure[T any](_ T, err error) error { return err }
