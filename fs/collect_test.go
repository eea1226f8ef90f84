package fs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/ipld"
)

// A file that shares the bytes of a version which the other file has dropped since keeps them, whenever during a collection it
// is closed.
func TestCollectWhileAnEditEnds(t *testing.T) {
	ended := false
	for at := 0; !ended; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := newRig(t)
			shared := pattern(3*memLimit, 1)
			src := r.create(r.vol, "a")
			r.write(src, 0, shared)
			r.quiet(2 * time.Second)
			r.seal()
			dst := r.create(r.vol, "b")
			if calls := r.copyAll(src, 0, dst, 0, 1<<40); calls != 1 {
				t.Fatalf("not shared: %d calls", calls)
			}
			r.write(src, 0, pattern(3*memLimit, 2))
			n, err := r.fs.nodeOf(src)
			r.must(err)
			r.must(r.fs.endEdit(n, false)) // a quiet second
			r.seal()
			r.done(src)
			r.commit()
			yields := 0
			_, err = r.blocks.Collect(context.Background(), func(yield func(ipld.CID) error) error {
				return r.fs.reachable(func(c ipld.CID) error {
					if yields == at {
						r.done(dst)
					}
					yields++
					return yield(c)
				})
			})
			r.must(err)
			if ended = yields <= at; ended {
				r.done(dst)
			}
			r.reopen() // nothing is in the cache
			r.expect(r.vol, "b", shared)
		})
	}
}
