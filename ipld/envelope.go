package ipld

import (
	"encoding/binary"
	"fmt"
)

// The envelope of a node, in DAG-CBOR: [1, [link...], ciphertext]. It is written by hand, since it is
// walked more often than anything else, and reads only its one canonical form.
const (
	envelopeStart = "\x83\x01" // an array of three; version 1
	cborBytes     = 2 << 5
	cborArray     = 4 << 5
)

func appendEnvelope(dst []byte, children []CID, ciphertext []byte) []byte {
	dst = append(dst, envelopeStart...)
	dst = appendCBORHead(dst, cborArray, len(children))
	for _, c := range children {
		dst = appendCIDLink(dst, c)
	}
	dst = appendCBORHead(dst, cborBytes, len(ciphertext))
	return append(dst, ciphertext...)
}

// envelopeSize is the length of what appendEnvelope appends.
func envelopeSize(children, ciphertext int) int {
	return len(envelopeStart) + 5 + children*cidCBORSize + 5 + ciphertext
}

// parseEnvelope returns a node's children and its ciphertext, which lies within b.
func parseEnvelope(b []byte) (children []CID, ciphertext []byte, err error) {
	bad := func(what string) ([]CID, []byte, error) {
		return nil, nil, fmt.Errorf("read node: %s: %w", what, ErrDamaged)
	}
	if len(b) < len(envelopeStart) || string(b[:len(envelopeStart)]) != envelopeStart {
		return bad("not an envelope of version 1")
	}
	b = b[len(envelopeStart):]
	n, used := cborHead(b, cborArray)
	if used == 0 || n > MaxChildren || n*cidCBORSize > len(b)-used {
		return bad("bad list of children")
	}
	b = b[used:]
	children = make([]CID, n)
	for i := range children {
		if err := children[i].UnmarshalCBOR(b[:cidCBORSize]); err != nil {
			return bad("bad child")
		}
		b = b[cidCBORSize:]
	}
	n, used = cborHead(b, cborBytes)
	if used == 0 || n != len(b)-used {
		return bad("bad ciphertext")
	}
	return children, b[used:], nil
}

func appendCBORHead(dst []byte, major byte, n int) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
}

// cborHead reads the shortest form of a head of the given major type; it returns 0 bytes used for
// anything else.
func cborHead(b []byte, major byte) (n, used int) {
	if len(b) == 0 || b[0]&0xe0 != major {
		return 0, 0
	}
	switch low := b[0] & 0x1f; {
	case low < 24:
		return int(low), 1
	case low == 24 && len(b) >= 2 && b[1] >= 24:
		return int(b[1]), 2
	case low == 25 && len(b) >= 3 && b[1] != 0:
		return int(binary.BigEndian.Uint16(b[1:])), 3
	case low == 26 && len(b) >= 5 && (b[1] != 0 || b[2] != 0):
		return int(binary.BigEndian.Uint32(b[1:])), 5
	}
	return 0, 0
}
