package ipld

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// Everything that reaches a disk or another device is byte for byte what it was. If this fails because a
// library compresses otherwise now, see compressor: -rewrite is not the cure.
func TestGolden(t *testing.T) {
	s := NewSealer([32]byte([]byte("the convergence secret of a test")), [32]byte([]byte("the chunk key of a test, 32 byte")))
	leaf, leafLink := s.SealLeaf([]byte("a leaf"))
	text, textLink := s.SealLeaf(bytes.Repeat([]byte("a compressed leaf; "), 30))
	node, nodeLink := s.SealNode([]byte("a node"), []CID{leaf.CID, text.CID})

	segment := []byte(carHeader)
	for _, b := range []Block{leaf, text, node} {
		segment = appendCARSection(segment, b)
	}
	st := NewMemory()
	mixed := append(append(noise(1, 9<<20), make([]byte, 9<<20)...), bytes.Repeat([]byte("mixed "), 100_000)...)
	content := mustWrite(t, s, st, mixed)
	root, err := st.Get(content.Root.CID)
	if err != nil {
		t.Fatal(err)
	}
	var lengths []int64
	for rest := mixed[:SectionSize]; len(rest) > 0; {
		n := s.chunker.cut(rest)
		lengths, rest = append(lengths, int64(n)), rest[n:]
	}
	for name, got := range map[string][]byte{
		"leaf.block":     leaf.Data,
		"leaf.link":      dagcbor.Encode(leafLink),
		"text.block":     text.Data,
		"text.link":      dagcbor.Encode(textLink),
		"node.block":     node.Data,
		"node.link":      dagcbor.Encode(nodeLink),
		"segment.car":    segment,
		"content.cbor":   dagcbor.Encode(content),
		"root.block":     root.Data,
		"chunks.cbor":    dagcbor.Encode(lengths),
		"location.bin":   location{7, 1 << 20, 70_000}.encode(),
		"location.key":   blockKey(leaf.CID),
		"segment.record": dagcbor.Encode(segmentRecord{Mark: 1 << 20}),
		"segment.key":    segmentKey(7),
	} {
		path := filepath.Join("testdata", name)
		if *rewrite {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, not the %d of the golden file", name, len(got), len(want))
		}
	}
}

// What was written by an earlier version is read.
func TestGoldenReads(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, want := range map[string]string{
		"leaf": "a leaf", "node": "a node", "text": string(bytes.Repeat([]byte("a compressed leaf; "), 30)),
	} {
		var link Link
		if err := dagcbor.Decode(read(name+".link"), &link); err != nil {
			t.Fatal(err)
		}
		b := Block{link.CID, read(name + ".block")}
		if err := b.Verify(); err != nil {
			t.Error(err)
		}
		if plain, _, err := Open(b, link.Key); err != nil || string(plain) != want {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	var c Content
	if err := dagcbor.Decode(read("content.cbor"), &c); err != nil || c.Check() != nil {
		t.Errorf("content: %+v, %v", c, err)
	}
	segment, off := read("segment.car"), int64(len(carHeader))
	for range 3 {
		_, l, err := scanSection(bytes.NewReader(segment), 1, off, int64(len(segment)))
		if err != nil {
			t.Fatal(err)
		}
		off = l.end()
	}
	if off != int64(len(segment)) {
		t.Errorf("the segment ends at %d, not %d", len(segment), off)
	}
}
