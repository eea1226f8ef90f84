package identity

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// decodeVersioned decodes raw into v, whose field version must come out as known. A record of a higher version may have any
// shape, so when raw is a canonical array that begins with a higher number, that is what the error says.
func decodeVersioned(raw []byte, v any, version *uint64, known uint64) error {
	err := dagcbor.Decode(raw, v)
	if err == nil && *version == known {
		return nil
	}
	var fields []dagcbor.Raw
	var found uint64
	if dagcbor.Decode(raw, &fields) == nil && len(fields) > 0 &&
		dagcbor.Decode(fields[0], &found) == nil && found > known {
		return fmt.Errorf("version %d: %w", found, ErrNewer)
	}
	if err == nil {
		return fmt.Errorf("%w: version %d never was", ErrDamaged, *version)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func encodePayload(v any) dagcbor.Raw { return dagcbor.Encode(v) }
