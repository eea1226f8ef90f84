package fs

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// crossSizes are content in the event, in the database and in spill files.
var crossSizes = []int{0, 10, 100_000, 1 << 20}

// A rename between a device-local name and another is a rename for who made it: the inode, its bytes, attributes and handles stay,
// whether its content is sealed or not. For the log it is a removal, or a file that is made.
func TestRenameToDeviceLocalAndBack(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		for _, size := range crossSizes {
			t.Run(fmt.Sprintf("%d bytes, sealed %v", size, sealed), func(t *testing.T) {
				r := newRig(t)
				seal := func() {
					if sealed {
						r.seal()
						r.commit()
					}
				}
				r.put(r.vol, "a", pattern(size, 1))
				n, err := r.lookup(r.vol, "a")
				r.must(err)
				mode := uint32(0o640)
				_, err = r.fs.SetAttr(n, Changes{Mode: &mode}, false)
				r.must(err)
				r.must(r.fs.SetXattr(n, "user.x", []byte("y"), 0))
				was := r.attr(n)
				same := func(dir NodeID, name string) {
					t.Helper()
					is := r.stat(dir, name)
					is.Ctime, is.Atime = was.Ctime, was.Atime
					if is != was {
						t.Fatalf("%+v, was %+v", is, was)
					}
					r.expect(dir, name, pattern(size, 1))
					if m, err := r.lookup(dir, name); err != nil || m != n {
						t.Fatalf("node %d, was %d: %v", m, n, err)
					}
					if x, err := r.fs.GetXattr(n, "user.x"); err != nil || string(x) != "y" {
						t.Fatalf("%q, %v", x, err)
					}
					r.check()
				}
				seal()
				for range 2 {
					r.must(r.fs.Rename(r.vol, "a", r.vol, ".a.swp", 0))
					r.missing(r.vol, "a")
					same(r.vol, ".a.swp")
					seal()
					same(r.vol, ".a.swp")
					r.must(r.fs.Rename(r.vol, ".a.swp", r.vol, "a", 0))
					r.missing(r.vol, ".a.swp")
					same(r.vol, "a")
					seal()
				}
				r.seal()
				r.commit()
				r.settled()
				r.collect()
				r.reopen()
				r.expect(r.vol, "a", pattern(size, 1))
				if is := r.stat(r.vol, "a"); is.Ino != was.Ino || is.Mode != was.Mode {
					t.Fatalf("%+v, was %+v", is, was)
				}
				r.check()
			})
		}
	}
}

// What is unsealed when it moves survives an end without a clean close, also when the rest of its way is sealed first.
func TestUnsealedMovesSurviveRestart(t *testing.T) {
	r := newRig(t)
	for i, size := range crossSizes {
		r.put(r.vol, fmt.Sprint("a", i), pattern(size, 1))
		r.put(r.vol, fmt.Sprintf(".b%d.swp", i), pattern(size, 2))
		r.must(r.fs.Rename(r.vol, fmt.Sprint("a", i), r.vol, fmt.Sprintf(".a%d.swp", i), 0))
		r.must(r.fs.Rename(r.vol, fmt.Sprintf(".b%d.swp", i), r.vol, fmt.Sprint("b", i), 0))
	}
	late := map[string]byte{} // written later, to spill files that must be nobody else's
	check := func() {
		t.Helper()
		for name, seed := range late {
			r.expect(r.vol, name, pattern(memLimit+1, seed))
		}
		for i, size := range crossSizes {
			r.expect(r.vol, fmt.Sprintf(".a%d.swp", i), pattern(size, 1))
			r.expect(r.vol, fmt.Sprint("b", i), pattern(size, 2))
		}
		r.check()
	}
	check()
	batch := r.fs.seal.take()
	stand := slices.DeleteFunc(slices.Clone(batch), func(p *pending) bool { return p.bytes.base == nil })
	r.fs.seal.back(stand)
	r.must(r.fs.sealAll(t.Context(), slices.DeleteFunc(batch, func(p *pending) bool { return p.bytes.base != nil })))
	for i := range 3 {
		r.reopen()
		check()
		for k := range 6 {
			name := fmt.Sprintf("late%d.%d", i, k)
			late[name] = byte(len(late))
			r.put(r.vol, name, pattern(memLimit+1, late[name]))
		}
		if batch := r.fs.seal.take(); len(batch) > 0 { // one of them only
			r.fs.seal.back(batch[1:])
			r.must(r.fs.sealAll(t.Context(), batch[:1]))
		}
		r.must(r.fs.Sync())
		check()
	}
	r.seal()
	r.commit()
	r.settled()
	r.reopen()
	check()
}

// A file that is open and being written to moves, and what is written before and after is in it.
func TestOpenFileMovesBetweenTrees(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "a")
	r.write(n, 0, []byte("one "))
	r.must(r.fs.Fsync(n))
	r.must(r.fs.Rename(r.vol, "a", r.vol, ".a.swp", 0))
	r.write(n, 4, []byte("two "))
	r.expect(r.vol, ".a.swp", []byte("one two "))
	r.must(r.fs.Rename(r.vol, ".a.swp", r.vol, "b", 0))
	r.write(n, 8, []byte("three"))
	r.done(n)
	r.expect(r.vol, "b", []byte("one two three"))
	r.seal()
	r.settled()
	r.check()
	r.reopen()
	r.expect(r.vol, "b", []byte("one two three"))
}

// A directory moves with all that is below it: device-local names in it stay visible, names of one file stay names of one file, and
// who has a directory below open stays in it.
func TestDirectoryMovesBetweenTrees(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "d")
	sub := r.mkdir(dir, "sub")
	r.put(dir, "f", pattern(300_000, 1))
	r.put(sub, "g", []byte("g"))
	r.put(sub, ".g.swp", []byte("swap"))
	_, err := r.fs.Symlink(sub, "s", "../f", me)
	r.must(err)
	g, err := r.lookup(sub, "g")
	r.must(err)
	_, err = r.fs.Link(g, dir, "hard")
	r.must(err)
	ino := r.stat(sub, "g").Ino
	subIno, subTime := r.attr(sub).Ino, r.attr(sub).Mtime
	trash := r.mkdir(r.vol, ".Trash-1000")
	check := func(at NodeID, name string) {
		t.Helper()
		if d, err := r.lookup(at, name); err != nil || d != dir {
			t.Fatal(d, err)
		}
		r.expect(dir, "f", pattern(300_000, 1))
		r.expect(sub, "g", []byte("g"))
		r.expect(sub, ".g.swp", []byte("swap"))
		if got := sorted(r.names(sub)); !slices.Equal(got, []string{".g.swp", "g", "s"}) {
			t.Fatal(got)
		}
		if a := r.stat(dir, "hard"); a.Ino != ino || a.Nlink != 2 || r.stat(sub, "g").Ino != ino {
			t.Fatalf("%+v", a)
		}
		if a := r.attr(sub); a.Ino != subIno || a.Mtime != subTime || r.stat(dir, "sub").Ino != subIno {
			t.Fatalf("%+v", a)
		}
		r.check()
	}
	check(r.vol, "d")
	for range 2 {
		r.must(r.fs.Rename(r.vol, "d", trash, "d", 0))
		r.missing(r.vol, "d")
		check(trash, "d")
		r.seal()
		r.commit()
		r.must(r.fs.Rename(trash, "d", r.vol, "back", 0))
		r.missing(trash, "d")
		check(r.vol, "back")
		r.must(r.fs.Rename(r.vol, "back", r.vol, "d", 0))
	}
	r.must(r.fs.Rename(r.vol, "d", trash, "d", 0))
	r.put(sub, "new", []byte("new"))
	r.seal()
	r.commit()
	r.settled()
	r.reopen()
	trash, err = r.lookup(r.vol, ".Trash-1000")
	r.must(err)
	dir, err = r.lookup(trash, "d")
	r.must(err)
	sub, err = r.lookup(dir, "sub")
	r.must(err)
	r.expect(sub, "new", []byte("new"))
	r.must(r.fs.Unlink(sub, "new"))
	subTime = r.attr(sub).Mtime
	check(trash, "d")
}

// What one rename between the trees can't do is refused as between file systems, and then nothing has changed.
func TestRefusedCrossings(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "d")
	r.put(dir, "f", []byte("f"))
	f, err := r.lookup(dir, "f")
	r.must(err)
	_, err = r.fs.Link(f, r.vol, "hard")
	r.must(err)
	r.wants(r.fs.Rename(dir, "f", dir, ".f.swp", 0), ErrCrossVolume) // the other name stays
	r.wants(r.fs.Rename(r.vol, "d", r.vol, ".Trash-1", 0), ErrCrossVolume)
	r.put(dir, ".g.swp", []byte("g"))
	r.wants(r.fs.Rename(dir, "f", dir, ".g.swp", RenameExchange), ErrCrossVolume)
	r.wants(r.fs.Rename(dir, ".g.swp", dir, "f", RenameNoReplace), ErrExist)
	_, err = r.fs.Link(f, dir, ".h.swp")
	r.wants(err, ErrCrossVolume)
	inside := r.mkdir(dir, ".Trash-1")
	r.must(r.fs.Unlink(r.vol, "hard"))
	r.wants(r.fs.Rename(r.vol, "d", inside, "d", 0), ErrInvalid)
	deeper := r.mkdir(r.mkdir(dir, "sub"), ".Trash-1")
	r.wants(r.fs.Rename(r.vol, "d", deeper, "d", 0), ErrInvalid)
	r.wants(r.fs.Rename(dir, "sub", dir, ".g.swp", 0), ErrNotDir)
	r.wants(r.fs.Rename(dir, "f", dir, ".Trash-1", 0), ErrIsDir)
	r.put(inside, "x", nil)
	r.wants(r.fs.Rename(dir, "sub", dir, ".Trash-1", 0), ErrNotEmpty)
	r.expect(dir, "f", []byte("f"))
	r.expect(dir, ".g.swp", []byte("g"))
	r.check()
}

// A rename between the trees replaces what has the new name, and who holds that open keeps it.
func TestCrossingReplaces(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "a", []byte("a"))
	r.put(r.vol, ".b.swp", []byte("b"))
	old, err := r.lookup(r.vol, "a")
	r.must(err)
	r.must(r.fs.Open(old, false, false))
	r.must(r.fs.Rename(r.vol, ".b.swp", r.vol, "a", 0))
	r.expect(r.vol, "a", []byte("b"))
	r.same("held open", r.bytesOf(old), []byte("a"))
	r.fs.Release(old, false)
	r.put(r.vol, ".c.swp", []byte("c"))
	r.must(r.fs.Rename(r.vol, "a", r.vol, ".c.swp", 0))
	r.expect(r.vol, ".c.swp", []byte("b"))
	if got := r.names(r.vol); !slices.Equal(got, []string{".c.swp"}) {
		t.Fatal(got)
	}
	r.mkdir(r.vol, ".Trash-1")
	r.mkdir(r.vol, "d")
	r.must(r.fs.Rename(r.vol, "d", r.vol, ".Trash-1", 0))
	r.check()
	r.reopen()
	r.expect(r.vol, ".c.swp", []byte("b"))
}

// While a directory moves back and forth, nobody who looks into it misses what is there, and what is written there stays.
func TestOthersDuringCrossings(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "d")
	for i := range 10 {
		r.put(dir, fmt.Sprint("f", i), fmt.Append(nil, i))
	}
	stop, errs := make(chan struct{}), make(chan error, 3)
	look := func(fn func(i int) error) {
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					errs <- nil
					return
				default:
				}
				if err := fn(i); err != nil {
					errs <- err
					<-stop
					return
				}
			}
		}()
	}
	look(func(i int) error {
		if _, err := r.tryGet(dir, fmt.Sprint("f", i%10)); err != nil {
			return fmt.Errorf("get: %w", err)
		}
		return nil
	})
	look(func(i int) error {
		name := fmt.Sprint("new", i)
		e, err := r.fs.Create(dir, name, 0o644, true, me)
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		_, err = r.fs.Write(e.Node, []byte(name), 0)
		err = errors.Join(err, r.fs.Flush(e.Node))
		r.fs.Release(e.Node, true)
		r.fs.Forget(e.Node, 1)
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		got, err := r.tryGet(dir, name)
		if err != nil || string(got) != name {
			return fmt.Errorf("read %q: %w", got, err)
		}
		if err := r.fs.Unlink(dir, name); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		return nil
	})
	trash := r.mkdir(r.vol, ".Trash-1")
	look(func(i int) error {
		list, err := r.fs.ReadDir(dir, 0)
		if len(list) < 10 {
			return fmt.Errorf("%d are listed: %w", len(list), err)
		}
		return nil
	})
	moves := 0
	for range 100 {
		from, to := r.vol, trash
		if moves%2 == 1 {
			from, to = to, from
		}
		switch err := r.fs.Rename(from, "d", to, "d", 0); {
		case err == nil:
			moves++
		case !errors.Is(err, ErrCrossVolume):
			t.Fatal(err)
		}
	}
	close(stop)
	if err := errors.Join(<-errs, <-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	if moves < 2 {
		t.Fatalf("it moved %d times", moves)
	}
	r.check()
}

// What a new name of its directory makes device-local, or no longer, while it is renamed is looked for again.
func TestRenameLooksAgain(t *testing.T) {
	r := newRig(t)
	calls := 0
	r.must(r.fs.whileCrossing(func() error {
		if calls++; calls == 1 {
			return errMoved
		}
		return nil
	}))
	calls = 0
	r.wants(r.fs.whileCrossing(func() error { calls++; return errMoved }), ErrBusy)
	if calls != crossTries {
		t.Errorf("%d tries, want %d", calls, crossTries)
	}
}
