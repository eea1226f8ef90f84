package leakcheck

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/multiformats/go-multibase"
)

// patterns returns every form of a secret.
func patterns(i int, s []byte) []pattern {
	all := []pattern{{s, i, "raw bytes"}}
	add := func(form, text string) {
		all = append(all, pattern{[]byte(text), i, form})
	}
	quoted := strconv.Quote(string(s))
	add("a quoted string", quoted[1:len(quoted)-1])
	for _, h := range []string{hex.EncodeToString(s), fmt.Sprintf("% x", s), joined(s, "0x%02x", ", "), joined(s, "0x%x", ", ")} {
		add("hex", h)
		add("upper-case hex", strings.ToUpper(h))
	}
	for _, sep := range []string{" ", ",", ", "} {
		add("decimal", joined(s, "%d", sep))
	}
	for name, enc := range map[string]*base32.Encoding{"base32": base32.StdEncoding, "base32hex": base32.HexEncoding} {
		for _, text := range shifted(s, enc.WithPadding(base32.NoPadding).EncodeToString, 5, 5) {
			add(name, strings.ToLower(text))
			add("upper-case "+name, text)
		}
	}
	for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for _, text := range shifted(s, enc.EncodeToString, 3, 6) {
			add(name, text)
		}
	}
	if text, err := multibase.Encode(multibase.Base58BTC, s); err == nil {
		add("base58", text[1:])
	}
	return all
}

// joined prints the bytes of s one by one.
func joined(s []byte, format, sep string) string {
	var b strings.Builder
	for i, c := range s {
		if i > 0 {
			b.WriteString(sep)
		}
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// shifted returns the characters that s alone decides in an encoding of bitsPerChar, for each of the places that it can have
// in a group of groupBytes.
func shifted(s []byte, encode func([]byte) string, groupBytes, bitsPerChar int) []string {
	var all []string
	for before := range groupBytes {
		text := encode(append(make([]byte, before), s...))
		first := (before*8 + bitsPerChar - 1) / bitsPerChar
		end := (before + len(s)) * 8 / bitsPerChar
		all = append(all, text[first:end])
	}
	return all
}
