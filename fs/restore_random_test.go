package fs

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// TestRestoreRandom: whatever programs did, a volume can be made what it was at any moment, to the byte, again and again; and where less is asked
// for, nothing that was there then is missing.
func TestRestoreRandom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := rigOn(t, vfs.NewMem())
		defer r.close()
		g := &gardener{rig: r, t: t, dirs: []NodeID{r.vol}}
		type snap struct {
			at   time.Time
			tree string
		}
		var snaps []snap
		for range rapid.IntRange(2, 3).Draw(t, "moments") {
			for range rapid.IntRange(1, 8).Draw(t, "changes") {
				g.change()
			}
			tree := r.tree(r.vol)
			snaps = append(snaps, snap{r.moment(), tree})
			switch rapid.IntRange(0, 5).Draw(t, "meanwhile") {
			case 0:
				r.seal()
			case 1:
				r.seal()
				r.commit()
			}
		}
		for range rapid.IntRange(1, 3).Draw(t, "restores") {
			s := snaps[rapid.IntRange(0, len(snaps)-1).Draw(t, "to")]
			r.restore("me/notes", s.at, RestoreOptions{Exact: true})
			r.sameTree(fmt.Sprint("restored to ", s.at.UnixNano()), r.tree(r.vol), s.tree)
		}
	})
}

// A gardener changes a tree at random, as programs do.
type gardener struct {
	*rig
	t    *rapid.T
	dirs []NodeID
}

func (g *gardener) dir() NodeID { return rapid.SampledFrom(g.dirs).Draw(g.t, "dir") }
func (g *gardener) name() string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(g.t, "name")
}

// change makes one change, or none where it can't be.
func (g *gardener) change() {
	dir, name := g.dir(), g.name()
	switch rapid.IntRange(0, 11).Draw(g.t, "op") {
	case 0, 1, 2:
		n, err := g.lookup(dir, name)
		if err != nil {
			e, err := g.fs.Create(dir, name, 0o644, true, me)
			if err != nil {
				return
			}
			n = e.Node
		} else if g.fs.Open(n, true, true) != nil {
			g.fs.Forget(n, 1)
			return
		}
		g.write(n, 0, pattern(rapid.SampledFrom([]int{1, 100, 5000}).Draw(g.t, "size"), rapid.Byte().Draw(g.t, "seed")))
		g.done(n)
	case 3, 4:
		if e, err := g.fs.Mkdir(dir, name, 0o755, me); err == nil {
			g.dirs = append(g.dirs, e.Node)
		}
	case 5:
		_ = g.fs.Unlink(dir, name)
	case 6:
		_ = g.fs.Rmdir(dir, name)
	case 7, 8:
		_ = g.fs.Rename(dir, name, g.dir(), g.name(), 0)
	case 9:
		_ = g.fs.Rename(dir, name, g.dir(), g.name(), RenameExchange)
	case 10:
		if n, err := g.lookup(dir, name); err == nil {
			if _, err := g.fs.Link(n, g.dir(), g.name()); err == nil {
				g.fs.Forget(n, 1)
			}
			g.fs.Forget(n, 1)
		}
	case 11:
		if n, err := g.lookup(dir, name); err == nil {
			mode := uint32(rapid.IntRange(0o600, 0o777).Draw(g.t, "mode"))
			_, err := g.fs.SetAttr(n, Changes{Mode: &mode}, false)
			g.must(err)
			g.must(g.fs.SetXattr(n, "user.x", []byte{byte(mode)}, 0))
			g.fs.Forget(n, 1)
		}
	}
	g.clock.forward(time.Second)
}
