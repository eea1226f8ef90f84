package ipld

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
)

func TestSealIsConvergent(t *testing.T) {
	a, b, other := NewSealer([32]byte{1}, [32]byte{2}), NewSealer([32]byte{1}, [32]byte{3}), NewSealer([32]byte{9}, [32]byte{2})
	for name, plain := range map[string][]byte{
		"nothing": nil, "a byte": {1}, "noise": noise(1, 100_000), "text": bytes.Repeat([]byte("words "), 20_000),
	} {
		b1, l1 := a.SealLeaf(plain)
		b2, l2 := b.SealLeaf(plain)
		b3, l3 := other.SealLeaf(plain)
		if l1 != l2 || !bytes.Equal(b1.Data, b2.Data) {
			t.Errorf("%s: equal bytes give other blocks under one secret", name)
		}
		if l1.CID == l3.CID || l1.Key == l3.Key {
			t.Errorf("%s: equal bytes give equal blocks under two secrets", name)
		}
		if err := b1.Verify(); err != nil {
			t.Error(err)
		}
		for _, open := range []struct {
			block Block
			key   Key
		}{{b1, l1.Key}, {b3, l3.Key}} {
			got, children, err := Open(open.block, open.key)
			if err != nil || !bytes.Equal(got, plain) || children != nil {
				t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
			}
		}
		if _, _, err := Open(b1, l3.Key); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: opened under another key: %v", name, err)
		}
	}
}

// Sealing by the letter of its specification, with other tools.
func TestSealAsSpecified(t *testing.T) {
	secret, plain := [32]byte{1}, []byte("short")
	mac := func(key, data []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(data)
		return h.Sum(nil)
	}
	framed := append([]byte{0}, plain...)
	sum := sha256.Sum256(framed)
	key := mac(mac(make([]byte, 32), secret[:]), []byte("rhizome/1 leaf"+string(sum[:])+"\x01"))
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	want := gcm.Seal(nil, make([]byte, 12), framed, nil)
	got, link := NewSealer(secret, [32]byte{}).SealLeaf(plain)
	if !bytes.Equal(got.Data, want) || link.Key != Key(key) || link.CID != CIDOf(Raw, want) {
		t.Errorf("%x under %x, not %x", got.Data, link.Key[:], want)
	}
}

// A leaf and a node of the same bytes share no key.
func TestLeafIsNoNode(t *testing.T) {
	s := testSealer()
	_, leaf := s.SealLeaf([]byte("bytes"))
	_, node := s.SealNode([]byte("bytes"), nil)
	if leaf.Key == node.Key || leaf.CID == node.CID {
		t.Error("a leaf and a node share a key")
	}
}

func TestNodeCoversItsChildren(t *testing.T) {
	s := testSealer()
	children := []CID{CIDOf(Raw, []byte{1}), CIDOf(DagCBOR, []byte{2}), CIDOf(Raw, []byte{1})}
	b, link := s.SealNode([]byte("plain"), children)
	plain, got, err := Open(b, link.Key)
	if err != nil || string(plain) != "plain" || len(got) != 3 || got[1] != children[1] {
		t.Fatalf("%q, %v, %v", plain, got, err)
	}
	if c, err := Children(b); err != nil || len(c) != 3 || c[2] != children[2] {
		t.Errorf("children in the clear: %v, %v", c, err)
	}
	_, other := s.SealNode([]byte("plain"), children[:2])
	if other.Key == link.Key {
		t.Error("other children, and the same key")
	}
	_, ciphertext, err := parseEnvelope(b.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, swapped := range [][]CID{nil, children[:2], {children[1], children[0], children[2]}} {
		data := appendEnvelope(nil, swapped, ciphertext)
		if _, _, err := Open(Block{CIDOf(DagCBOR, data), data}, link.Key); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d other children: %v", len(swapped), err)
		}
	}
}

// Any flipped bit of a block gives ErrDamaged.
func TestEveryBitCounts(t *testing.T) {
	s := testSealer()
	leaf, leafLink := s.SealLeaf([]byte("a short text, a short text, a short text, a short text, a short text, a short text, a short text"))
	node, nodeLink := s.SealNode([]byte("plain"), []CID{CIDOf(Raw, []byte{1})})
	for _, tc := range []struct {
		Block
		Key
	}{{leaf, leafLink.Key}, {node, nodeLink.Key}} {
		for i := range len(tc.Data) * 8 {
			bad := Block{tc.CID, bytes.Clone(tc.Data)}
			bad.Data[i/8] ^= 1 << (i % 8)
			if _, _, err := Open(bad, tc.Key); !errors.Is(err, ErrDamaged) {
				t.Fatalf("bit %d of %v: %v", i, tc.CID, err)
			}
		}
	}
}

// What was compressed before, and what is compressed at the same time, is not in the bytes.
func TestCompressionIsDeterministic(t *testing.T) {
	inputs, want := make([][]byte, 60), make([][]byte, 60)
	for i := range inputs {
		inputs[i] = bytes.Repeat(noise(uint64(i), 1+i*i), 1+40_000/(1+i*i))
		for j := range inputs[i] {
			if j%97 == i {
				inputs[i][j]++
			}
		}
		want[i] = newCompressor().EncodeAll(inputs[i], nil)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 3 * len(inputs) {
				i := n * (w*2 + 7) % len(inputs)
				if got := compressor().EncodeAll(inputs[i], nil); !bytes.Equal(got, want[i]) {
					t.Errorf("input %d gives other bytes", i)
				}
			}
		})
	}
	wg.Wait()
	for i, in := range inputs {
		if b, _ := testSealer().SealLeaf(in); len(b.Data) > len(in)+17 || len(b.Data) >= len(want[i])+100 {
			t.Errorf("input %d of %d bytes is sealed in %d", i, len(in), len(b.Data))
		}
	}
}

func TestChunks(t *testing.T) {
	c := newChunker([32]byte{1})
	data := noise(1, 32<<20)
	cuts := func(c *chunker, data []byte) map[int]bool {
		at, out := 0, map[int]bool{}
		for at < len(data) {
			n := c.cut(data[at:])
			if n > MaxChunk || n < MinChunk && at+n < len(data) {
				t.Fatalf("a chunk of %d bytes", n)
			}
			at += n
			out[at] = true
		}
		return out
	}
	all := cuts(c, data)
	if mean := len(data) / len(all); mean < 55<<10 || mean > 80<<10 {
		t.Errorf("chunks have %d bytes on average", mean)
	}
	shared := 0
	for at := range cuts(newChunker([32]byte{2}), data) {
		if all[at] {
			shared++
		}
	}
	if shared > 20 { // by chance; one is the end
		t.Errorf("%d of %d cuts are the same under another key", shared, len(all))
	}
	same := 0
	for at := range cuts(c, data[12345:]) {
		if all[at+12345] {
			same++
		}
	}
	if same < len(all)*9/10 {
		t.Errorf("%d of %d cuts are the same behind a removed beginning", same, len(all))
	}
	// A chunk ends where its own bytes say, whatever follows.
	at := 0
	for range 20 {
		n := c.cut(data[at:])
		if m := c.cut(data[at : at+n]); m != n {
			t.Errorf("the chunk at %d has %d bytes, alone %d", at, n, m)
		}
		at += n
	}
}
