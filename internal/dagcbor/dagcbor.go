// Package dagcbor encodes and decodes the small records of Rhizome as canonical DAG-CBOR
// (https://ipld.io/specs/codecs/dag-cbor/spec/): one value has exactly one encoding.
//
// Records are Go structs written as arrays (tag `cbor:",toarray"`), or as maps with text keys, shorter ones first.
// Byte strings hold names and hashes, so nothing need be UTF-8. There are no floats, integers are those of 64 bits, and the
// one tag is 42: a link, with a CIDv1 of SHA-256. What Decode takes, any other DAG-CBOR codec re-encodes byte for byte.
// It is not for content: blocks are bytes, and package ipld seals them.
package dagcbor

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// ErrNotCanonical says that bytes decode to a value whose canonical encoding is not these bytes.
var ErrNotCanonical = errors.New("not canonical DAG-CBOR")

// Bounds on what Decode accepts, whatever the bytes claim.
const (
	MaxDepth    = 32
	MaxElements = 1 << 20
)

// Raw is an encoded value that is kept as it is.
type Raw = cbor.RawMessage

var (
	encMode = must(cbor.EncOptions{
		Sort:          cbor.SortBytewiseLexical,
		ShortestFloat: cbor.ShortestFloatNone,
		NaNConvert:    cbor.NaNConvertReject,
		InfConvert:    cbor.InfConvertReject,
		BigIntConvert: cbor.BigIntConvertReject,
		IndefLength:   cbor.IndefLengthForbidden,
		NilContainers: cbor.NilContainerAsEmpty,
		TagsMd:        cbor.TagsAllowed,
	}.EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		MaxNestedLevels:   MaxDepth,
		MaxArrayElements:  MaxElements,
		MaxMapPairs:       MaxElements,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		TagsMd:            cbor.TagsAllowed,
	}.DecMode())
)

// Encode returns the canonical encoding of v. It panics if v is of a type that has none:
// that is a fault of the program, never of its input.
func Encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("dagcbor: encode %T: %v", v, err))
	}
	return b
}

// Decode fills v from data and insists that data is the canonical encoding of what it found: one value,
// nothing behind it, no duplicate or unknown key, no indefinite length, no byte array of another length than its Go
// type's, within the bounds above. Use it for every byte that came from somewhere else, with a bound on how many they are.
func Decode(data []byte, v any) error {
	if err := checkForm(data); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	if again, err := encMode.Marshal(v); err != nil || !bytes.Equal(again, data) {
		return fmt.Errorf("decode %T: %w", v, ErrNotCanonical)
	}
	return nil
}

// DecodeTrusted is Decode without the check for canonical form, for records that this device wrote
// to its own database.
func DecodeTrusted(data []byte, v any) error {
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
