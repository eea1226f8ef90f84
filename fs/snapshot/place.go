package snapshot

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A place is where an entry stands in its directory: by the name's cookie, as the state has it, then by the name's SHA-256,
// then by rank. The cookie makes a subtree a run of the state's keys; the hash separates names that were made to share a cookie;
// the rank tells apart the claims of one name. As bits for the search tree it is cookie (63 bits and a zero), hash (256), rank (32).
type place struct {
	cookie uint64
	name   []byte
	rank   uint32
}

func placeOf(name []byte, rank uint32) place { return place{tree.Cookie(name), name, rank} }

const (
	cookieLevels = 16
	nameLevels   = cookieLevels + 64
	maxLevels    = nameLevels + 8
)

// digit is the four bits of a level, from the top.
func (p place) digit(level int) uint8 {
	switch {
	case level < cookieLevels:
		return uint8(p.cookie<<1>>(60-4*level)) & 15
	case level < nameLevels:
		sum := sha256.Sum256(p.name)
		b := sum[(level-cookieLevels)/2]
		if level%2 == 0 {
			b >>= 4
		}
		return b & 15
	default:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], p.rank)
		b0 := b[(level-nameLevels)/2]
		if level%2 == 0 {
			b0 >>= 4
		}
		return b0 & 15
	}
}

// compare is the order of places.
func (p place) compare(q place) int {
	if c := cmp.Compare(p.cookie, q.cookie); c != 0 {
		return c
	}
	if !bytes.Equal(p.name, q.name) {
		a, b := sha256.Sum256(p.name), sha256.Sum256(q.name)
		return bytes.Compare(a[:], b[:])
	}
	return cmp.Compare(p.rank, q.rank)
}

// together reports whether two places lie in one subtree whose root is at level: all digits before it are the same.
func (p place) together(q place, level int) bool {
	if level <= cookieLevels {
		return level == 0 || p.cookie<<1>>(64-4*level) == q.cookie<<1>>(64-4*level)
	}
	if p.cookie != q.cookie {
		return false
	}
	for l := cookieLevels; l < level; l++ {
		if l < nameLevels && bytes.Equal(p.name, q.name) {
			l = nameLevels - 1
			continue
		}
		if p.digit(l) != q.digit(l) {
			return false
		}
	}
	return true
}
