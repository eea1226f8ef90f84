package ipld

import (
	"strings"
	"testing"
)

func TestLinkText(t *testing.T) {
	s := NewSealer([32]byte{1}, [32]byte{2})
	_, link := s.SealLeaf([]byte("text"))
	text := FormatLink(link)
	if got, err := ParseLink(text); err != nil || got != link || strings.ContainsAny(text, " \n/") {
		t.Errorf("%q is %v: %v", text, got, err)
	}
	secret := text[strings.Index(text, ".")+1:]
	for _, bad := range []string{
		"", ".", text[:len(text)-1], text + "a", Format(link.CID), Format(link.CID) + ".", "x" + text, strings.ToUpper(text),
		text[:len(text)-1] + "b", text + ".a",
	} {
		if _, err := ParseLink(bad); err == nil {
			t.Errorf("%q is a link", bad)
		} else if strings.Contains(err.Error(), secret[:20]) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}
