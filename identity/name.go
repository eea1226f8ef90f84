package identity

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest name of an identity in bytes, as for any name in a directory.
const MaxName = 255

// ErrBadName is what every error of ValidName wraps.
var ErrBadName = errors.New("not a name for an identity")

// ValidName says whether an identity can be called name: it becomes a directory in the mount's top, which people
// type and see in lists. So it has 1 to 255 bytes of UTF-8, no slash, no control character or line separator, and
// does not begin with a dot. The error says what is wrong.
func ValidName(name string) error {
	var why string
	switch {
	case name == "":
		why = "it is empty"
	case len(name) > MaxName:
		why = fmt.Sprintf("it has %d bytes, and %d is the most", len(name), MaxName)
	case !utf8.ValidString(name):
		why = "it is not UTF-8"
	case name[0] == '.':
		why = "it begins with a dot"
	default:
		for _, r := range name {
			if r == '/' {
				why = "it has a slash in it"
			} else if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) {
				why = fmt.Sprintf("it has the control character %U in it", r)
			}
		}
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("%w: %q: %s", ErrBadName, clip(name), why)
}

// clip keeps an error to one line of bearable length.
func clip(s string) string {
	if len(s) <= 64 {
		return s
	}
	return s[:64] + "..."
}
