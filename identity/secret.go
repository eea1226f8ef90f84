package identity

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
)

// redacted is all that a secret ever shows.
const redacted = "[secret]"

// A Secret is key material. It does not print: not under a verb of fmt that fits any value, nor in slog, nor as JSON (what fmt
// takes for a mistake it prints past all methods: %p or %w of a Secret). Converting it to
// [32]byte takes that protection away, so keep it as it is for as long as possible, and pass it on rather than keep it: in
// an unexported field of a struct fmt finds the bytes, past all methods, behind a pointer too.
type Secret [32]byte

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// A vault holds a secret where fmt does not get. It reads unexported fields past all methods, and a verb that does not fit
// makes it follow pointers (struct{ p *T } under %s); into a closure it can't look.
type vault[T any] func() T

func hide[T any](v T) vault[T] { return func() T { return v } }

// concealed makes a struct that embeds it print like a Secret.
type concealed struct{}

func (concealed) String() string               { return redacted }
func (concealed) GoString() string             { return redacted }
func (concealed) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (concealed) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (concealed) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (concealed) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// derive returns HKDF-SHA256(secret, no salt, "rhizome/1 "+purpose+context). A purpose is a fixed string of this
// package that is no prefix of another one, so that no two uses of a secret share a key.
func derive(secret []byte, purpose string, context []byte) *Secret {
	b, err := hkdf.Key(sha256.New, secret, nil, "rhizome/1 "+purpose+string(context), len(Secret{}))
	if err != nil {
		panic("identity: hkdf: " + err.Error()) // only a length out of range can do that
	}
	s := Secret(b)
	return &s
}

// draw fills a new Secret from rand.
func draw(rand io.Reader) (*Secret, error) {
	var s Secret
	if _, err := io.ReadFull(rand, s[:]); err != nil {
		return nil, fmt.Errorf("draw a secret: %w", err)
	}
	return &s, nil
}

// wipe overwrites a secret's bytes.
func (s *Secret) wipe() { clear(s[:]) }
