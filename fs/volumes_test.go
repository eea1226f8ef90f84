package fs

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// Making, moving, replacing and removing a volume are changes of the home volume.
func TestVolumes(t *testing.T) {
	r := newRig(t)
	a := r.mkdir(r.home, "a")
	r.put(a, "f", []byte("first"))
	r.put(r.home, "plain", []byte("plain"))
	ino := r.attr(a).Ino
	if self, up, _ := r.fs.DotInos(a); self != ino || up != r.attr(r.home).Ino {
		t.Fatal(self, up)
	}
	_, err := r.fs.Mkdir(r.home, "a", 0o755, me)
	r.wants(err, ErrExist)
	r.wants(r.fs.Rmdir(r.home, "a"), ErrNotEmpty)
	r.wants(r.fs.Unlink(r.home, "a"), ErrIsDir)
	r.wants(r.fs.Rename(r.home, "plain", a, "plain", 0), ErrCrossVolume)
	r.wants(r.fs.Rename(r.home, "a", r.home, "plain", 0), ErrNotDir)
	r.wants(r.fs.Rename(r.home, "plain", r.home, "a", 0), ErrIsDir)

	r.must(r.fs.Rename(r.home, "a", r.home, "b", 0))
	r.missing(r.home, "a")
	if r.stat(r.home, "b").Ino != ino {
		t.Fatal("another inode")
	}
	// A volume of the old name is another volume.
	a2 := r.mkdir(r.home, "a")
	if got := r.names(a2); len(got) > 0 {
		t.Fatal(got)
	}
	// Replacing: only an empty one.
	r.wants(r.fs.Rename(r.home, "a", r.home, "b", 0), ErrNotEmpty)
	r.must(r.fs.Rename(r.home, "b", r.home, "a", 0))
	r.missing(r.home, "b")
	r.expect(a, "f", []byte("first"))
	_, err = r.fs.Create(a2, "lost", 0o644, true, me)
	r.wants(err, ErrNotExist)
	r.wants(r.fs.Rename(r.home, "b", r.home, "c", 0), ErrNotExist)

	// Exchange.
	c := r.mkdir(r.home, "c")
	r.put(c, "g", []byte("third"))
	r.must(r.fs.Rename(r.home, "a", r.home, "c", RenameExchange))
	if r.stat(r.home, "c").Ino != ino || r.stat(r.home, "a").Ino != r.attr(c).Ino {
		t.Fatal("not exchanged")
	}
	r.must(r.fs.Rename(r.home, "a", r.home, "plain", RenameExchange))
	r.expect(r.home, "a", []byte("plain"))
	r.must(r.fs.Rename(r.home, "plain", r.home, "a", RenameExchange))
	r.reopen()
	if got := sorted(r.names(r.home)); !slices.Equal(got, []string{"a", "c", "notes", "plain"}) {
		t.Fatal(got)
	}
	r.check()

	// Removing, and making anew.
	c, err = r.lookup(r.home, "c")
	r.must(err)
	r.must(r.fs.Unlink(c, "f"))
	r.must(r.fs.Rmdir(r.home, "c"))
	r.missing(r.home, "c")
	_, err = r.fs.Create(c, "lost", 0o644, true, me)
	r.wants(err, ErrNotExist)
	for range 3 {
		c = r.mkdir(r.home, "c")
		if got := r.names(c); len(got) > 0 {
			t.Fatal(got)
		}
		r.must(r.fs.Rmdir(r.home, "c"))
	}
	r.wants(r.fs.Rmdir(r.home, "c"), ErrNotExist)
	r.check()
	list, err := r.fs.Volumes()
	r.must(err)
	if len(list) != 3 {
		t.Fatal(list)
	}
	d := r.mkdir(r.home, "d")
	in, err := r.fs.nodeOf(d)
	r.must(err)
	for files := range int64(3) { // what has changed is counted anew
		u, err := r.fs.Usage(in.vol.id)
		r.must(err)
		if want := (Usage{files, 100 * files}); u != want {
			t.Fatalf("it holds %+v, want %+v", u, want)
		}
		r.put(d, fmt.Sprint(files), pattern(100, 1))
	}
}

// What was in a volume that was removed can be had back, also after a start and a collection.
func TestRemovedVolumeKeepsItsVersions(t *testing.T) {
	r := newRig(t)
	vol := r.mkdir(r.home, "old")
	r.put(vol, "f", pattern(400_000, 1))
	n, err := r.lookup(vol, "f")
	r.must(err)
	node, err := r.fs.nodeOf(n)
	r.must(err)
	id, vid := node.vol.id, r.headsIn(node)[0]
	r.fs.Forget(n, 1)
	r.must(r.fs.Unlink(vol, "f"))
	r.must(r.fs.Rmdir(r.home, "old"))
	for range 2 {
		r.reopen() // what was not sealed is sealed then
		if list, err := r.fs.FormerVolumes(); err != nil || len(list) != 1 || list[0] != (VolumeInfo{ID: id, Identity: "me", Name: "old"}) {
			t.Fatal(list, err)
		}
		r.seal()
		r.collect()
		v, ok := r.fs.volume(id)
		if !ok {
			t.Fatal("the volume is not open")
		}
		c, err := v.content(false, vid)
		r.must(err)
		got := make([]byte, c.Size())
		r.must(readFull(c, got, 0))
		r.same("old version", got, pattern(400_000, 1))
	}
	r.settled()
}

// Volumes are made, moved and removed by many at once.
func TestVolumesConcurrently(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 20 {
				name, other := fmt.Sprint("v", (i+k)%3), fmt.Sprint("v", k%3)
				if e, err := r.fs.Mkdir(r.home, name, 0o755, me); err == nil {
					if f, err := r.fs.Create(e.Node, "f", 0o644, false, me); err == nil {
						_, _ = r.fs.Write(f.Node, []byte("x"), 0)
						_ = r.fs.Flush(f.Node)
						r.fs.Release(f.Node, true)
						r.fs.Forget(f.Node, 1)
						_ = r.fs.Unlink(e.Node, "f")
					}
					r.fs.Forget(e.Node, 1)
				}
				_ = r.fs.Rename(r.home, name, r.home, other, uint32(k%3))
				if e, err := r.fs.Lookup(r.home, other); err == nil {
					r.fs.Forget(e.Node, 1)
				}
				_ = r.fs.Rmdir(r.home, other)
			}
		})
	}
	wg.Wait()
	r.seal()
	r.check()
	r.reopen()
	r.check()
}
