package dagcbor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// checkForm walks data, and refuses all that is not one canonical DAG-CBOR value of the kinds Rhizome uses. Decoding into a
// struct and encoding again would let some of it pass: what stands in a Raw, and what a Go type is indifferent to.
func checkForm(data []byte) error {
	rest, err := checkValue(data, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow the value", len(rest))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotCanonical, err)
	}
	return nil
}

// Major types (RFC 8949, section 3.1).
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

const tagCID = 42

var errCut = errors.New("the value is cut")

// checkValue checks the value that data begins with, and returns what follows it.
func checkValue(data []byte, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("more than %d levels", MaxDepth)
	}
	major, arg, rest, err := head(data)
	if err != nil {
		return nil, err
	}
	switch major {
	case majorUint:
		return rest, nil
	case majorNegative:
		if arg > math.MaxInt64 {
			return nil, errors.New("an integer beyond 64 bits")
		}
		return rest, nil
	case majorBytes:
		_, rest, err = take(rest, arg)
		return rest, err
	case majorText:
		_, rest, err = text(rest, arg)
		return rest, err
	case majorArray:
		return checkArray(rest, arg, depth)
	case majorMap:
		return checkMap(rest, arg, depth)
	case majorTag:
		return checkLink(rest, arg)
	default:
		if arg < 20 || arg > 22 { // false, true, null
			return nil, errors.New("a float, an undefined or an unknown simple value")
		}
		return rest, nil
	}
}

func checkArray(data []byte, n uint64, depth int) (rest []byte, err error) {
	if n > MaxElements {
		return nil, fmt.Errorf("an array of %d elements", n)
	}
	for rest = data; n > 0 && err == nil; n-- {
		rest, err = checkValue(rest, depth+1)
	}
	return rest, err
}

// checkMap insists on text keys, shorter ones first, ones of equal length in byte order.
func checkMap(data []byte, n uint64, depth int) ([]byte, error) {
	if n > MaxElements {
		return nil, fmt.Errorf("a map of %d pairs", n)
	}
	var last []byte
	for i := range n {
		major, arg, rest, err := head(data)
		if err != nil {
			return nil, err
		}
		if major != majorText {
			return nil, errors.New("a map key that is no text")
		}
		key, rest, err := text(rest, arg)
		if err != nil {
			return nil, err
		}
		if i > 0 && (len(key) < len(last) || len(key) == len(last) && string(key) <= string(last)) {
			return nil, errors.New("map keys out of order")
		}
		last = key
		if data, err = checkValue(rest, depth+1); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// checkLink takes one tag, 42, and one form of CID: version 1, SHA-256, after the zero byte that DAG-CBOR puts before a CID.
func checkLink(data []byte, tag uint64) ([]byte, error) {
	if tag != tagCID {
		return nil, fmt.Errorf("tag %d", tag)
	}
	major, n, rest, err := head(data)
	if err != nil {
		return nil, err
	}
	if major != majorBytes || n != 37 {
		return nil, errors.New("a link that is no CID")
	}
	cid, rest, err := take(rest, n)
	if err != nil {
		return nil, err
	}
	if cid[0] != 0 || cid[1] != 1 || cid[2] > 0x7f || cid[3] != 0x12 || cid[4] != 0x20 {
		return nil, errors.New("a link that is no CIDv1 with SHA-256")
	}
	return rest, nil
}

// head reads an item's major type and argument, which must be written as short as can be.
func head(data []byte) (major byte, arg uint64, rest []byte, err error) {
	if len(data) == 0 {
		return 0, 0, nil, errCut
	}
	major, short, rest := data[0]>>5, data[0]&31, data[1:]
	if short < 24 {
		return major, uint64(short), rest, nil
	}
	if short > 27 {
		return 0, 0, nil, errors.New("an indefinite length")
	}
	size := 1 << (short - 24)
	if len(rest) < size {
		return 0, 0, nil, errCut
	}
	var b [8]byte
	copy(b[8-size:], rest[:size])
	arg = binary.BigEndian.Uint64(b[:])
	if least := [4]uint64{24, 1 << 8, 1 << 16, 1 << 32}[short-24]; arg < least {
		return 0, 0, nil, errors.New("a number written longer than need be")
	}
	return major, arg, rest[size:], nil
}

func take(data []byte, n uint64) (taken, rest []byte, err error) {
	if n > uint64(len(data)) {
		return nil, nil, errCut
	}
	return data[:n], data[n:], nil
}

func text(data []byte, n uint64) (s, rest []byte, err error) {
	if s, rest, err = take(data, n); err == nil && !utf8.Valid(s) {
		err = errors.New("text that is not UTF-8")
	}
	return s, rest, err
}
