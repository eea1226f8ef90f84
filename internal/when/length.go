package when

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Forever is a length of time that does not end.
const Forever time.Duration = -1

// ParseLength reads a length of time: 12h, 30d, 1w2d, forever, or 0.
func ParseLength(s string) (time.Duration, error) {
	switch {
	case s == "forever":
		return Forever, nil
	case s == "0":
		return 0, nil
	case s == "" || !digit(s[0]):
		return 0, fmt.Errorf("length of time %q: write 12h, 30d, 1w or forever", s)
	}
	d, err := span(s)
	if err != nil {
		return 0, fmt.Errorf("length of time %q: %w", s, err)
	}
	return d, nil
}

// FormatLength writes a length of time as ParseLength reads it, in days and smaller units, down to seconds.
func FormatLength(d time.Duration) string {
	switch {
	case d < 0:
		return "forever"
	case d < time.Second:
		return "0"
	}
	var b strings.Builder
	for i, unit := range lengths {
		if units[i] == 'w' {
			continue
		}
		if n := d / unit; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10))
			b.WriteByte(units[i])
			d -= n * unit
		}
	}
	return b.String()
}
