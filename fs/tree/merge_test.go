package tree

import (
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/identity"
)

// Short forms of ops. Directories are d1, d2; files and versions are numbers. A version's size is its number.
const (
	root = 0
	d1   = 101
	d2   = 102
)

func id(n int) FileID {
	if n == root {
		return RootID
	}
	return fid(n)
}

func heads(vs ...int) (ids []VersionID) {
	for _, v := range vs {
		ids = append(ids, vid(v))
	}
	return ids
}

func mk(f, dir int, name string, kind Kind) Create {
	c := Create{ID: id(f), Parent: id(dir), Name: []byte(name), Kind: kind, Mode: 0o644, Time: 10, Mtime: 10, Btime: 10, By: "mac"}
	if kind == Symlink {
		c.Target = []byte("t")
	}
	return c
}

func symlink(f int, name, target string) Create {
	c := mk(f, root, name, Symlink)
	c.Target = []byte(target)
	return c
}

func mkdir(f, dir int, name string) Create { return mk(f, dir, name, Dir) }

func file(f, dir int, name string, v int) Create {
	c := mk(f, dir, name, File)
	if v > 0 {
		ver := inline(v, int64(v))
		c.Version = &ver
	}
	return c
}

func edit1(f, v int, replaces ...int) SetContent {
	return SetContent{ID: id(f), Version: inline(v, int64(v)), Replaces: heads(replaces...), Mtime: 20, Time: 20}
}

func at(path Path, o SetContent) SetContent { o.Path = path; return o }

func rm(f, dir int, name string, seen ...int) Unlink {
	return Unlink{ID: id(f), Parent: id(dir), Name: []byte(name), Heads: heads(seen...), Time: 30}
}

func mv(f, from int, old string, to int, name string) Rename {
	return Rename{ID: id(f), From: id(from), OldName: []byte(old), To: id(to), NewName: []byte(name), Time: 40}
}

func over(o Rename, f int, seen ...int) Rename {
	o.Replaced, o.ReplacedHeads = id(f), heads(seen...)
	return o
}

func save(target, dir int, name string, source int, tmp string, seen ...int) Save {
	return Save{
		Target: id(target), TargetHeads: heads(seen...), Dir: id(dir), Name: []byte(name),
		Source: id(source), FromDir: id(dir), FromName: []byte(tmp), Time: 50,
	}
}

func ops(o ...Op) []Op { return o }

func lines(s ...string) string { return strings.Join(s, "\n") }

// The rows of the table of merges: what two devices did apart, and the tree in either order.
func TestMergeTable(t *testing.T) {
	base := ops(
		mkdir(d1, root, "d"), mkdir(d2, root, "e"), file(1, root, "f", 1), file(2, d1, "g", 2),
		file(3, d1, "h", 3), Link{ID: id(3), Parent: RootID, Name: []byte("h2"), Time: 1},
	)
	// The tree before, but for /f.
	const others = "d/\nd/g 2\nd/h 3\ne/\n"
	const stays = others + "f 1\nh2 3"
	tests := []struct {
		name   string
		a, b   []Op
		ab, ba string // "": the same
	}{
		{"edit different files", ops(edit1(1, 11, 1)), ops(edit1(2, 12, 2)), "d/\nd/g 12\nd/h 3\ne/\nf 11\nh2 3", ""},
		{"edit one file", ops(edit1(1, 11, 1)), ops(edit1(1, 12, 1)), others + "f 11+12\nh2 3", others + "f 12+11\nh2 3"},
		{"edit, delete", ops(edit1(1, 11, 1)), ops(rm(1, root, "f", 1)), others + "f 11\nh2 3", ""},
		{
			"two edits, delete", ops(edit1(1, 11, 1), edit1(1, 12)), ops(rm(1, root, "f", 1, 12)),
			others + "f 11\nh2 3", others + "f 11+12\nh2 3",
		},
		{
			"edit, delete with the directory", ops(edit1(2, 12, 2)), ops(rm(2, d1, "g", 2), rm(3, d1, "h", 3), rm(d1, root, "d")),
			"d/\nd/g 12\ne/\nf 1\nh2 3", "",
		},
		{
			"create in a directory, delete it", ops(file(9, d1, "new", 9)),
			ops(rm(2, d1, "g", 2), rm(3, d1, "h", 3), rm(d1, root, "d")), "d/\nd/new 9\ne/\nf 1\nh2 3", "",
		},
		{
			"create deep, delete the whole", ops(mkdir(110, d1, "x"), mkdir(111, 110, "y"), file(9, 111, "new", 9)),
			ops(rm(2, d1, "g", 2), rm(3, d1, "h", 3), rm(d1, root, "d")), "d/\nd/x/\nd/x/y/\nd/x/y/new 9\ne/\nf 1\nh2 3", "",
		},
		{
			"create the same name, files", ops(file(8, d2, "n", 8)), ops(file(9, d2, "n", 9)),
			"d/\nd/g 2\nd/h 3\ne/\ne/n 8 (1 hidden)\nf 1\nh2 3", "d/\nd/g 2\nd/h 3\ne/\ne/n 9 (1 hidden)\nf 1\nh2 3",
		},
		{
			"create the same name, directories", ops(mkdir(110, d2, "n"), file(8, 110, "a", 8)), ops(mkdir(111, d2, "n"), file(9, 111, "b", 9)),
			"d/\nd/g 2\nd/h 3\ne/\ne/n/\ne/n/a 8\ne/n/b 9\nf 1\nh2 3", "",
		},
		{
			"create the same name, nested directories",
			ops(mkdir(110, d2, "n"), mkdir(112, 110, "m"), file(8, 112, "a", 8)), ops(mkdir(111, d2, "n"), mkdir(113, 111, "m"), file(9, 113, "b", 9)),
			"d/\nd/g 2\nd/h 3\ne/\ne/n/\ne/n/m/\ne/n/m/a 8\ne/n/m/b 9\nf 1\nh2 3", "",
		},
		{
			"create the same name, file and directory", ops(file(8, d2, "n.txt", 8)), ops(mkdir(111, d2, "n.txt")),
			"d/\nd/g 2\nd/h 3\ne/\ne/n (conflict mac 1970-01-01 00.00.00 f100081d).txt 8\ne/n.txt/\nf 1\nh2 3", "",
		},
		{
			"create the same name, file and symlink", ops(file(8, d2, "n", 8)), ops(mk(9, d2, "n", Symlink)),
			"d/\nd/g 2\nd/h 3\ne/\ne/n (conflict mac 1970-01-01 00.00.00 f100091d) symbolic link\ne/n 8\nf 1\nh2 3",
			"d/\nd/g 2\nd/h 3\ne/\ne/n (conflict mac 1970-01-01 00.00.00 f100081d) 8\ne/n symbolic link\nf 1\nh2 3",
		},
		{
			"rename one file to two names", ops(mv(1, root, "f", d1, "x")), ops(mv(1, root, "f", d2, "y")),
			"d/\nd/g 2\nd/h 3\ne/\ne/y 1\nh2 3", "d/\nd/g 2\nd/h 3\nd/x 1\ne/\nh2 3",
		},
		{
			"move directories into each other", ops(mv(d1, root, "d", d2, "d")), ops(mv(d2, root, "e", d1, "e")),
			"e/\ne/d/\ne/d/g 2\ne/d/h 3\nf 1\nh2 3", "d/\nd/e/\nd/g 2\nd/h 3\nf 1\nh2 3",
		},
		{"move, delete", ops(mv(1, root, "f", d2, "f")), ops(rm(1, root, "f", 1)), "d/\nd/g 2\nd/h 3\ne/\ne/f 1\nh2 3", ""},
		{
			"move a directory, delete it", ops(mv(d1, root, "d", d2, "d")), ops(rm(2, d1, "g", 2), rm(3, d1, "h", 3), rm(d1, root, "d")),
			"e/\ne/d/\nf 1\nh2 3", "",
		},
		{
			"move into a directory, delete that", ops(mv(1, root, "f", d2, "f")), ops(rm(d2, root, "e")),
			"d/\nd/g 2\nd/h 3\ne/\ne/f 1\nh2 3", "",
		},
		{
			"rename, edit", ops(mv(1, root, "f", d2, "x")), ops(edit1(1, 11, 1)), "d/\nd/g 2\nd/h 3\ne/\ne/x 11\nh2 3", "",
		},
		{
			"replace by rename, edit of the target", ops(over(mv(1, root, "f", d1, "g"), 2, 2)), ops(edit1(2, 12, 2)),
			"d/\nd/g 1 (1 hidden)\nd/h 3\ne/\nh2 3", "d/\nd/g (conflict dev 1970-01-01 00.00.00 7e000c05) 12\nd/g 1\nd/h 3\ne/\nh2 3",
		},
		{
			"replace by rename, edit of the source", ops(over(mv(1, root, "f", d1, "g"), 2, 2)), ops(edit1(1, 11, 1)),
			"d/\nd/g 11\nd/h 3\ne/\nh2 3", "",
		},
		{
			"replace by rename, hard link", ops(over(mv(1, root, "f", d1, "h"), 3, 3)), ops(edit1(3, 13, 3)),
			"d/\nd/g 2\nd/h 1\ne/\nh2 13", "",
		},
		{
			"replace an empty directory, create in it",
			ops(mkdir(110, root, "n"), file(8, 110, "a", 8), over(mv(110, root, "n", root, "e"), d2)), ops(file(9, d2, "b", 9)),
			"d/\nd/g 2\nd/h 3\ne/\ne/a 8\ne/b 9\nf 1\nh2 3",
			"d/\nd/g 2\nd/h 3\ne (conflict mac 1970-01-01 00.00.00 f1006e1d)/\ne (conflict mac 1970-01-01 00.00.00 f1006e1d)/a 8\n" +
				"e/\ne/b 9\nf 1\nh2 3",
		},
		{
			"atomic save, edit", ops(file(8, root, ".tmp", 8), save(1, root, "f", 8, ".tmp", 1)), ops(edit1(1, 11, 1)),
			others + "f 8+11\nh2 3", others + "f 11+8\nh2 3",
		},
		{
			"atomic save, atomic save", ops(file(8, root, ".tmp", 8), save(1, root, "f", 8, ".tmp", 1)),
			ops(file(9, root, ".tmp2", 9), save(1, root, "f", 9, ".tmp2", 1)), others + "f 8+9\nh2 3", others + "f 9+8\nh2 3",
		},
		{
			"atomic save, rename", ops(file(8, root, ".tmp", 8), save(1, root, "f", 8, ".tmp", 1)), ops(mv(1, root, "f", d2, "x")),
			"d/\nd/g 2\nd/h 3\ne/\ne/x 8\nh2 3", "",
		},
		{
			"atomic save, delete", ops(file(8, root, ".tmp", 8), save(1, root, "f", 8, ".tmp", 1)), ops(rm(1, root, "f", 1)),
			others + "f 8\nh2 3", "",
		},
		{
			"atomic save over a hard link", ops(file(8, d1, ".tmp", 8), save(3, d1, "h", 8, ".tmp", 3)), ops(edit1(3, 13, 3)),
			"d/\nd/g 2\nd/h 8\ne/\nf 1\nh2 13", "",
		},
		{
			"save with the target aside, edit", ops(mv(1, root, "f", root, "f~"), file(8, root, "f", 8), aside(1, root, "f", 8, 1)), ops(edit1(1, 11, 1)),
			others + "f 8+11\nf~ 1\nh2 3", others + "f 11+8\nf~ 1\nh2 3",
		},
		{
			"save with the target removed, edit", ops(rm(1, root, "f", 1), file(8, root, "f", 8), aside(1, root, "f", 8, 1)), ops(edit1(1, 11, 1)),
			others + "f 8+11\nh2 3", others + "f 11+8\nh2 3",
		},
		{
			"link, delete", ops(Link{ID: id(1), Parent: id(d2), Name: []byte("l"), Time: 1}), ops(rm(1, root, "f", 1)),
			"d/\nd/g 2\nd/h 3\ne/\ne/l 1\nh2 3", "",
		},
		{
			"exchange, edit", ops(Exchange{A: id(1), DirA: RootID, NameA: []byte("f"), B: id(2), DirB: id(d1), NameB: []byte("g"), Time: 9}),
			ops(edit1(1, 11, 1)), "d/\nd/g 11\nd/h 3\ne/\nf 2\nh2 3", "",
		},
		{
			"create, rename to the same name", ops(file(9, d2, "n", 9)), ops(mv(1, root, "f", d2, "n")),
			"d/\nd/g 2\nd/h 3\ne/\ne/n 9 (1 hidden)\nh2 3", "d/\nd/g 2\nd/h 3\ne/\ne/n 1 (1 hidden)\nh2 3",
		},
		{
			"two directories to one name", ops(file(9, d2, "b", 9), mv(d1, root, "d", root, "n")), ops(mv(d2, root, "e", root, "n")),
			"f 1\nh2 3\nn (conflict mac 1970-01-01 00.00.00 f100661d)/\nn (conflict mac 1970-01-01 00.00.00 f100661d)/b 9\nn/\nn/g 2\nn/h 3", "-",
		},
		{"remove what is gone", ops(rm(1, root, "f", 1)), ops(rm(1, root, "f", 1)), others + "h2 3", ""},
		{"move below itself", ops(mv(d1, root, "d", d1, "x")), nil, stays, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range []string{"ab", "ba"} {
				m := mem{}
				m.apply(t, 9, append(ops(Begin{Reducer: Name, Time: 1}), base...)...)
				want := tt.ab
				if order == "ab" {
					m.apply(t, 1, tt.a...)
					m.apply(t, 2, tt.b...)
				} else {
					m.apply(t, 2, tt.b...)
					m.apply(t, 1, tt.a...)
					if tt.ba != "" {
						want = tt.ba
					}
				}
				if got := m.show(); got != want && want != "-" {
					t.Errorf("%s:\n%s\nwant:\n%s", order, got, want)
				}
			}
		})
	}
}

func aside(target, dir int, name string, source int, seen ...int) Save {
	o := save(target, dir, name, source, name, seen...)
	o.Aside = true
	return o
}

// What is no longer known is made anew from the path that an edit carries.
func TestRemake(t *testing.T) {
	m := mem{}
	path := Path{{Dir: RootID, Name: []byte("p")}, {Dir: id(d1), Name: []byte("q")}, {Dir: id(d2), Name: []byte("r")}}
	m.apply(t, 1, at(path, edit1(1, 7)))
	c := file(2, d2, "s", 8)
	c.Path = path[:2]
	m.apply(t, 1, c)
	m.apply(t, 1, edit1(3, 9), file(4, 77, "u", 4))
	want := lines(fid(3).String()+" 9", "p/", "p/q/", "p/q/r 7", "p/q/s 8", "u 4")
	if got := m.show(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A volume that two devices made is one, and its name's next one is another.
func TestGraft(t *testing.T) {
	graft := func(f int, name string, vol byte, gen uint64) Create {
		c := mk(f, root, name, Graft)
		c.Volume, c.Generation = identity.VolumeID{vol}, gen
		return c
	}
	m := mem{}
	if g := Generation(m, []byte("n")); g != 1 {
		t.Fatalf("first generation %d", g)
	}
	m.apply(t, 1, graft(1, "n", 7, 1))
	m.apply(t, 2, graft(2, "n", 7, 1))
	if got := m.show(); got != "n volume" {
		t.Fatalf("made twice: %s", got)
	}
	m.apply(t, 1, mv(1, root, "n", root, "old"))
	m.apply(t, 2, graft(3, "n", 7, 1))
	if got := m.show(); got != "old volume" {
		t.Fatalf("made again elsewhere: %s", got)
	}
	m.apply(t, 1, graft(4, "n", 8, 2))
	if got, g := m.show(), Generation(m, []byte("n")); got != "n volume\nold volume" || g != 3 {
		t.Fatalf("next generation %d: %s", g, got)
	}
	m.apply(t, 1, rm(1, root, "old"))
	m.apply(t, 2, graft(5, "back", 7, 1), mkdir(6, root, "n"))
	want := lines("back volume", "n (conflict mac 1970-01-01 00.00.00 f100061d)/", "n volume")
	if got := m.show(); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestResolve(t *testing.T) {
	draw := 50
	next := func() FileID { draw++; return fid(draw) }
	resolve := func(m mem) {
		Unmerged(m, func(c Conflict) bool {
			if op, ok := Resolve(m, c, next, 99); ok {
				m.apply(t, 3, op)
				m.apply(t, 4, op) // a second device's comes too late
			}
			return true
		})
		Unmerged(m, func(c Conflict) bool { t.Errorf("still unmerged: %+v", c); return true })
	}
	same := func(v int) Version {
		u := inline(v, 3)
		u.Inline = []byte("abc")
		return u
	}
	tests := []struct {
		name string
		ops  []Op
		want string
	}{
		{
			"three heads", ops(file(1, root, "f.txt", 1), edit1(1, 11, 1), edit1(1, 12, 1), edit1(1, 13, 1)),
			lines("f (conflict dev 1970-01-01 00.00.00 7e000c05).txt 12", "f (conflict dev 1970-01-01 00.00.00 7e000d05).txt 13", "f.txt 11"),
		},
		{
			"equal heads", ops(
				file(1, root, "f", 1),
				SetContent{ID: id(1), Version: same(21), Replaces: heads(1)}, SetContent{ID: id(1), Version: same(22), Replaces: heads(1)},
			),
			"f 3",
		},
		{
			"names", ops(file(1, root, "f", 1), file(2, root, "f", 2)), lines("f (conflict dev 1970-01-01 00.00.00 7e000205) 2", "f 1"),
		},
		{
			"a second name of a hard link", ops(
				file(1, root, "a", 1), Link{ID: id(1), Parent: id(root), Name: []byte("f")}, file(2, root, "f", 2), file(3, root, "f", 3),
			),
			lines("a 1", "f (conflict dev 1970-01-01 00.00.00 7e000205) 2", "f (conflict dev 1970-01-01 00.00.00 7e000305) 3", "f 1"),
		},
		{
			"two hard links that claim two names", ops(
				file(1, root, "a", 1), file(2, root, "a", 2),
				Link{ID: id(1), Parent: id(root), Name: []byte("f")}, Link{ID: id(2), Parent: id(root), Name: []byte("f")},
			),
			lines("a (conflict dev 1970-01-01 00.00.00 7e000205) 2", "a 1", "f (conflict dev 1970-01-01 00.00.00 7e000205) 2", "f 1"),
		},
		{"empty files of one name", ops(file(1, root, "f", 0), file(2, root, "f", 0)), "f"},
		{
			"equal files of one name", ops(
				file(1, root, "f", 0), file(2, root, "f", 0), SetContent{ID: id(1), Version: same(21)}, SetContent{ID: id(2), Version: same(22)},
			),
			"f 3",
		},
		{
			"symlinks of one name", ops(mk(1, root, "f", Symlink), mk(2, root, "f", Symlink), symlink(3, "f", "other")),
			lines("f (conflict mac 1970-01-01 00.00.00 f100031d) symbolic link", "f symbolic link"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := mem{}
			m.apply(t, 1, tt.ops...)
			resolve(m)
			if got := m.show(); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
