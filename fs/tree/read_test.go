package tree

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/ipld"
)

func TestReadDir(t *testing.T) {
	m := mem{}
	var all []string
	for k := range 50 {
		m.apply(t, 1, file(k+1, root, fmt.Sprint("f", k), 0))
		all = append(all, fmt.Sprint("f", k))
	}
	var got []string
	after, calls := uint64(0), 0
	for more := true; more; calls++ {
		more = false
		n := 0
		ReadDir(m, RootID, after, func(cookie uint64, name []byte, d Dirent) bool {
			if cookie <= after || int64(cookie) < minCookie {
				t.Fatalf("cookie %d after %d", cookie, after)
			}
			if n++; n > 7 {
				return false
			}
			after, more = cookie, true
			got = append(got, string(name))
			return true
		})
	}
	slices.Sort(got)
	slices.Sort(all)
	if !slices.Equal(got, all) || calls != 9 {
		t.Errorf("%d calls, %v", calls, got)
	}
	ReadDir(m, RootID, 1<<64-1, func(uint64, []byte, Dirent) bool { t.Error("behind the end"); return true })
}

func TestReaders(t *testing.T) {
	m := mem{}
	m.apply(t, 1,
		mkdir(d1, root, "d"), file(1, d1, "f", 5), Link{ID: id(1), Parent: RootID, Name: []byte("l"), Time: 1},
		SetXattr{ID: id(1), Name: []byte("user.a"), Val: []byte("v")}, file(2, root, "gone", 6), rm(2, root, "gone", 6),
	)
	if p, ok := PathOf(m, id(1)); !ok || len(p) != 2 || p[0].Dir != RootID || string(p[1].Name) != "f" {
		t.Errorf("path %v", p)
	}
	if p, ok := PathOf(m, RootID); !ok || len(p) != 0 {
		t.Errorf("path of root %v", p)
	}
	if _, ok := PathOf(m, id(2)); ok {
		t.Error("a dead file has a path")
	}
	if n := Names(m, id(1)); len(n) != 2 || string(n[0].Name) != "f" || string(n[1].Name) != "l" {
		t.Errorf("names %v", n)
	}
	if i, ok := GetDead(m, id(2)); !ok || string(i.Name) != "gone" || i.Gone != 30 || i.Nlink != 0 {
		t.Errorf("tombstone %v %+v", ok, i)
	}
	if _, ok := GetDead(m, id(1)); ok {
		t.Error("a living file is dead")
	}
	if v, ok := GetXattr(m, id(1), []byte("user.a")); !ok || string(v) != "v" {
		t.Errorf("xattr %q", v)
	}
	if !IsBelow(m, id(d1), RootID) || IsBelow(m, RootID, id(d1)) || !IsBelow(m, id(d1), id(d1)) {
		t.Error("what is below what")
	}
	if b, ok := Body(m, Version{ID: vid(5)}); !ok || len(b) != 5 {
		t.Errorf("body %q", b)
	}
	m.apply(t, 1, rm(1, d1, "f", 5))
	if i, _ := GetInode(m, id(1)); i.Parent != RootID || string(i.Name) != "l" || i.Nlink != 1 {
		t.Errorf("after its first name went: %+v", i)
	}
	keys := [][]byte{inodeKey(id(1)), direntKey(id(d1), []byte("f")), versionKey(vid(5)), {keyStop}, {}}
	var changed []string
	Changed(keys, func(f FileID) { changed = append(changed, f.String()) }, func(dir FileID, name []byte) {
		changed = append(changed, dir.String()+"/"+string(name))
	})
	if want := []string{id(1).String(), id(d1).String() + "/f"}; !slices.Equal(changed, want) {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if Canon(m, id(1)) != id(1) || Canon(m, id(77)) != id(77) {
		t.Error("no alias has another name")
	}
	m.apply(t, 1, file(3, root, "tmp", 7), save(1, root, "l", 3, "tmp", 5))
	if i, ok := GetInode(m, id(3)); Canon(m, id(3)) != id(1) || !ok || i.ID != id(1) || i.Size() != 7 {
		t.Errorf("alias is %+v", i)
	}
	if p := Parents(m, vid(7)); !slices.Equal(p, heads(5)) {
		t.Errorf("parents %v", p)
	}
}

func TestContents(t *testing.T) {
	m := mem{}
	c := ipld.Content{Size: 70000, Root: ipld.Link{CID: leafCID(7)}}
	v := Version{ID: vid(1), Size: 70000, Pending: true, Quiet: true}
	m.apply(t, 1, file(1, root, "f", 0), SetContent{ID: id(1), Version: v})
	if d := Drops(m, heads(1), author(1).Device); d != nil {
		t.Errorf("a pending version may be dropped")
	}
	v.Pending, v.Content = false, c
	Sealed(m, v)
	got, ok := GetVersion(m, vid(1))
	if !ok || got.Pending || got.Content != c || !got.Quiet || got.Device != author(1).Device {
		t.Errorf("sealed: %+v", got)
	}
	Sealed(m, Version{ID: vid(9), Size: 1, Inline: []byte("x")})
	Sealed(m, Version{ID: vid(1), Size: 70000, Content: ipld.Content{Size: 70000, Root: ipld.Link{CID: leafCID(8)}}})
	if again, _ := GetVersion(m, vid(1)); again.Content != c {
		t.Error("sealed twice")
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	if d := Drops(m, heads(1, 2), author(2).Device); d != nil {
		t.Errorf("another device may drop %v", d)
	}
	var reached []ipld.Content
	if err := Reachable(m, func(v Version) error { reached = append(reached, v.Content); return nil }); err != nil || len(reached) != 1 {
		t.Errorf("reachable %v, %v", reached, err)
	}
	next := inline(2, 3)
	op := SetContent{ID: id(1), Version: next, Replaces: heads(1), Drops: Drops(m, heads(1), author(1).Device)}
	if n := New().Needs(event(SetContent{ID: id(1), Version: v}, op)); !slices.Equal(n, []ipld.CID{leafCID(7)}) {
		t.Errorf("needs %v", n)
	}
	m.apply(t, 1, op)
	if _, ok := GetVersion(m, vid(1)); ok {
		t.Error("a quiet version was not dropped")
	}
}

// From the event on that names a later reducer nothing is applied.
func TestStopped(t *testing.T) {
	m := mem{}
	m.apply(t, 1, Begin{Reducer: Name, Time: 1}, mkdir(d1, root, "d"))
	New().Apply(m, author(1), event(mkdir(d2, root, "e"), Begin{Reducer: "tree/2"}, mkdir(103, root, "f")))
	m.apply(t, 2, mkdir(104, root, "g"))
	if r, ok := Stopped(m); !ok || r != "tree/2" {
		t.Errorf("stopped at %q", r)
	}
	if got := m.show(); got != "d/\ne/" {
		t.Errorf("applied %s", got)
	}
}

func TestConflictName(t *testing.T) {
	e := edit{by: []byte("my/mac\n"), time: 1e18, id: [16]byte{0xab, 0xcd, 0xef, 1}}
	const mark = " (conflict my-mac- 2001-09-09 01.46.40 abcdef01)"
	for _, tt := range []struct{ name, want string }{
		{"a.txt", "a" + mark + ".txt"},
		{"a.tar.gz", "a.tar" + mark + ".gz"},
		{".profile", ".profile" + mark},
		{"a", "a" + mark},
		{"a.what follows is no extension", "a.what follows is no extension" + mark},
		{strings.Repeat("x", 250) + ".txt", strings.Repeat("x", 255-4-len(mark)) + mark + ".txt"},
		{strings.Repeat("é", 127), strings.Repeat("é", (255-len(mark))/2) + mark},
		{strings.Repeat("\xff", 255), strings.Repeat("\xff", 255-len(mark)) + mark},
	} {
		if got := string(e.name([]byte(tt.name), 1)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.name, got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SliceOfN(rapid.Byte(), 1, 255).Filter(ValidName).Draw(t, "name")
		if rapid.Bool().Draw(t, "utf8") {
			name = []byte(rapid.StringN(1, 255, 255).Filter(func(s string) bool { return ValidName([]byte(s)) }).Draw(t, "text"))
		}
		e := edit{
			by: rapid.SliceOfN(rapid.Byte(), 0, MaxBy).Draw(t, "by"), time: rapid.Int64().Draw(t, "time"),
			dir: rapid.Bool().Draw(t, "dir"),
		}
		seen := map[string]bool{}
		for n := 1; n < 12; n++ {
			c := e.name(name, n)
			if !ValidName(c) || seen[string(c)] {
				t.Fatalf("name %d of %q: %q", n, name, c)
			}
			if utf8.Valid(name) && utf8.Valid(e.by) && !utf8.Valid(c) {
				t.Fatalf("%q is UTF-8, %q is not", name, c)
			}
			seen[string(c)] = true
		}
	})
}

// What two devices do to different things is there in either order.
func TestDifferentThings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{state: mem{}}
		w.round(t, 1, 14)
		steps := func(n byte) []eventlog.Event {
			d := &device{n: n, state: w.state.clone(), src: &w.src}
			for range rapid.IntRange(1, 6).Draw(t, "steps") {
				s, e, ok := d.pick(t, File)
				if !ok {
					continue
				}
				// Each device keeps to files, and to names for new ones, of its own.
				if mine := e.ID[2]%2 == n-1; mine {
					d.edit(t, e.ID, false)
				} else if nm := append(name(t), n); true {
					if _, taken := Lookup(d.state, s.Dir, nm); !taken {
						d.do(d.newFile(t, s.Dir, nm, rapid.SampledFrom([]Kind{File, Dir, Symlink}).Draw(t, "kind")))
					}
				}
			}
			return d.made
		}
		one, two := steps(1), steps(2)
		ab, ba := w.state.fold(1, one).fold(2, two), w.state.fold(2, two).fold(1, one)
		// Only the mtimes of directories tell who came last.
		for _, m := range []mem{ab, ba} {
			for k, v := range m {
				if i, alias, ok := parseInode(FileID{}, v); k[0] == keyInode && ok && alias == (FileID{}) && i.Kind == Dir {
					i.Mtime = 0
					m[k] = putInode(nil, &i)
				}
			}
		}
		if diff := ab.diff(ba); diff != "" {
			t.Fatalf("the order shows:%s", diff)
		}
		if !bytes.Equal([]byte(ab.show()), []byte(ba.show())) {
			t.Fatal("the order shows")
		}
	})
}

// Check finds what is wrong.
func TestCheckFinds(t *testing.T) {
	good := mem{}
	good.apply(t, 1,
		mkdir(d1, root, "d"), file(1, d1, "f", 5), Link{ID: id(1), Parent: RootID, Name: []byte("l"), Time: 1}, edit1(1, 6), edit1(1, 7, 5),
		SetXattr{ID: id(1), Name: []byte("user.a"), Val: []byte("v")}, file(2, root, "gone", 8), rm(2, root, "gone", 8),
		file(3, root, "twice", 9), file(4, root, "twice", 10), rm(1, d1, "f"), mkdir(d2, d1, "e"),
	)
	good.Scan(nil, nil, func(k, v []byte) bool {
		if k[0] == keyBody || k[0] == keyGen || k[0] == keyKept || k[0] == keyParents {
			return true
		}
		m := good.clone()
		m.Delete(k)
		if err := Check(m); err == nil {
			t.Errorf("%c %x is missing, and nothing is found", k[0], k[1:])
		}
		m = good.clone()
		m.Set(k, append(clone(v), 0))
		switch k[0] {
		case keyInode, keyDirent, keyVersion:
			if err := Check(m); err == nil {
				t.Errorf("%c %x is longer, and nothing is found", k[0], k[1:])
			}
		}
		return true
	})
}
