package tree

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// bodies compares versions with their bytes.
func (c *checker) bodies() {
	bodies := c.column(keyBody)
	defer bodies.stop()
	c.each(keyVersion, func(k, v []byte) {
		ver, _ := parseVersion(VersionID(k[1:]), v)
		has, size := false, int64(0)
		bodies.take(ver.ID[:], func(_, v []byte) { has, size = true, int64(len(v)) })
		if has != ver.inline || has && size != ver.Size {
			c.fail("version %v: %d bytes, inline %v, body of %d", ver.ID, ver.Size, ver.inline, size)
		}
		c.lender(&ver)
	})
	if c.err == nil {
		bodies.end()
	}
}

// lender looks whether the bytes are there that a version has from another one.
func (c *checker) lender(v *Version) {
	if v.Like == (VersionID{}) {
		return
	}
	of, ok := GetVersion(c.r, v.Like)
	if v.inline || !ok || !of.lends() || of.Size != v.Size {
		c.fail("version %v: %d bytes are to be those of version %v, which does not have them", v.ID, v.Size, v.Like)
	}
}

// mostReached is about how many versions reach looks for at a time.
const mostReached = 2 << 20

// reach finds each version from some file: of many versions some at a time.
func (c *checker) reach() {
	parts := uint64(c.versions/mostReached + 1)
	for part := range parts {
		if c.err != nil {
			return
		}
		c.reachPart(func(id VersionID) bool { return binary.BigEndian.Uint64(id[:])%parts == part })
	}
}

// reachPart is reach for the versions that are in one part.
func (c *checker) reachPart(in func(VersionID) bool) {
	var reached []VersionID
	past := c.column(keyPast)
	defer past.stop()
	c.each(keyInode, func(k, v []byte) {
		i, alias, _ := parseInode(FileID(k[1:]), v)
		if alias != (FileID{}) {
			return
		}
		var todo []VersionID
		for _, h := range i.Heads {
			if v, ok := GetVersion(c.r, h.ID); !ok || v.Size != h.Size {
				c.fail("file %v: head %v is not there or of another size", i.ID, h.ID)
			}
			todo = append(todo, h.ID)
		}
		past.take(i.ID[:], func(k, _ []byte) { todo = append(todo, VersionID(k[17:])) })
		c.walk(todo, func(id VersionID) {
			if in(id) {
				reached = append(reached, id)
			}
		})
	})
	slices.SortFunc(reached, func(a, b VersionID) int { return bytes.Compare(a[:], b[:]) })
	c.each(keyVersion, func(k, v []byte) {
		ver, _ := parseVersion(VersionID(k[1:]), v)
		if ver.Quiet || !in(ver.ID) {
			return
		}
		for len(reached) > 0 && bytes.Compare(reached[0][:], ver.ID[:]) < 0 {
			reached = reached[1:]
		}
		if len(reached) == 0 || reached[0] != ver.ID {
			c.fail("version %v is out of reach", ver.ID)
		}
	})
}

// walk calls fn for versions and all that they came from.
func (c *checker) walk(todo []VersionID, fn func(VersionID)) {
	var seen map[VersionID]struct{} // most files have a few
	if len(todo) > 0 {
		seen = make(map[VersionID]struct{}, len(todo))
	}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, ok := seen[id]; ok {
			continue
		}
		seen[id] = struct{}{}
		fn(id)
		todo = append(todo, Parents(c.r, id)...)
	}
}
