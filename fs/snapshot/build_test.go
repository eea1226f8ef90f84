package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// everything is a tree that has one of each.
func everything() *world {
	w := *madeOnce()
	w.mem = w.mem.clone()
	return &w
}

var madeOnce = sync.OnceValue(makeEverything)

func makeEverything() *world {
	w := newWorld()
	dir := w.create(tree.RootID, "dir", tree.Dir)
	w.create(dir, "empty", tree.Dir)
	for _, k := range []tree.Kind{tree.File, tree.Symlink, tree.Fifo, tree.Socket, tree.CharDev, tree.BlockDev, tree.Graft} {
		w.create(dir, k.String(), k)
	}
	for i, n := range []int{0, 1, 512, 513, 4096, 4097, 300_000} {
		w.write(w.create(dir, fmt.Sprint("of ", n), tree.File), text(n, i))
	}
	linked := w.create(dir, "linked", tree.File)
	w.write(linked, text(700, 1))
	w.do(tree.Link{ID: linked, Parent: tree.RootID, Name: []byte("other name\xff"), Time: 3})
	w.do(tree.SetXattr{ID: linked, Name: []byte("system.posix_acl_access"), Val: []byte{2, 0, 0, 0}})
	w.do(tree.SetXattr{ID: dir, Name: []byte("user.empty")})
	for i := range 40 {
		w.do(tree.SetXattr{ID: dir, Name: fmt.Appendf(nil, "user.%d", i), Val: text(60_000*(i%2), i)})
	}
	w.do(tree.SetXattr{ID: tree.RootID, Name: []byte("user.root"), Val: []byte("on the root")})
	heads := w.create(dir, "heads", tree.File)
	for i := range 3 {
		w.write(heads, text(100*i, i))
	}
	many := w.create(dir, "many heads", tree.File)
	for i := range maxInlineHeads + maxListHeads + 5 {
		w.write(many, text(20+(i%30)*20, i))
	}
	for i := range 3 {
		w.write(w.create(dir, "claimed", tree.File), text(30, i))
	}
	waits := w.create(dir, "pending", tree.File)
	v := tree.Version{ID: w.draw(), Size: 5000, Pending: true}
	w.do(tree.SetContent{ID: waits, Version: v})
	c, err := w.sealer.Write(context.Background(), w.st, bytes.NewReader(text(5000, 77)), 5000)
	if err != nil {
		panic(err)
	}
	w.pending[v.ID] = c
	return w
}

func TestEverythingSurvives(t *testing.T) {
	t.Parallel()
	w := everything()
	b := w.build(t)
	s := w.check(t, b)
	if n := uint64(len(lines(t, w))); b.Files != n {
		t.Errorf("%d files of %d", b.Files, n)
	}
	i, err := s.Find([][]byte{[]byte("dir"), []byte("of 4097")})
	if err != nil || i.Size() != 4097 {
		t.Errorf("find: %+v, %v", i, err)
	}
	if _, err := s.Find([][]byte{[]byte("dir"), []byte("nobody")}); err == nil {
		t.Error("found what is not there")
	}
	w.pending = nil
	if _, err := Build(context.Background(), w.target(), w, testInfo, Options{}); err == nil {
		t.Error("a version that is not sealed was taken")
	}
}

// lines lists the names that are shown.
func lines(t *testing.T, w *world) (names []string) {
	tree.Walk(w, tree.RootID, func(path [][]byte, _ tree.Dirent) bool {
		names = append(names, string(path[len(path)-1]))
		return true
	})
	return names
}

// Whatever happened between snapshots, and whenever they were made, they have one root, and it is that of a tree built from nothing.
func TestUpdateEqualsBuild(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		type schedule struct {
			before Before
			keys   [][]byte
		}
		var all []*schedule
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			for range rapid.IntRange(1, 5).Draw(t, "steps") {
				w.step(t)
			}
			keys := w.takeChanged()
			for _, s := range all {
				s.keys = append(s.keys, keys...)
			}
			fresh := w.build(t)
			for _, s := range all {
				if len(all) > 1 && rapid.Bool().Draw(t, "skip") {
					continue
				}
				b, err := Update(context.Background(), w.target(), s.before, w, s.keys, testInfo, w.options())
				if err != nil {
					t.Fatal(err)
				}
				if b.Root != fresh.Root || b.Files != fresh.Files || b.Bytes != fresh.Bytes {
					t.Fatalf("an update leads to another root: %+v instead of %+v", b, fresh)
				}
				s.before, s.keys = Before{b.Root, w.clone()}, nil
			}
			all = append(all, &schedule{before: Before{fresh.Root, w.clone()}})
			w.check(t, fresh)
		}
	})
}

// In a big directory one change writes its way to the root, and what is taken back leads to the same root.
func TestBigDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld()
	dir := w.create(tree.RootID, "big", tree.Dir)
	const n = 6_000
	order := rand.New(rand.NewPCG(1, 2)).Perm(n)
	ids := make([]tree.FileID, n)
	for _, i := range order {
		ids[i] = w.create(dir, fmt.Sprintf("file %d.txt", i), tree.File)
	}
	first := w.build(t)
	w.takeChanged()
	before := Before{first.Root, w.clone()}
	w.do(tree.SetAttr{ID: ids[77], Set: tree.FieldMode, Mode: 0o600})
	update := func() Built {
		b, err := Update(context.Background(), w.target(), before, w, w.takeChanged(), testInfo, w.options())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	second := update()
	if second.Root == first.Root || second.Added.Blocks > 8 || second.Added.Bytes > 64<<10 {
		t.Errorf("one change of %d names writes %d blocks, %d bytes", n, second.Added.Blocks, second.Added.Bytes)
	}
	t.Logf("%d names: %d blocks, %d bytes; one change: %d blocks, %d bytes", n, first.Added.Blocks, first.Added.Bytes, second.Added.Blocks, second.Added.Bytes)
	before = Before{second.Root, w.clone()}
	w.do(tree.SetAttr{ID: ids[77], Set: tree.FieldMode, Mode: 0o640})
	if third := update(); third.Root != first.Root || third.Added.Blocks != 0 {
		t.Errorf("the same tree again has another root, or %d new blocks", third.Added.Blocks)
	}
	// Most of them go: branches become leaves.
	before = Before{first.Root, w.clone()}
	for i := 0; i < n; i++ {
		if i%200 != 0 {
			w.do(tree.Unlink{ID: ids[i], Parent: dir, Name: fmt.Appendf(nil, "file %d.txt", i), Time: 9})
		}
	}
	if b := update(); b.Root != w.build(t).Root {
		t.Error("after a large removal an update leads to another root")
	}
}

// Names that were made to share a cookie, and many claims of one name, do not break the search tree.
func TestOnePlace(t *testing.T) {
	t.Parallel()
	w := newWorld()
	names := oneCookie(400)
	for _, n := range names {
		w.create(tree.RootID, n, tree.File)
	}
	w.create(tree.RootID, "another", tree.File)
	b := w.build(t)
	w.check(t, b)
	before := Before{b.Root, w.clone()}
	w.takeChanged()
	for range 400 {
		w.create(tree.RootID, names[7], tree.File)
	}
	b, err := Update(context.Background(), w.target(), before, w, w.takeChanged(), testInfo, w.options())
	if err != nil {
		t.Fatal(err)
	}
	if fresh := w.build(t); fresh.Root != b.Root {
		t.Error("an update leads to another root")
	}
	s := w.check(t, b)
	for _, n := range names {
		if _, err := s.Lookup(s.Root(), []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	before = Before{b.Root, w.clone()}
	for k, id := range tree.Claims(w, tree.RootID, []byte(names[7])) {
		if k%40 != 0 {
			w.do(tree.Unlink{ID: id, Parent: tree.RootID, Name: []byte(names[7])})
		}
	}
	b, err = Update(context.Background(), w.target(), before, w, w.takeChanged(), testInfo, w.options())
	if err != nil || b.Root != w.build(t).Root {
		t.Errorf("an update leads to another root: %v", err)
	}
}

// oneCookie makes names of 16 bytes with one XXH64: its rounds can be undone.
func oneCookie(n int) (names []string) {
	const p1, p2, p4, p5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
	inverse := func(p uint64) uint64 { // modulo 2^64
		x := p
		for range 6 {
			x *= 2 - p*x
		}
		return x
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for len(names) < n {
		lane := rnd.Uint64()
		h := uint64(p5) + 16
		h ^= bits.RotateLeft64(lane*p2, 31) * p1
		h = bits.RotateLeft64(h, 27)*p1 + p4
		// h ^ k = target
		k := h ^ 0x0123456789abcdef
		second := bits.RotateLeft64(k*inverse(p1), -31) * inverse(p2)
		name := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, lane), second)
		if tree.ValidName(name) {
			names = append(names, string(name))
		}
	}
	for _, name := range names[1:] {
		if tree.Cookie([]byte(name)) != tree.Cookie([]byte(names[0])) {
			panic("names with different cookies")
		}
	}
	return names
}

// A build that ends early leaves an error and no root, and the next one is none the worse.
func TestCancelled(t *testing.T) {
	t.Parallel()
	w := everything()
	want := w.build(t)
	for after := range 8 {
		after *= 3
		ctx, cancel := context.WithCancel(context.Background())
		o := w.options()
		steps := 0
		o.Rest = func() {
			if steps++; steps > after {
				cancel()
			}
		}
		empty := *w
		empty.st = ipld.NewMemory()
		if b, err := Build(ctx, Target{empty.st, w.sealer}, w, testInfo, o); err == nil || !b.Root.IsZero() {
			t.Fatal("a cancelled build has a root")
		}
		cancel()
	}
	if got := w.build(t); got.Root != want.Root {
		t.Error("another root")
	}
}

// A version that has its bytes from another one is in a snapshot as if they were its own.
func TestBuildLike(t *testing.T) {
	for _, size := range []int{100, 3000} {
		var roots []Built
		for _, shared := range []bool{false, true} {
			w := newWorld()
			of := w.write(w.create(tree.RootID, "a", tree.File), text(size, 1))
			v := tree.Version{ID: w.draw(), Size: int64(size), Time: 9, By: "laptop"}
			if old, ok := tree.GetVersion(w, of); !ok || shared && !v.TakeContent(w, old) {
				t.Fatal("the first file's bytes are not there")
			}
			if !shared {
				v.Inline = text(size, 1)
			} else if v.Like != of {
				t.Fatalf("it is %+v", v)
			}
			w.do(tree.SetContent{ID: w.create(tree.RootID, "b", tree.File), Version: v})
			roots = append(roots, w.build(t))
		}
		if roots[0].Root != roots[1].Root {
			t.Errorf("%d bytes: root %v, and %v with shared bytes", size, roots[0].Root, roots[1].Root)
		}
	}
}
