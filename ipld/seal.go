package ipld

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// The labels of key derivation. They are in every key, so they never change.
const (
	leafLabel = "rhizome/1 leaf"
	nodeLabel = "rhizome/1 node"
)

// A Sealer turns plain bytes into blocks under one convergence secret, and cuts content under one
// chunk key. It may be used from any goroutine, and is never printed.
type Sealer struct {
	prk     []byte // HKDF's pseudo-random key, from the convergence secret
	chunker *chunker
	scratch sync.Pool // of *scratch
}

// NewSealer returns the Sealer of a convergence secret and a chunk key. Blocks are equal exactly where
// both are.
func NewSealer(convergence, chunkKey [32]byte) *Sealer {
	prk, err := hkdf.Extract(sha256.New, convergence[:], nil)
	if err != nil {
		panic(fmt.Sprintf("ipld: hkdf: %v", err)) // cannot be, with this hash and length
	}
	return &Sealer{prk: prk, chunker: newChunker(chunkKey)}
}

// String hides the secrets.
func (*Sealer) String() string { return secretText }

// Format hides the secrets from every verb of fmt.
func (*Sealer) Format(f fmt.State, _ rune) { io.WriteString(f, secretText) }

// LogValue hides the secrets from logs.
func (*Sealer) LogValue() slog.Value { return slog.StringValue(secretText) }

// SealLeaf seals at most MaxPlain bytes as a block without children.
func (s *Sealer) SealLeaf(plain []byte) (Block, Link) {
	return s.appendLeaf(make([]byte, 0, len(plain)+64), plain)
}

// SealNode seals at most MaxPlain bytes as a block with at most MaxChildren children, whose CIDs stay
// in the clear, in order. The seal covers them: Open refuses other children.
func (s *Sealer) SealNode(plain []byte, children []CID) (Block, Link) {
	checkPlain(plain, children)
	sum := sumChildren(children)
	buf := make([]byte, 0, len(sum)+len(plain)+64)
	buf = appendFrame(append(buf, sum[:]...), plain)
	ciphertext, key := s.seal(buf, nodeLabel)

	data := appendEnvelope(make([]byte, 0, envelopeSize(len(children), len(ciphertext))), children, ciphertext)
	c := CIDOf(DagCBOR, data)
	return Block{c, data}, Link{CID: c, Key: key}
}

// appendLeaf is SealLeaf into the space behind dst, so that a writer of many leaves can reuse it.
func (s *Sealer) appendLeaf(dst, plain []byte) (Block, Link) {
	checkPlain(plain, nil)
	start := len(dst)
	dst = appendFrame(dst, plain)
	data, key := s.seal(dst[start:], leafLabel)
	c := CIDOf(Raw, data)
	return Block{c, data}, Link{CID: c, Key: key}
}

// seal encrypts b in its place, with the tag behind it, under the key that b itself gives.
func (s *Sealer) seal(b []byte, label string) ([]byte, Key) {
	sum := sha256.Sum256(b)
	k, err := hkdf.Expand(sha256.New, s.prk, label+string(sum[:]), len(Key{}))
	if err != nil {
		panic(fmt.Sprintf("ipld: hkdf: %v", err))
	}
	key := Key(k)
	return newAEAD(key).Seal(b[:0], zeroNonce[:], b, nil), key
}

// Open opens a block under its link's key: it returns the plain bytes, and a node's children. It proves
// that the block is what was sealed under that key, whatever its CID says. The error is ErrDamaged.
func Open(b Block, k Key) (plain []byte, children []CID, err error) {
	ciphertext, label := b.Data, b.CID.Codec()
	if label == DagCBOR {
		if children, ciphertext, err = parseEnvelope(b.Data); err != nil {
			return nil, nil, fmt.Errorf("open block %v: %w", b.CID, err)
		}
	}
	plain, err = openInto(nil, ciphertext, children, label, k)
	if err != nil {
		return nil, nil, fmt.Errorf("open block %v: %w", b.CID, err)
	}
	return plain, children, nil
}

// openInPlace is Open for a leaf whose bytes are no longer needed.
func openInPlace(b Block, k Key) ([]byte, error) {
	if b.CID.Codec() != Raw {
		return nil, fmt.Errorf("open block %v: not a leaf: %w", b.CID, ErrDamaged)
	}
	plain, err := openInto(b.Data[:0], b.Data, nil, Raw, k)
	if err != nil {
		return nil, fmt.Errorf("open block %v: %w", b.CID, err)
	}
	return plain, nil
}

func openInto(dst, ciphertext []byte, children []CID, codec Codec, k Key) ([]byte, error) {
	framed, err := newAEAD(k).Open(dst, zeroNonce[:], ciphertext, nil)
	if err != nil {
		return nil, fmt.Errorf("it does not open under its key: %w", ErrDamaged)
	}
	if codec == DagCBOR {
		sum := sumChildren(children)
		if len(framed) < len(sum) || [sha256.Size]byte(framed) != sum {
			return nil, fmt.Errorf("it has other children: %w", ErrDamaged)
		}
		framed = framed[len(sum):]
	}
	return parseFrame(framed)
}

// zeroNonce serves every key, since a key seals exactly one plain text.
var zeroNonce [12]byte

func newAEAD(k Key) cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(fmt.Sprintf("ipld: aes: %v", err))
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(fmt.Sprintf("ipld: gcm: %v", err))
	}
	return aead
}

// sumChildren is the SHA-256 of the children's CIDs, one behind the other.
func sumChildren(children []CID) [sha256.Size]byte {
	h := sha256.New()
	for i := range children {
		h.Write(children[i][:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func checkPlain(plain []byte, children []CID) {
	if len(plain) > MaxPlain || len(children) > MaxChildren {
		panic(fmt.Sprintf("ipld: sealing %d bytes with %d children", len(plain), len(children)))
	}
}
