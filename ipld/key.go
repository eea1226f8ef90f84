package ipld

import (
	"fmt"
	"io"
	"log/slog"
)

// A Key opens one sealed block. It is never printed.
type Key [32]byte

const secretText = "[secret]"

// String hides the key.
func (Key) String() string { return secretText }

// Format hides the key from every verb of fmt.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, secretText) }

// LogValue hides the key from logs.
func (Key) LogValue() slog.Value { return slog.StringValue(secretText) }

// MarshalJSON hides the key from JSON; keys travel in DAG-CBOR, sealed.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + secretText + `"`), nil }
