package ipld

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

func TestCIDText(t *testing.T) {
	for _, codec := range []Codec{Raw, DagCBOR} {
		c := CIDOf(codec, []byte("some bytes"))
		_, theirs, err := cid.CidFromBytes(c[:])
		if err != nil || theirs.String() != Format(c) || theirs.Prefix().Codec != uint64(codec) {
			t.Errorf("%s, go-cid says %v, %v", Format(c), theirs, err)
		}
		if back, err := ParseCID(Format(c)); back != c || err != nil {
			t.Errorf("%s comes back as %v, %v", Format(c), back, err)
		}
	}
	good := Format(CIDOf(Raw, nil))
	for _, bad := range []string{
		"", "b", good[1:], good + "a", strings.ToUpper(good), "z" + good[1:], good[:58] + "7",
		"bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", // dag-pb
		"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
	} {
		if c, err := ParseCID(bad); !errors.Is(err, ErrNotCID) {
			t.Errorf("ParseCID(%q) = %v, %v", bad, c, err)
		}
	}
}

func TestCIDInRecords(t *testing.T) {
	type record struct {
		_    struct{} `cbor:",toarray"`
		Link Link
		None CID
		Some []CID
	}
	c := CIDOf(Raw, []byte("x"))
	in := record{Link: Link{CID: c, Key: Key{1, 2}}, Some: []CID{c, CIDOf(DagCBOR, nil)}}
	b := dagcbor.Encode(in)
	if n := bytes.Count(b, []byte("\xd8\x2a\x58\x25\x00\x01")); n != 3 {
		t.Errorf("%d links of DAG-CBOR in %x", n, b)
	}
	var out record
	if err := dagcbor.Decode(b, &out); err != nil || out.Link != in.Link || !out.None.IsZero() || len(out.Some) != 2 || out.Some[1] != in.Some[1] {
		t.Errorf("%+v, %v", out, err)
	}
	for i := range b { // no other byte string is a CID
		bad := bytes.Clone(b)
		bad[i] ^= 0x20
		if err := dagcbor.Decode(bad, &out); err == nil && !bytes.Equal(dagcbor.Encode(out), bad) {
			t.Errorf("byte %d is not canonical and was read", i)
		}
	}
	for _, bad := range []string{"\x40", "\x58\x24" + string(c[:]), "\xd8\x2a\x58\x25\x01" + string(c[:]), "\xd8\x2b\x58\x25\x00" + string(c[:]), "\xf7"} {
		if err := new(CID).UnmarshalCBOR([]byte(bad)); !errors.Is(err, ErrNotCID) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func TestVerify(t *testing.T) {
	b := Block{CIDOf(Raw, []byte("abc")), []byte("abc")}
	if err := b.Verify(); err != nil {
		t.Error(err)
	}
	b.Data[0] ^= 1
	if err := b.Verify(); !errors.Is(err, ErrDamaged) {
		t.Errorf("other bytes: %v", err)
	}
	b.CID[2] = 0x13
	if err := b.Verify(); !errors.Is(err, ErrNotCID) {
		t.Errorf("other hash: %v", err)
	}
}

// No verb, no log and no JSON prints a key.
func TestKeysAreNotPrinted(t *testing.T) {
	key := Key(bytes.Repeat([]byte{0xab}, 32))
	c := Content{Size: 1, Root: Link{CID: CIDOf(Raw, nil), Key: key}}
	s := NewSealer(key, key)
	var out strings.Builder
	for _, v := range []any{key, &key, c, &c, c.Root, []Link{c.Root}, map[string]Key{"k": key}, s} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%c"} {
			fmt.Fprintf(&out, verb, v)
		}
		fmt.Fprintln(&out, v)
	}
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "key", key, "content", c, "link", c.Root, "sealer", s)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", key, "content", c, "sealer", s)
	json.NewEncoder(&out).Encode(c)
	for _, leak := range []string{"abab", "ABAB", "171", "\xab", "q6ur", "\\xab", "10101011"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in %s", leak, out.String())
		}
	}
}
