package when

import (
	"testing"
	"time"
)

func TestLength(t *testing.T) {
	for _, c := range []struct {
		s    string
		want time.Duration
		as   string
	}{
		{"30d", 720 * time.Hour, "30d"}, {"1w2d", 216 * time.Hour, "9d"}, {"90m", 90 * time.Minute, "1h30m"},
		{"forever", Forever, "forever"}, {"0", 0, "0"}, {"365d", 8760 * time.Hour, "365d"},
	} {
		got, err := ParseLength(c.s)
		if err != nil || got != c.want || FormatLength(got) != c.as {
			t.Errorf("ParseLength(%q) = %v, %v, written %q; want %v, %q", c.s, got, err, FormatLength(got), c.want, c.as)
		}
	}
	for _, s := range []string{"", "d", "-1d", "3", "5y", "1h1d", "never", "99999999999d"} {
		if d, err := ParseLength(s); err == nil {
			t.Errorf("ParseLength(%q) = %v, want an error", s, d)
		}
	}
}
