package tree

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed: a format is for ever.\ngot:\n%s", path, got)
	}
}

// everyOp has each op with each form of its fields.
func everyOp() []Op {
	path := Path{{Dir: RootID, Name: []byte("p")}, {Dir: fid(1), Name: []byte("\xff")}}
	small := inline(300, 3)
	small.Quiet = true
	big := Version{
		ID: vid(301), Size: 1 << 40, Time: -1, By: "läptop",
		Content: ipld.Content{Size: 1 << 40, Depth: 4, Root: ipld.Link{CID: ipld.CID{0x01, 0x71, 0x12, 0x20, 9}, Key: ipld.Key{8}}},
	}
	waiting := Version{ID: vid(302), Size: 70000, Pending: true}
	whole := Create{
		ID: fid(2), Parent: fid(1), Name: []byte("f.txt"), Kind: File, Mode: 0o4755, UID: Owner, GID: 1000, Time: 1 << 60, Mtime: -5,
		Btime: 24, Xattrs: []Xattr{{Name: []byte("user.a"), Val: []byte{}}, {Name: []byte("user.b"), Val: []byte{0, 255}}},
		Version: &small, By: "mac", Chosen: FieldMode | FieldMtime, Path: path,
	}
	link := mk(3, root, "l", Symlink)
	dev := mk(4, root, "dev", CharDev)
	dev.Rdev = 0x0103
	graft := mk(5, root, "notes", Graft)
	graft.Volume, graft.Generation = identity.VolumeID{1, 2, 3}, 256
	return []Op{
		Begin{Reducer: Name, Time: 7}, whole, link, dev, graft, mkdir(6, root, "d"),
		Link{ID: fid(2), Parent: RootID, Name: []byte("n"), Time: 1, Path: path},
		Unlink{ID: fid(2), Parent: RootID, Name: []byte("n"), Heads: heads(1, 2), Time: 65536},
		Rename{
			ID: fid(2), From: RootID, OldName: []byte("a"), To: fid(6), NewName: []byte("b"), Replaced: fid(3), ReplacedHeads: heads(9),
			Time: 1, Path: path,
		},
		mv(2, root, "a", root, "b"),
		Exchange{A: fid(2), DirA: RootID, NameA: []byte("a"), B: fid(3), DirB: fid(6), NameB: []byte("b"), Time: 1},
		save(2, root, "f", 7, "tmp", 1), aside(2, root, "f", 7, 1, 2),
		SetContent{
			ID: fid(2), Version: big, Replaces: heads(1, 2), Drops: heads(2), Mtime: 1, Time: 2, Path: path,
		},
		SetContent{ID: fid(2), Version: waiting}, SetContent{ID: fid(2), Version: inline(303, 0)},
		SetAttr{ID: fid(2), Set: allFields, Mode: 0o7777, UID: 1, GID: 2, Mtime: 3}, SetAttr{ID: fid(2), Set: FieldMode, Mode: 0o600},
		SetXattr{ID: fid(2), Name: []byte("user.a"), Val: []byte("v")}, SetXattr{ID: fid(2), Name: []byte("user.a"), Remove: true},
		Merge{
			ID: fid(2), Heads: heads(1, 2), Result: vid(1), Joins: []FileID{fid(8)}, Parts: []FileID{fid(9)},
			Copies: []Copy{{ID: fid(10), Head: vid(2)}}, Mtime: 1, Time: 2,
		},
		Merge{ID: fid(2), Heads: heads(1, 2), Result: big.ID, Version: &big, Mtime: 1, Time: 2},
	}
}

// likeOps has each op that makes a version, which names another one that has its bytes.
func likeOps() []Op {
	made := file(11, root, "copy", 0)
	made.Version = &Version{ID: vid(311), Size: 3, Time: 1, By: "mac", Like: vid(310)}
	return []Op{
		file(10, root, "small", 0), SetContent{ID: fid(10), Version: Version{ID: vid(310), Size: 3, Inline: []byte("abc")}},
		made, SetContent{ID: fid(10), Version: Version{ID: vid(312), Size: 3, Like: vid(310), Quiet: true}, Replaces: heads(310)},
		SetContent{ID: fid(10), Version: inline(313, 2), Replaces: heads(310)},
		Merge{ID: fid(10), Heads: heads(312, 313), Result: vid(314), Version: &Version{ID: vid(314), Size: 3, Like: vid(310)}},
	}
}

func TestGoldenOps(t *testing.T) {
	golden(t, "ops.txt", listOps(t, everyOp()))
}

func listOps(t *testing.T, all []Op) string {
	var b strings.Builder
	for _, op := range all {
		body := Encode(op)
		fmt.Fprintf(&b, "%T %x\n", op, body)
		ops, err := Decode(body)
		if err != nil || !bytes.Equal(Encode(ops...), body) {
			t.Errorf("%T: %v", op, err)
		}
	}
	return b.String()
}

func (m mem) list() string {
	var b strings.Builder
	m.Scan(nil, nil, func(k, v []byte) bool {
		fmt.Fprintf(&b, "%c %x %x\n", k[0], k[1:], v)
		return true
	})
	return b.String()
}

// Ops and records of versions that name another one, which has their bytes.
func TestGoldenLike(t *testing.T) {
	m := mem{}
	m.apply(t, 1, likeOps()...)
	golden(t, "like.txt", listOps(t, likeOps())+m.list())
}

// The records of a state in which everything occurs.
func TestGoldenState(t *testing.T) {
	m := mem{}
	m.apply(t, 1, everyOp()...)
	m.apply(t, 2,
		file(20, root, "twice", 21), file(22, root, "twice", 23), edit1(20, 24, 21), edit1(20, 25, 21), rm(22, root, "twice", 23),
		file(26, root, "linked", 27), Link{ID: fid(26), Parent: RootID, Name: []byte("again"), Time: 1},
		file(28, root, "tmp", 29), file(30, root, "doc", 31), save(30, root, "doc", 28, "tmp", 31),
		SetXattr{ID: fid(30), Name: []byte("user.x"), Val: []byte("y")}, rm(26, root, "again"), rm(20, root, "twice", 24),
	)
	golden(t, "state.txt", m.list())
}

// What is written by hand is what package dagcbor writes.
func TestCanonical(t *testing.T) {
	for _, op := range append(everyOp(), likeOps()...) {
		want := dagcbor.Encode([]any{append([]any{op.code()}, fields(op)...)})
		if got := Encode(op); !bytes.Equal(got, want) {
			t.Errorf("%T: %x, want %x", op, got, want)
		}
	}
	i := Inode{
		Kind: File, Mode: 0o644, UID: Owner, GID: 3, Mtime: -9, Btime: 1 << 40, Rdev: 7, Target: []byte("t"),
		Heads: []Head{{ID: vid(1), Size: 300}}, Nlink: 2, Parent: fid(4), Name: []byte("n"), Entries: 5, Subdirs: 6,
		Volume: identity.VolumeID{1}, By: []byte("mac"), Xattrs: 1, Past: true, Gone: 70000,
	}
	type inode struct {
		_            struct{} `cbor:",toarray"`
		Kind         Kind
		Mode         uint32
		UID, GID     uint32
		Mtime, Btime int64
		Rdev         uint32
		Target       []byte
		Heads        []Head
		Nlink        uint32
		Parent       FileID
		Name         []byte
		Entries      uint32
		Subdirs      uint32
		Volume       identity.VolumeID
		By           string
		Xattrs       uint32
		Past         uint8
		Gone         int64
	}
	want := dagcbor.Encode(inode{
		Kind: i.Kind, Mode: i.Mode, UID: i.UID, GID: i.GID, Mtime: i.Mtime, Btime: i.Btime, Rdev: i.Rdev, Target: i.Target, Heads: i.Heads,
		Nlink: i.Nlink, Parent: i.Parent, Name: i.Name, Entries: i.Entries, Subdirs: i.Subdirs, Volume: i.Volume, By: string(i.By),
		Xattrs: i.Xattrs, Past: 1, Gone: i.Gone,
	})
	if got := putInode(nil, &i); !bytes.Equal(got, want) {
		t.Errorf("inode: %x, want %x", got, want)
	}
	c := claims{kind: File, ids: []FileID{fid(1), fid(2)}}
	if got, want := putClaims(nil, &c), dagcbor.Encode([]any{File, fid(1), fid(2)}); !bytes.Equal(got, want) {
		t.Errorf("dirent: %x, want %x", got, want)
	}
	if got, want := putAlias(nil, fid(1)), dagcbor.Encode([]any{0, fid(1)}); !bytes.Equal(got, want) {
		t.Errorf("alias: %x, want %x", got, want)
	}
	v := Version{
		ID: vid(1), Prev: heads(2), Size: 9, Time: 8, Device: identity.DeviceID{7}, By: "mac", Quiet: true, Pending: true,
		Content: ipld.Content{Size: 9, Root: ipld.Link{CID: leafCID(1)}},
	}
	want = dagcbor.Encode([]any{v.Prev, v.Size, v.Time, v.Device, v.By, flagQuiet | flagPending, v.Content})
	if got := putVersionRecord(nil, &v); !bytes.Equal(got, want) {
		t.Errorf("version: %x, want %x", got, want)
	}
	v = Version{ID: vid(1), Size: 9, Time: 8, Device: identity.DeviceID{7}, By: "mac", Like: vid(2)}
	want = dagcbor.Encode([]any{v.Prev, v.Size, v.Time, v.Device, v.By, 0, v.Like})
	if got := putVersionRecord(nil, &v); !bytes.Equal(got, want) {
		t.Errorf("version with another one's bytes: %x, want %x", got, want)
	}
}

// fields lists an op's fields as docs/FORMATS.md does.
func fields(op Op) []any {
	version := func(v *Version) any {
		if v == nil {
			return nil
		}
		flags := 0
		if v.Quiet {
			flags |= 1
		}
		if v.Pending {
			flags |= 2
		}
		var content any
		if v.Content != (ipld.Content{}) {
			content = v.Content
		}
		if v.Like != (VersionID{}) {
			content = v.Like
		}
		return []any{v.ID, v.Size, v.Time, v.By, flags, v.Inline, content}
	}
	flag := map[bool]int{true: 1}
	switch o := op.(type) {
	case Begin:
		return []any{o.Reducer, o.Time}
	case Create:
		var graft any
		if o.Kind == Graft {
			graft = []any{o.Volume, o.Generation}
		}
		return []any{
			o.ID, o.Parent, o.Name, o.Kind, o.Mode, o.UID, o.GID, o.Time, o.Mtime, o.Btime, o.Rdev, o.Target, o.Xattrs,
			version(o.Version), graft, o.By, o.Chosen, o.Path,
		}
	case Link:
		return []any{o.ID, o.Parent, o.Name, o.Time, o.Path}
	case Unlink:
		return []any{o.ID, o.Parent, o.Name, o.Heads, o.Time}
	case Rename:
		return []any{o.ID, o.From, o.OldName, o.To, o.NewName, o.Replaced, o.ReplacedHeads, o.Time, o.Path}
	case Exchange:
		return []any{o.A, o.DirA, o.NameA, o.B, o.DirB, o.NameB, o.Time}
	case Save:
		return []any{o.Target, o.TargetHeads, o.Dir, o.Name, o.Source, o.FromDir, o.FromName, flag[o.Aside], o.Time, o.Path}
	case SetContent:
		return []any{o.ID, version(&o.Version), o.Replaces, o.Drops, o.Mtime, o.Time, o.Path}
	case SetAttr:
		return []any{o.ID, o.Set, o.Mode, o.UID, o.GID, o.Mtime}
	case SetXattr:
		return []any{o.ID, o.Name, o.Val, flag[o.Remove]}
	case Merge:
		return []any{o.ID, o.Heads, o.Joins, o.Parts, o.Result, version(o.Version), o.Copies, o.Mtime, o.Time}
	}
	return nil
}

// Bodies that are not what Encode writes are refused: other forms of a value, values out of bounds.
func TestDecodeRefuses(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, MaxName+1)
	file := file(2, root, "f", 1)
	with := func(fn func(c *Create)) Create {
		c := file
		v := *file.Version
		c.Version = &v
		fn(&c)
		return c
	}
	big := make([]byte, MaxInline+1)
	for name, op := range map[string]Op{
		"no name":         with(func(c *Create) { c.Name = nil }),
		"dot":             with(func(c *Create) { c.Name = []byte(".") }),
		"dot dot":         with(func(c *Create) { c.Name = []byte("..") }),
		"slash":           with(func(c *Create) { c.Name = []byte("a/b") }),
		"NUL":             with(func(c *Create) { c.Name = []byte("a\x00") }),
		"long name":       with(func(c *Create) { c.Name = long }),
		"kind 0":          with(func(c *Create) { c.Kind = 0 }),
		"kind 9":          with(func(c *Create) { c.Kind = 9 }),
		"mode":            with(func(c *Create) { c.Mode = 0o10000 }),
		"root":            with(func(c *Create) { c.ID = RootID }),
		"zero id":         with(func(c *Create) { c.ID = FileID{} }),
		"target":          with(func(c *Create) { c.Target = []byte("t") }),
		"no target":       with(func(c *Create) { c.Kind, c.Version = Symlink, nil }),
		"fields":          with(func(c *Create) { c.Chosen = 16 }),
		"volume":          with(func(c *Create) { c.Volume[0] = 1 }),
		"no volume":       with(func(c *Create) { c.Kind, c.Version = Graft, nil }),
		"content of dir":  with(func(c *Create) { c.Kind = Dir }),
		"size":            with(func(c *Create) { c.Version.Size = 2 }),
		"nowhere":         with(func(c *Create) { c.Version.Inline = nil }),
		"too much inline": with(func(c *Create) { c.Version.Inline, c.Version.Size = big, int64(len(big)) }),
		"like itself":     with(func(c *Create) { c.Version.Inline, c.Version.Like = nil, c.Version.ID }),
		"like, and empty": with(func(c *Create) { c.Version.Inline, c.Version.Size, c.Version.Like = nil, 0, vid(9) }),
		"like and inline": with(func(c *Create) { c.Version.Like = vid(9) }),
		"like, pending":   with(func(c *Create) { c.Version.Inline, c.Version.Like, c.Version.Pending = nil, vid(9), true }),
		"negative size":   with(func(c *Create) { c.Version.Inline, c.Version.Size = nil, -1 }),
		"device name":     with(func(c *Create) { c.By = strings.Repeat("x", MaxBy+1) }),
		"not UTF-8":       with(func(c *Create) { c.By = "\xff" }),
		"xattrs order":    with(func(c *Create) { c.Xattrs = []Xattr{{Name: []byte("b")}, {Name: []byte("a")}} }),
		"xattr name":      with(func(c *Create) { c.Xattrs = []Xattr{{}} }),
		"path name":       with(func(c *Create) { c.Path = Path{{Dir: RootID, Name: []byte("..")}} }),
		"unlink root":     Unlink{ID: RootID, Parent: fid(1), Name: []byte("a")},
		"exchange itself": Exchange{A: fid(1), DirA: RootID, NameA: []byte("a"), B: fid(1), DirB: RootID, NameB: []byte("b")},
		"save itself":     save(1, root, "f", 1, "g"),
		"replaces itself": SetContent{ID: fid(1), Version: inline(1, 1), Replaces: heads(1)},
		"replaces twice":  SetContent{ID: fid(1), Version: inline(1, 1), Replaces: heads(2, 2)},
		"drops others":    SetContent{ID: fid(1), Version: inline(1, 1), Drops: heads(2)},
		"unset mode":      SetAttr{ID: fid(1), Set: FieldUID, Mode: 1},
		"removed value":   SetXattr{ID: fid(1), Name: []byte("a"), Val: []byte("b"), Remove: true},
		"foreign result":  Merge{ID: fid(1), Heads: heads(1), Result: vid(2)},
		"foreign copy":    Merge{ID: fid(1), Heads: heads(1), Result: vid(1), Copies: []Copy{{ID: fid(2), Head: vid(2)}}},
		"no reducer":      Begin{},
	} {
		if _, err := Decode(Encode(op)); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
	zero := Encode(SetContent{ID: fid(1), Version: Version{ID: vid(1), Size: 1, Like: vid(2)}})
	id := vid(2)
	if _, err := Decode(bytes.Replace(zero, id[:], make([]byte, 16), 1)); err == nil {
		t.Error("like the zero version: decoded")
	}
	for _, h := range []string{
		"", "80", "8100", "818100", "81830060", "9f83006162ff", "818300616200ff", "81831800616200", "8183006162f5", "81980300616200",
		"8183001800616200", "818300616218", "9b7fffffffffffffff", "818363000000",
	} {
		b, _ := hex.DecodeString(h)
		if ops, err := Decode(b); err == nil {
			t.Errorf("%s: decoded as %v", h, ops)
		}
	}
}

// A flipped bit gives another event or none, never a state that is no tree.
func TestFlippedBits(t *testing.T) {
	all := append(everyOp(), likeOps()...)
	rapid.Check(t, func(t *rapid.T) {
		m := mem{}
		for range 8 {
			body := Encode(rapid.SampledFrom(all).Draw(t, "op"))
			for range rapid.IntRange(0, 2).Draw(t, "flips") {
				body[rapid.IntRange(0, len(body)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
			New().Apply(m, author(1), eventlog.Event{Body: body})
			if err := Check(m); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Records of the state that are no records are refused, and readers survive them.
func FuzzRecords(f *testing.F) {
	m := mem{}
	m.apply(f, 1, append(everyOp(), likeOps()...)...)
	for _, v := range m {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, rec []byte) {
		if i, alias, ok := parseInode(fid(1), rec); ok && alias == (FileID{}) {
			if again := putInode(nil, &i); !bytes.Equal(again, rec) {
				t.Errorf("inode %x is written as %x", rec, again)
			}
		}
		if v, ok := parseVersion(vid(1), rec); ok {
			if again := putVersionRecord(nil, &v); !bytes.Equal(again, rec) {
				t.Errorf("version %x is written as %x", rec, again)
			}
		}
		if c, ok := parseClaims(rec); ok {
			if again := putClaims(nil, &c); !bytes.Equal(again, rec) {
				t.Errorf("dirent %x is written as %x", rec, again)
			}
		}
		m := mem{string(inodeKey(fid(1))): rec, string(versionKey(vid(1))): rec, string(direntKey(RootID, []byte("a"))): rec}
		GetInode(m, fid(1))
		GetVersion(m, vid(1))
		Lookup(m, RootID, []byte("a"))
		Claims(m, RootID, []byte("a"))
		Check(m)
	})
}
