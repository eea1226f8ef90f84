package control

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Name is a file's name or path: any bytes. In JSON it is a string if it is UTF-8, else
// {"base64": "…"}, so that no byte is lost.
type Name string

type base64Name struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (n Name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(base64Name{Base64: []byte(n)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Name) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*n = Name(s)
		return nil
	}
	var b base64Name
	if err := json.Unmarshal(data, &b); err != nil {
		return fmt.Errorf("name: neither a string nor %s: %w", `{"base64": …}`, err)
	}
	*n = Name(b.Base64)
	return nil
}

// String returns n as it may be shown on a terminal: as it is, or quoted as in Go if it holds anything
// that does not print, so that no name can move the cursor or end a line.
func (n Name) String() string {
	if !utf8.ValidString(string(n)) || strings.ContainsFunc(string(n), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(string(n))
	}
	return string(n)
}

// Words is a recovery phrase: 24 words with one space between. Printing it in any way gives "[secret]";
// only its JSON, which passes through the socket alone, and Reveal hold the words.
type Words string

// Reveal returns the words themselves.
func (w Words) Reveal() string { return string(w) }

// String implements fmt.Stringer.
func (Words) String() string { return secret }

// GoString implements fmt.GoStringer.
func (Words) GoString() string { return secret }

// Format implements fmt.Formatter, for the verbs that would pass String by.
func (Words) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret)) }

const secret = "[secret]"

// LogValue implements slog.LogValuer: without it a JSON log would show the words.
func (Words) LogValue() slog.Value { return slog.StringValue(secret) }
