package ipld

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, []byte("stored")))
	f.Add(appendFrame(nil, bytes.Repeat([]byte("compressed "), 100)))
	f.Add([]byte{frameZstd, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := parseFrame(b)
		if err != nil && !errors.Is(err, ErrDamaged) || len(plain) > MaxPlain {
			t.Fatalf("%d bytes, %v", len(plain), err)
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	f.Add(appendEnvelope(nil, nil, nil))
	f.Add(appendEnvelope(nil, []CID{CIDOf(Raw, nil), CIDOf(DagCBOR, nil)}, []byte("ciphertext")))
	f.Add(appendEnvelope(nil, make([]CID, 30), make([]byte, 70_000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		children, ciphertext, err := parseEnvelope(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := appendEnvelope(nil, children, ciphertext); !bytes.Equal(again, b) {
			t.Fatalf("two forms of one envelope: %x, %x", b, again)
		}
	})
}

func FuzzSection(f *testing.F) {
	link := Link{CID: CIDOf(Raw, nil), Key: Key{1}}
	seed, _ := encodeSection([]chunk{{MaxChunk, Link{}}, {77, link}, {MaxChunk, link}})
	f.Add(seed, 2, int64(2*MaxChunk+77))
	f.Fuzz(func(t *testing.T, plain []byte, n int, size int64) {
		children := make([]CID, max(0, min(n, 1000)))
		for i := range children {
			children[i] = link.CID
		}
		chunks, err := decodeSection(plain, children, size)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again, _ := encodeSection(chunks); !bytes.Equal(again, plain) {
			t.Fatalf("two forms of one section: %x, %x", plain, again)
		}
	})
}

func FuzzBranch(f *testing.F) {
	link := Link{CID: CIDOf(DagCBOR, nil), Key: Key{1}}
	seed, _ := encodeBranch(2, &branch{0: link, 7: link, 255: link})
	f.Add(seed, 3, 2, 256)
	f.Fuzz(func(t *testing.T, plain []byte, n, level, places int) {
		children := make([]CID, max(0, min(n, 300)))
		for i := range children {
			children[i] = link.CID
		}
		level, places = max(2, min(level, maxLevel)), max(1, min(places, fanout))
		b, err := decodeBranch(plain, children, level, places)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again, _ := encodeBranch(level, b); !bytes.Equal(again, plain) {
			t.Fatalf("two forms of one branch: %x, %x", plain, again)
		}
	})
}

func FuzzCARSection(f *testing.F) {
	f.Add(appendCARSection(nil, Block{CIDOf(Raw, []byte("x")), []byte("x")}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, size, head, err := parseCARSection(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if size < 0 || size > MaxBlock || head != carSectionHead(size) || !c.valid() {
			t.Fatalf("%v: %d bytes behind %d", c, size, head)
		}
	})
}

func FuzzLocation(f *testing.F) {
	f.Add(location{1, 30, 70_000}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeLocation(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := l.encode(); !bytes.Equal(again, b) || l.end() <= l.off {
			t.Fatalf("%x is %+v, which is %x", b, l, again)
		}
	})
}

// Whoever made a block and a content, reading is bounded and gives an error or bytes.
func FuzzContent(f *testing.F) {
	f.Add(int64(100), uint8(0), []byte("leaf"), false)
	seed, _ := encodeSection([]chunk{{1000, Link{}}})
	f.Add(int64(1000), uint8(1), seed, true)
	f.Fuzz(func(t *testing.T, size int64, depth uint8, plain []byte, node bool) {
		if len(plain) > MaxPlain {
			return
		}
		st, s := NewMemory(), testSealer()
		b, link := s.SealLeaf(plain)
		if node {
			b, link = s.SealNode(plain, nil)
		}
		if err := st.Put(b); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 100)
		n, err := OpenContent(st, Content{Size: size, Depth: depth, Root: link}).ReadAt(p, max(0, size-50))
		if n > 50 && size > 50 || err == nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
	})
}

func FuzzParseCID(f *testing.F) {
	f.Add(Format(CIDOf(Raw, nil)))
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCID(text); err == nil && Format(c) != text {
			t.Fatalf("two forms of one CID: %q, %q", text, Format(c))
		}
	})
}
