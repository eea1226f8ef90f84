package dagcbor

import (
	"bytes"
	"encoding/hex"
	"testing"

	ipldcbor "github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/node/basicnode"
)

// reencode takes data through IPLD's own codec.
func reencode(data []byte) ([]byte, error) {
	nb := basicnode.Prototype.Any.NewBuilder()
	if err := ipldcbor.Decode(nb, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err := ipldcbor.Encode(nb.Build(), &out)
	return out.Bytes(), err
}

// Another implementation must come to the same bytes, or CIDs of our nodes would not be the world's.
func TestIPLDAgrees(t *testing.T) {
	for _, v := range []any{
		full(), record{Link: link(), Rest: Encode(nil)}, uint64(1<<64 - 1), int64(-1 << 63), nil, true,
		[]byte{}, "", []any{}, map[string]any{},
	} {
		data := Encode(v)
		got, err := reencode(data)
		if err != nil {
			t.Errorf("%T: %v", v, err)
		} else if !bytes.Equal(got, data) {
			t.Errorf("%T is\n%x, and for IPLD\n%x", v, data, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(full()))
	f.Add(Encode(pair{A: 1, B: 2}))
	for _, in := range refused {
		if data, err := hex.DecodeString(in); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r record
		if Decode(data, &r) == nil && !bytes.Equal(Encode(r), data) {
			t.Error("taken as a record, but encoded otherwise")
		}
		var raw Raw
		if Decode(data, &raw) != nil {
			return
		}
		if got, err := reencode(data); err != nil || !bytes.Equal(got, data) {
			t.Errorf("IPLD makes %x of it: %v", got, err)
		}
		var v any
		if err := Decode(data, &v); err != nil {
			t.Errorf("raw, but no value: %v", err)
		}
	})
}
