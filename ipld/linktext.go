package ipld

import (
	"fmt"
	"strings"
)

// FormatLink writes a link as one word, to be shown to people who asked for it: what Format makes of its CID, a dot, and the key in
// base32. Whoever has it can open the block and all below it.
func FormatLink(l Link) string { return Format(l.CID) + "." + multibase32.EncodeToString(l.Key[:]) }

// ParseLink reads what FormatLink writes. Its errors don't show the key.
func ParseLink(s string) (Link, error) {
	cid, key, _ := strings.Cut(s, ".")
	c, err := ParseCID(cid)
	if err != nil {
		return Link{}, err
	}
	b, err := multibase32.DecodeString(key)
	if err != nil || len(b) != len(Key{}) || multibase32.EncodeToString(b) != key {
		return Link{}, fmt.Errorf("parse link to %v: no key: %w", c, ErrNotCID)
	}
	return Link{CID: c, Key: Key(b)}, nil
}
