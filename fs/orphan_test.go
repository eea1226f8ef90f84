package fs

import (
	"fmt"
	"testing"
)

// A program that opened a file with O_PATH can open it for reading after its last name has gone.
func TestUnlinkedThenOpened(t *testing.T) {
	for _, size := range []int{0, 10, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t)
			data := pattern(size, 3)
			r.put(r.vol, "a", data)
			n, err := r.lookup(r.vol, "a")
			r.must(err)
			r.must(r.fs.SetXattr(n, "user.k", []byte("v"), 0))
			r.must(r.fs.Unlink(r.vol, "a"))
			r.put(r.vol, "a", []byte("another"))
			r.seal()
			r.commit()
			r.collect()
			if v, err := r.fs.GetXattr(n, "user.k"); err != nil || string(v) != "v" {
				t.Fatal(v, err)
			}
			r.must(r.fs.Open(n, false, false))
			r.same("unlinked", r.bytesOf(n), data)
			r.fs.Release(n, false)
			r.fs.Forget(n, 1)
			r.settled()
			r.check()
		})
	}
}

// Who holds a file by O_PATH, without having it open, sees the attributes that it had when it lost its last name: not those of the file
// that a save put in its place.
func TestSavedOverThenAsked(t *testing.T) {
	r := newRig(t)
	old, tmp := r.create(r.vol, "f"), r.create(r.vol, "tmp")
	for n, who := range map[NodeID]string{old: "old", tmp: "new"} {
		r.must(r.fs.SetXattr(n, "user.who", []byte(who), 0))
		r.write(n, 0, []byte(who))
		r.must(r.fs.Flush(n))
		r.fs.Release(n, true)
	}
	r.must(r.fs.SetXattr(tmp, "user.more", []byte("of the new one"), 0))
	bare := r.create(r.vol, "bare")
	r.fs.Release(bare, true)
	r.must(r.fs.Rename(r.vol, "tmp", r.vol, "f", 0))
	if got, err := r.fs.GetXattr(old, "user.who"); err != nil || string(got) != "old" {
		t.Errorf("%q %v", got, err)
	}
	if got, err := r.fs.ListXattr(old); err != nil || string(got) != "user.who\x00" {
		t.Errorf("%q %v", got, err)
	}
	if got, err := r.fs.GetXattr(tmp, "user.who"); err != nil || string(got) != "new" {
		t.Errorf("%q %v", got, err)
	}
	r.must(r.fs.Rename(r.vol, "f", r.vol, "bare", 0)) // a save of a file that has no attributes
	if got, err := r.fs.ListXattr(bare); err != nil || len(got) > 0 {
		t.Errorf("%q %v", got, err)
	}
	r.same("f", r.bytesOf(old), []byte("old"))
}
