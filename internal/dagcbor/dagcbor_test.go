package dagcbor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

type record struct {
	_    struct{} `cbor:",toarray"`
	N    uint64
	Z    int64
	Name []byte
	Hash [4]byte
	Text string
	On   bool
	Next *record
	List []record
	Map  map[string]int64
	Link cbor.RawTag
	Rest Raw
}

func link() cbor.RawTag {
	cid := append([]byte{0x58, 37, 0, 1, 0x71, 0x12, 0x20}, bytes.Repeat([]byte{7}, 32)...)
	return cbor.RawTag{Number: 42, Content: cid}
}

func full() record {
	leaf := record{Link: link(), Rest: Encode([]byte("raw"))}
	return record{
		N: 1<<64 - 1, Z: -1 << 63, Name: []byte{0xff, 0}, Hash: [4]byte{1, 2, 3, 4}, Text: "a text", On: true,
		Next: &leaf, List: []record{leaf, leaf},
		Map:  map[string]int64{"b": 2, "aa": 3, "a": 1, "": -1, strings.Repeat("x", 300): 1 << 40},
		Link: link(), Rest: Encode(map[string]bool{"yes": true}),
	}
}

func TestRoundTrip(t *testing.T) {
	data := Encode(full())
	var got record
	if err := Decode(data, &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(Encode(got), data) {
		t.Error("decoded and encoded again it is another value")
	}
	if err := DecodeTrusted(data, new(record)); err != nil {
		t.Error(err)
	}
}

func TestNilAndEmptyAreOne(t *testing.T) {
	type r struct {
		_ struct{} `cbor:",toarray"`
		B []byte
		L []uint64
		M map[string]bool
	}
	if a, b := Encode(r{}), Encode(r{B: []byte{}, L: []uint64{}, M: map[string]bool{}}); !bytes.Equal(a, b) {
		t.Errorf("nil is %x, empty is %x", a, b)
	}
}

// refused are encodings that no value has. Each stands for a family of faults.
var refused = map[string]string{
	"nothing":                     "",
	"two values":                  "0000",
	"half float":                  "f93c00",
	"single float":                "fa3f800000",
	"double float":                "fb3ff0000000000000",
	"NaN":                         "f97e00",
	"infinity":                    "fb7ff0000000000000",
	"undefined":                   "f7",
	"simple value":                "e0",
	"simple value of two bytes":   "f820",
	"false of two bytes":          "f814",
	"break":                       "ff",
	"reserved length":             "1c",
	"long zero":                   "1800",
	"long 255":                    "1900ff",
	"long 65535":                  "1a0000ffff",
	"long 32-bit number":          "1b00000000ffffffff",
	"long length of bytes":        "580100",
	"long length of an array":     "980100",
	"negative beyond 64 bits":     "3b8000000000000000",
	"bignum":                      "c249010000000000000000",
	"date":                        "c074323031332d30332d32315432303a30343a30305a",
	"tag 42 on text":              "d82a6161",
	"tag 42 on a short CID":       "d82a420001",
	"tag 42 written long":         "d9002a",
	"CID without its zero":        "d82a5825010171122000000000000000000000000000000000000000000000000000000000000000aa",
	"CIDv0":                       "d82a58250012207100000000000000000000000000000000000000000000000000000000000000aaaa",
	"indefinite bytes":            "5f4101ff",
	"indefinite text":             "7f6161ff",
	"indefinite array":            "9fff",
	"indefinite map":              "bfff",
	"text that is not UTF-8":      "61ff",
	"cut text":                    "6261",
	"cut bytes":                   "4201",
	"cut array":                   "8200",
	"cut map":                     "a16161",
	"cut number":                  "19ff",
	"length beyond everything":    "5bffffffffffffffff",
	"array beyond everything":     "9bffffffffffffffff",
	"map beyond everything":       "bbffffffffffffffff",
	"integer key":                 "a10001",
	"bytes key":                   "a1416101",
	"keys out of order":           "a2616201616102",
	"longer key first":            "a262616101616201",
	"key twice":                   "a2616101616102",
	"key out of order in a value": "81a2616201616102",
}

func TestRefused(t *testing.T) {
	for name, in := range refused {
		data, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		var raw Raw
		var v any
		if Decode(data, &raw) == nil {
			t.Errorf("%s (%s): taken as raw", name, in)
		}
		if Decode(data, &v) == nil {
			t.Errorf("%s (%s): taken as any value", name, in)
		}
	}
}

func TestRefusedForItsType(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		into any
	}{
		"short array":                {"43010203", new([4]byte)},
		"long array":                 {"450102030405", new([4]byte)},
		"list of numbers for bytes":  {"8101", new([]byte)},
		"list of numbers for array":  {"8401020304", new([4]byte)},
		"null for a number":          {"f6", new(uint64)},
		"null for bytes":             {"f6", new([]byte)},
		"null for a list":            {"f6", new([]uint64)},
		"null for an array":          {"f6", new([4]byte)},
		"text for bytes":             {"6161", new([]byte)},
		"bytes for text":             {"4161", new(string)},
		"negative for unsigned":      {"20", new(uint64)},
		"too big for its type":       {"190100", new(uint8)},
		"too big for signed":         {"1bffffffffffffffff", new(int64)},
		"bool for a number":          {"f5", new(uint64)},
		"too few fields":             {"8100", new(pair)},
		"too many fields":            {"83000000", new(pair)},
		"map for a struct of arrays": {"a2614100614200", new(pair)},
		"unknown key":                {"a1615a01", new(struct{ A uint64 })},
		"key of another case":        {"a1616101", new(struct{ A uint64 })},
	} {
		data, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if Decode(data, c.into) == nil {
			t.Errorf("%s: %s taken as %T", name, c.in, c.into)
		}
	}
}

type pair struct {
	_    struct{} `cbor:",toarray"`
	A, B uint64
}

func TestBounds(t *testing.T) {
	nested := func(depth int) []byte {
		return append(bytes.Repeat([]byte{0x81}, depth), 0)
	}
	var raw Raw
	if err := Decode(nested(MaxDepth), &raw); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	if err := Decode(nested(MaxDepth+1), &raw); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("%d levels: %v", MaxDepth+1, err)
	}
	if err := Decode(nested(1<<20), &raw); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("a million levels: %v", err)
	}
	many := append([]byte{0x9a, 0, 0x10, 0, 1}, make([]byte, MaxElements+1)...)
	if err := Decode(many, &raw); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("%d elements: %v", MaxElements+1, err)
	}
}

func TestEncodeHasNoWayOut(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a channel was encoded")
		}
	}()
	Encode(make(chan int))
}

func BenchmarkDecode(b *testing.B) {
	data := Encode(full())
	for b.Loop() {
		var r record
		if err := Decode(data, &r); err != nil {
			b.Fatal(err)
		}
	}
}
