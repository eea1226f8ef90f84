package ipld

import (
	"encoding/binary"
	"fmt"
)

// The plain bytes of a content node. Its children's CIDs are the envelope's, in the same order.
//
//	section  0x01, uvarint n, n times: uvarint (length<<1 | hole), and the key unless it is a hole
//	branch   0x02, level, uvarint n, n times: the place (ascending), the key
const (
	nodeSection = 0x01
	nodeBranch  = 0x02
)

// maxChunks bounds the chunks of a section.
const maxChunks = SectionSize/MinChunk + 1

// A chunk is one entry of a section; its link is zero for a hole.
type chunk struct {
	size int64
	link Link
}

// A branch holds the links of a node above the sections; the zero Link is a hole.
type branch [fanout]Link

func encodeSection(chunks []chunk) (plain []byte, children []CID) {
	plain = binary.AppendUvarint(append(make([]byte, 0, 4+len(chunks)*36), nodeSection), uint64(len(chunks)))
	children = make([]CID, 0, len(chunks))
	for _, c := range chunks {
		if c.link.IsZero() {
			plain = binary.AppendUvarint(plain, uint64(c.size)<<1|1)
			continue
		}
		plain = binary.AppendUvarint(plain, uint64(c.size)<<1)
		plain = append(plain, c.link.Key[:]...)
		children = append(children, c.link.CID)
	}
	return plain, children
}

// decodeSection reads a section that must hold size bytes.
func decodeSection(plain []byte, children []CID, size int64) ([]chunk, error) {
	bad := func(what string) ([]chunk, error) {
		return nil, fmt.Errorf("read section: %s: %w", what, ErrDamaged)
	}
	if len(plain) == 0 || plain[0] != nodeSection {
		return bad("not a section")
	}
	n, used := uvarint(plain[1:])
	if used == 0 || n == 0 || n > maxChunks || n > uint64(len(plain)) {
		return bad("bad count")
	}
	plain = plain[1+used:]
	chunks := make([]chunk, n)
	for i := range chunks {
		head, used := uvarint(plain)
		length := int64(head >> 1)
		if used == 0 || length == 0 || length > MaxChunk {
			return bad("bad chunk length")
		}
		plain = plain[used:]
		chunks[i].size = length
		size -= length
		if head&1 != 0 {
			continue
		}
		if len(plain) < len(Key{}) || len(children) == 0 || children[0].Codec() != Raw {
			return bad("bad chunk")
		}
		chunks[i].link = Link{CID: children[0], Key: Key(plain)}
		plain, children = plain[len(Key{}):], children[1:]
	}
	if len(plain) != 0 || len(children) != 0 || size != 0 {
		return bad("the sizes don't agree")
	}
	return chunks, nil
}

func encodeBranch(level int, b *branch) (plain []byte, children []CID) {
	for _, l := range b {
		if !l.IsZero() {
			children = append(children, l.CID)
		}
	}
	plain = append(make([]byte, 0, 8+len(children)*33), nodeBranch, byte(level))
	plain = binary.AppendUvarint(plain, uint64(len(children)))
	for i, l := range b {
		if !l.IsZero() {
			plain = append(append(plain, byte(i)), l.Key[:]...)
		}
	}
	return plain, children
}

// decodeBranch reads a branch of a level that has so many places.
func decodeBranch(plain []byte, children []CID, level, places int) (*branch, error) {
	bad := func(what string) (*branch, error) {
		return nil, fmt.Errorf("read branch: %s: %w", what, ErrDamaged)
	}
	if len(plain) < 2 || plain[0] != nodeBranch || plain[1] != byte(level) {
		return bad("not a branch of this level")
	}
	const each = 1 + len(Key{})
	n, used := uvarint(plain[2:])
	plain = plain[min(len(plain), 2+used):]
	if used == 0 || n == 0 || n > uint64(places) || len(plain) != int(n)*each || len(children) != int(n) {
		return bad("bad count")
	}
	b, next := new(branch), 0
	for i := range children {
		entry := plain[i*each : (i+1)*each]
		place := int(entry[0])
		if place < next || place >= places || children[i].Codec() != DagCBOR {
			return bad("bad child")
		}
		b[place] = Link{CID: children[i], Key: Key(entry[1:])}
		next = place + 1
	}
	return b, nil
}
