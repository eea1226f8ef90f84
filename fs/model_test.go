package fs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// A file agrees with a byte slice, whatever is done to it and whatever happens behind it.
func TestFileAgreesWithBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rigOn(t, vfs.NewMem())
		defer r.close()
		n, g := r.create(r.vol, "f"), r.create(r.vol, "g")
		var want, other []byte // other is g's, which is not open unless it is written
		r.must(r.fs.Flush(g))
		r.fs.Release(g, true)
		open := true
		size := rapid.Custom(func(t *rapid.T) int {
			return rapid.OneOf(rapid.IntRange(0, 10_000), rapid.IntRange(memLimit-5000, memLimit+5000), rapid.IntRange(0, 3*memLimit)).Draw(t, "n")
		})
		reach := func() {
			if !open {
				r.must(r.fs.Open(n, true, false))
				open = true
			}
		}
		check := func() {
			t.Helper()
			if a := r.attr(n); a.Size != int64(len(want)) {
				t.Fatalf("size %d, want %d", a.Size, len(want))
			}
			if len(want) == 0 {
				return
			}
			off := rapid.IntRange(0, len(want)-1).Draw(t, "from")
			b := make([]byte, rapid.IntRange(1, 300_000).Draw(t, "count"))
			k, err := r.fs.Read(n, b, int64(off))
			r.must(err)
			r.same("read", b[:k], want[off:min(len(want), off+len(b))])
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 18).Draw(t, "what") {
			case 0, 1, 2:
				reach()
				off, k := size.Draw(t, "off"), rapid.IntRange(1, 5000).Draw(t, "len")
				data := pattern(k, byte(off+k))
				r.write(n, int64(off), data)
				want = append(want, make([]byte, max(0, off+k-len(want)))...)
				copy(want[off:], data)
			case 3:
				reach()
				data := pattern(size.Draw(t, "len"), 9)
				off := rapid.IntRange(0, len(want)).Draw(t, "off")
				r.write(n, int64(off), data)
				want = append(want, make([]byte, max(0, off+len(data)-len(want)))...)
				copy(want[off:], data)
			case 4, 5:
				to := int64(size.Draw(t, "to"))
				_, err := r.fs.SetAttr(n, Changes{Size: &to}, open && rapid.Bool().Draw(t, "by handle"))
				r.must(err)
				want = append(want, make([]byte, max(0, int(to)-len(want)))...)[:to]
			case 6:
				r.must(r.fs.Fsync(n))
			case 7:
				if open {
					r.must(r.fs.Flush(n))
					r.fs.Release(n, true)
				} else {
					trunc := rapid.Bool().Draw(t, "trunc")
					r.must(r.fs.Open(n, true, trunc))
					if trunc {
						want = nil
					}
				}
				open = !open
			case 8:
				r.quiet(200 * time.Second)
			case 9:
				r.seal()
			case 10:
				r.commit()
				r.collect()
			case 11:
				if open {
					r.must(r.fs.Flush(n))
				}
				r.reopen()
				var err error
				n, err = r.lookup(r.vol, "f")
				r.must(err)
				g, err = r.lookup(r.vol, "g")
				r.must(err)
				open = false
			case 12, 13:
				reach()
				off, k := size.Draw(t, "off"), 1+size.Draw(t, "len")
				a := Allocation{Zero: rapid.Bool().Draw(t, "zero"), KeepSize: rapid.Bool().Draw(t, "keep")}
				r.must(r.fs.Allocate(n, int64(off), int64(k), a))
				if !a.KeepSize {
					want = append(want, make([]byte, max(0, off+k-len(want)))...)
				}
				if a.Zero && off < len(want) {
					clear(want[off:min(len(want), off+k)])
				}
			case 14:
				r.holes(n, want)
			case 15:
				reach()
				off, k := size.Draw(t, "off"), 1+size.Draw(t, "len")
				at := rapid.OneOf(rapid.Just(off), size).Draw(t, "at")
				done, err := r.fs.Copy(g, int64(off), n, int64(at), int64(k))
				r.must(err)
				part := other[min(off, len(other)):min(off+int(done), len(other))]
				if int64(len(part)) != done || done == 0 && off < len(other) {
					t.Fatalf("copied %d of %d bytes at %d", done, k, off)
				}
				if done > 0 {
					want = append(want, make([]byte, max(0, at+len(part)-len(want)))...)
					copy(want[at:], part)
				}
			case 16:
				other = pattern(size.Draw(t, "other"), byte(rapid.IntRange(0, 255).Draw(t, "seed")))
				r.must(r.fs.Open(g, true, true))
				r.write(g, 0, other)
				if gap := rapid.IntRange(0, len(other)).Draw(t, "gap"); gap > 0 {
					r.allocate(g, 0, int64(gap), Allocation{Zero: true})
					clear(other[:gap])
				}
				r.must(r.fs.Flush(g))
				r.fs.Release(g, true)
			default:
				check()
			}
		}
		check()
		r.holes(n, want)
		r.same("f", r.bytesOf(n), want)
		if open {
			r.must(r.fs.Flush(n))
			r.fs.Release(n, true)
		}
		r.seal()
		r.settled()
		r.same("sealed", r.bytesOf(n), want)
		r.same("other", r.bytesOf(g), other)
		r.check()
	})
}

// holes checks that the file has data wherever a byte is not zero, and how much of it there is at least.
func (r *rig) holes(n NodeID, want []byte) {
	r.Helper()
	size, data := int64(len(want)), int64(0)
	for off := int64(0); off < size; {
		at, err := r.fs.SeekData(n, off)
		if errors.Is(err, ErrNoData) {
			at = size
		} else {
			r.must(err)
		}
		if at < off || at > size || !isZero(want[off:at]) {
			r.Fatalf("no data from %d to %d", off, at)
		}
		if off = at; off == size {
			break
		}
		hole, err := r.fs.SeekHole(n, off)
		r.must(err)
		if hole <= off || hole > size {
			r.Fatalf("data from %d to %d", off, hole)
		}
		data += hole - off
		off = hole
	}
	for _, off := range []int64{size, size + 1} {
		_, err := r.fs.SeekHole(n, off)
		r.wants(err, ErrNoData)
	}
	if a := r.attr(n); a.Data < 0 || a.Data > size {
		r.Fatalf("%d of %d bytes are data", a.Data, size)
	}
}

// A modelFile is what the model knows of an inode.
type modelFile struct {
	dir    map[string]*modelFile // nil: no directory
	data   []byte
	target string
	xattr  string
	mode   uint32
	ino    uint64
	links  int
}

// A modelRun does the same to a file system and to a model of it.
type modelRun struct {
	*rig
	rng  *rand.Rand
	root *modelFile
}

func TestTreeAgreesWithModel(t *testing.T) {
	for _, seed := range seeds(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &modelRun{rig: newRig(t), rng: rand.New(rand.NewPCG(seed, 5)), root: &modelFile{dir: map[string]*modelFile{}}}
			for i := range 2000 {
				m.step()
				if i%200 == 199 {
					m.agree(m.vol, m.root, "")
					m.check()
				}
			}
			m.seal()
			m.settled()
			m.reopen()
			m.agree(m.vol, m.root, "")
			m.check()
		})
	}
}

// somewhere picks a directory. The caller forgets it.
func (m *modelRun) somewhere() (NodeID, *modelFile) {
	id, f := m.vol, m.root
	for m.rng.IntN(3) > 0 {
		var subs []string
		for name, c := range f.dir {
			if c.dir != nil {
				subs = append(subs, name)
			}
		}
		if len(subs) == 0 {
			break
		}
		slices.Sort(subs)
		name := subs[m.rng.IntN(len(subs))]
		next, err := m.lookup(id, name)
		m.must(err)
		m.leave(id)
		id, f = next, f.dir[name]
	}
	return id, f
}

func (m *modelRun) leave(id NodeID) {
	if id != m.vol {
		m.fs.Forget(id, 1)
	}
}

func below(f, of *modelFile) bool {
	if f == of {
		return true
	}
	for _, c := range of.dir {
		if c.dir != nil && below(f, c) {
			return true
		}
	}
	return false
}

func (m *modelRun) step() {
	at, dir := m.somewhere()
	defer m.leave(at)
	name := fmt.Sprintf("%c", 'a'+m.rng.IntN(8))
	f := dir.dir[name]
	switch m.rng.IntN(16) {
	case 0, 1:
		e, err := m.fs.Mkdir(at, name, 0o755, me)
		m.wants(err, map[bool]error{true: ErrExist, false: nil}[f != nil])
		if err == nil {
			dir.dir[name] = &modelFile{dir: map[string]*modelFile{}, mode: 0o755, ino: e.Attr.Ino, links: 1}
			m.fs.Forget(e.Node, 1)
		}
	case 2, 3, 4, 5:
		if f != nil && (f.dir != nil || f.target != "") {
			break
		}
		data := pattern(m.rng.IntN(20_000), byte(m.rng.Uint32()))
		if m.rng.IntN(10) == 0 {
			data = pattern(300_000, byte(m.rng.Uint32()))
		}
		m.put(at, name, data)
		if f == nil {
			f = &modelFile{mode: 0o644, links: 1, ino: m.stat(at, name).Ino}
			dir.dir[name] = f
		}
		f.data = data
	case 6:
		if f == nil {
			e, err := m.fs.Symlink(at, name, "to "+name, me)
			m.must(err)
			dir.dir[name] = &modelFile{target: "to " + name, mode: 0o777, links: 1, ino: e.Attr.Ino}
			m.fs.Forget(e.Node, 1)
		}
	case 7:
		err := m.fs.Unlink(at, name)
		switch {
		case f == nil:
			m.wants(err, ErrNotExist)
		case f.dir != nil:
			m.wants(err, ErrIsDir)
		default:
			m.must(err)
			f.links--
			delete(dir.dir, name)
		}
	case 8:
		err := m.fs.Rmdir(at, name)
		switch {
		case f == nil:
			m.wants(err, ErrNotExist)
		case f.dir == nil:
			m.wants(err, ErrNotDir)
		case len(f.dir) > 0:
			m.wants(err, ErrNotEmpty)
		default:
			m.must(err)
			delete(dir.dir, name)
		}
	case 9, 10, 11:
		m.move(at, dir, name)
	case 12:
		if f == nil || f.dir != nil {
			break
		}
		n, err := m.lookup(at, name)
		m.must(err)
		to, toDir := m.somewhere()
		other := fmt.Sprintf("%c", 'a'+m.rng.IntN(8))
		_, err = m.fs.Link(n, to, other)
		if toDir.dir[other] != nil {
			m.wants(err, ErrExist)
		} else {
			m.must(err)
			toDir.dir[other] = f
			f.links++
			m.fs.Forget(n, 1)
		}
		m.fs.Forget(n, 1)
		m.leave(to)
	case 13:
		if f == nil {
			break
		}
		n, err := m.lookup(at, name)
		m.must(err)
		f.mode, f.xattr = uint32(m.rng.IntN(0o1000)), fmt.Sprint(m.rng.IntN(100))
		_, err = m.fs.SetAttr(n, Changes{Mode: &f.mode}, false)
		m.must(err)
		m.must(m.fs.SetXattr(n, "user.x", []byte(f.xattr), 0))
		m.fs.Forget(n, 1)
	default:
		switch m.rng.IntN(20) {
		case 0, 1:
			m.seal()
		case 2, 3:
			m.commit()
		case 4:
			m.collect()
		case 5:
			m.fs.Forget(m.vol, 1)
			m.reopen()
		}
	}
}

func (m *modelRun) move(at NodeID, dir *modelFile, name string) {
	to, toDir := m.somewhere()
	defer m.leave(to)
	other := fmt.Sprintf("%c", 'a'+m.rng.IntN(8))
	flags := uint32(m.rng.IntN(3))
	f, g := dir.dir[name], toDir.dir[other]
	err := m.fs.Rename(at, name, to, other, flags)
	switch {
	case f == nil || flags == RenameExchange && g == nil:
		m.wants(err, ErrNotExist)
	case g != nil && flags == RenameNoReplace:
		m.wants(err, ErrExist)
	case f == g:
		m.must(err)
	case f.dir != nil && below(toDir, f), flags == RenameExchange && g.dir != nil && below(dir, g):
		m.wants(err, ErrInvalid)
	case flags == RenameExchange:
		m.must(err)
		dir.dir[name], toDir.dir[other] = g, f
	case g != nil && f.dir != nil && g.dir == nil:
		m.wants(err, ErrNotDir)
	case g != nil && f.dir == nil && g.dir != nil:
		m.wants(err, ErrIsDir)
	case g != nil && len(g.dir) > 0:
		m.wants(err, ErrNotEmpty)
	default:
		m.must(err)
		delete(dir.dir, name)
		toDir.dir[other] = f
		if g != nil {
			g.links--
		}
	}
}

// agree compares a directory and all below it with the model.
func (m *modelRun) agree(id NodeID, dir *modelFile, path string) {
	m.Helper()
	var want []string
	subs := 0
	for name, f := range dir.dir {
		want = append(want, name)
		if f.dir != nil {
			subs++
		}
	}
	if got := sorted(m.names(id)); !slices.Equal(got, sorted(want)) {
		m.Fatalf("%s/: %v, want %v", path, got, sorted(want))
	}
	if a := m.attr(id); a.Nlink != uint32(2+subs) {
		m.Fatalf("%s/: %d links, want %d", path, a.Nlink, 2+subs)
	}
	for name, f := range dir.dir {
		p := path + "/" + name
		n, err := m.lookup(id, name)
		m.must(err)
		a := m.attr(n)
		if a.Ino != f.ino || a.Mode&0o7777 != f.mode || f.dir == nil && a.Nlink != uint32(f.links) {
			m.Fatalf("%s: %+v, want %+v", p, a, *f)
		}
		x, err := m.fs.GetXattr(n, "user.x")
		if string(x) != f.xattr || (err == nil) != (f.xattr != "") {
			m.Fatalf("%s: xattr %q, want %q", p, x, f.xattr)
		}
		switch {
		case f.dir != nil:
			m.agree(n, f, p)
		case f.target != "":
			if b, err := m.fs.Readlink(n); err != nil || string(b) != f.target {
				m.Fatalf("%s: %q %v", p, b, err)
			}
		default:
			m.same(p, m.get(id, name), f.data)
		}
		m.fs.Forget(n, 1)
	}
}
