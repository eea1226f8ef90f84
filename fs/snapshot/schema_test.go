package snapshot

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/node/bindnode"
	"github.com/ipld/go-ipld-prime/schema"
	schemadmt "github.com/ipld/go-ipld-prime/schema/dmt"
	schemadsl "github.com/ipld/go-ipld-prime/schema/dsl"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// fits reports whether bytes are of a type of the schema, and what the schema makes of them is the same bytes again.
func fits(ts *schema.TypeSystem, typ string, data []byte) error {
	t := ts.TypeByName(typ)
	if t == nil {
		return fmt.Errorf("the schema has no %s", typ)
	}
	proto := bindnode.Prototype(nil, t)
	b := proto.Representation().NewBuilder()
	if err := dagcbor.Decode(b, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("as %s: %w", typ, err)
	}
	var again bytes.Buffer
	if err := dagcbor.Encode(b.Build().(schema.TypedNode).Representation(), &again); err != nil {
		return fmt.Errorf("as %s: %w", typ, err)
	}
	if !bytes.Equal(again.Bytes(), data) {
		return fmt.Errorf("as %s it is %x, was %x", typ, again.Bytes(), data)
	}
	return nil
}

// The published schema is what the code writes: every block of a snapshot in the clear is an Envelope, and opened it is what led to it
// says.
func TestSchema(t *testing.T) {
	t.Parallel()
	parsed, err := schemadsl.ParseFile("../../docs/schema/snapshot.ipldsch")
	if err != nil {
		t.Fatal(err)
	}
	ts := new(schema.TypeSystem)
	ts.Init()
	if err := schemadmt.Compile(ts, parsed); err != nil {
		t.Fatal(err)
	}
	w := everything()
	for i := range 400 {
		w.create(tree.RootID, fmt.Sprintf("%d%s", i, bytes.Repeat([]byte("n"), 120)), tree.File)
	}
	b := w.build(t)
	s := w.check(t, b)
	seen := map[string]int{}
	look := func(link ipld.Link, typ string) {
		seen[typ]++
		bl, err := w.st.Get(link.CID)
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(ts, "Envelope", bl.Data); err != nil {
			t.Fatal(err)
		}
		plain, _, err := ipld.Open(bl, link.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(ts, typ, plain); err != nil {
			t.Fatalf("block %v: %v", link.CID, err)
		}
	}
	look(b.Root, "Root")
	var walk func(c child, level int)
	inode := func(i Inode) {
		if !i.headsAt.IsZero() {
			look(i.headsAt, "HeadsNode")
		}
		if !i.Dir.Node.IsZero() {
			walk(i.Dir.child(), 0)
		}
	}
	walk = func(c child, level int) {
		look(c.link, "DirNode")
		n, err := loadChild(w.st, c, level)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range n.entries {
			inode(e.Inode)
		}
		for _, c := range n.branch {
			walk(c, level+1)
		}
	}
	inode(s.root)
	if seen["DirNode"] < 10 || seen["HeadsNode"] == 0 {
		t.Errorf("only %v", seen)
	}
	if err := fits(ts, "Root", []byte{0x80}); err == nil {
		t.Error("an empty array is a root")
	}
}

// The bytes of a snapshot are for ever: equal states have equal roots on devices with different versions of the program.
func TestGolden(t *testing.T) {
	t.Parallel()
	w := newWorld()
	dir := w.create(tree.RootID, "dir", tree.Dir)
	for _, k := range []tree.Kind{tree.Symlink, tree.CharDev, tree.Graft} {
		w.create(dir, k.String(), k)
	}
	f := w.create(dir, "file", tree.File)
	w.write(f, text(40, 1))
	w.write(f, text(700, 2))
	w.do(tree.SetXattr{ID: f, Name: []byte("user.a"), Val: []byte{0, 0xff}})
	b := w.build(t)
	var out bytes.Buffer
	keys := map[ipld.CID]ipld.Key{b.Root.CID: b.Root.Key}
	s := w.check(t, b)
	keys[s.root.Dir.Node.CID] = s.root.Dir.Node.Key
	for _, e := range mustList(t, s, s.root) {
		keys[e.Inode.Dir.Node.CID] = e.Inode.Dir.Node.Key
	}
	for _, c := range reached(t, w.st, b.Root.CID) {
		bl, err := w.st.Get(c)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "block %s\n%s\n", ipld.Format(c), hex.EncodeToString(bl.Data))
		if key, ok := keys[c]; ok {
			plain, _, err := ipld.Open(bl, key)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "plain %s\n", hex.EncodeToString(plain))
		}
	}
	path := filepath.Join("testdata", "snapshot.golden")
	if *rewrite {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%s has changed: a format is for ever.\ngot:\n%s", path, out.Bytes())
	}
}

func mustList(t *testing.T, s *Snapshot, dir Inode) (es []Entry) {
	t.Helper()
	if err := s.ReadDir(dir, func(e Entry) error { es = append(es, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return es
}

// Any bytes that are opened as a node are one, or an error.
func FuzzNode(f *testing.F) {
	w := everything()
	b := w.build(f)
	s, err := Open(w.st, b.Root)
	if err != nil {
		f.Fatal(err)
	}
	for _, link := range []ipld.Link{b.Root, s.root.Dir.Node} {
		bl, err := w.st.Get(link.CID)
		if err != nil {
			f.Fatal(err)
		}
		plain, children, err := ipld.Open(bl, link.Key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain, uint8(len(children)))
	}
	f.Fuzz(func(t *testing.T, plain []byte, n uint8) {
		if len(plain) > ipld.MaxPlain {
			return
		}
		st := ipld.NewMemory()
		leaf, _ := w.sealer.SealLeaf(plain)
		children := make([]ipld.CID, n)
		for i := range children {
			children[i] = leaf.CID
		}
		bl, link := w.sealer.SealNode(plain, children)
		if err := st.Put(bl, leaf); err != nil {
			t.Fatal(err)
		}
		if n, err := loadNode(st, link, 0); err == nil && len(n.entries)+len(n.branch) == 0 {
			t.Error("a node of nothing")
		}
		if s, err := Open(st, link); err == nil {
			_ = s.Walk(s.Root(), func([][]byte, Entry) error { return nil })
		}
	})
}
