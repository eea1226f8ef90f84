package fs

import (
	"fmt"
	"testing"
)

// An edit in place of a sealed file, of whatever size, is there after it was sealed in turn.
func TestPatchSealed(t *testing.T) {
	for _, size := range []int{100, inlineLimit, inlineLimit + 1, 100 << 10, memLimit, memLimit + 1, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t)
			dir := r.mkdir(r.home, "v")
			want := pattern(size, 1)
			r.put(dir, "f", want)
			r.seal()
			for _, off := range []int{0, size / 2, size - 10} {
				n, err := r.lookup(dir, "f")
				r.must(err)
				r.must(r.fs.Open(n, true, false))
				r.write(n, int64(off), []byte("patch"))
				r.done(n)
				copy(want[off:], "patch")
				r.seal()
			}
			r.expect(dir, "f", want)
			r.reopen()
			home, err := r.lookup(Root, "me")
			r.must(err)
			dir, err = r.lookup(home, "v")
			r.must(err)
			r.expect(dir, "f", want)
		})
	}
}
