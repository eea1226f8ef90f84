package when

import (
	"strings"
	"testing"
	"time"
)

// berlin is an hour ahead of UTC in winter; its zone is fixed, so that no machine needs a database of zones.
var berlin = time.FixedZone("CET", 3600)

var now = time.Date(2026, 11, 26, 9, 15, 30, 123, berlin)

func TestParse(t *testing.T) {
	tests := []struct {
		s    string
		want time.Time
	}{
		{"now", now},
		{"yesterday", time.Date(2026, 11, 25, 9, 15, 30, 123, berlin)},

		{"2026-11-25", time.Date(2026, 11, 25, 0, 0, 0, 0, berlin)},
		{"2024-02-29", time.Date(2024, 2, 29, 0, 0, 0, 0, berlin)},
		{"2126-01-01", time.Date(2126, 1, 1, 0, 0, 0, 0, berlin)},
		{"2026-11-25T10:30", time.Date(2026, 11, 25, 10, 30, 0, 0, berlin)},
		{"2026-11-25 10:30", time.Date(2026, 11, 25, 10, 30, 0, 0, berlin)},
		{"2026-11-25T10:30:07", time.Date(2026, 11, 25, 10, 30, 7, 0, berlin)},
		{"2026-11-25T10:30:07.000000009", time.Date(2026, 11, 25, 10, 30, 7, 9, berlin)},

		{"2026-11-25T10:30Z", time.Date(2026, 11, 25, 10, 30, 0, 0, time.UTC)},
		{"2026-11-25T10:30:07Z", time.Date(2026, 11, 25, 10, 30, 7, 0, time.UTC)},
		{"2026-11-25t10:30:07.5z", time.Date(2026, 11, 25, 10, 30, 7, 500_000_000, time.UTC)},
		{"2026-11-25T10:30:07-05:00", time.Date(2026, 11, 25, 15, 30, 7, 0, time.UTC)},
		{"2026-11-25T10:30+05:30", time.Date(2026, 11, 25, 5, 0, 0, 0, time.UTC)},

		{"0s", now},
		{"30s", now.Add(-30 * time.Second)},
		{"10m", now.Add(-10 * time.Minute)},
		{"2h", now.Add(-2 * time.Hour)},
		{"3d", now.Add(-72 * time.Hour)},
		{"1w", now.Add(-7 * 24 * time.Hour)},
		{"1d12h", now.Add(-36 * time.Hour)},
		{"1w2d3h4m5s", now.Add(-(9*24*time.Hour + 3*time.Hour + 4*time.Minute + 5*time.Second))},
		{"90m", now.Add(-90 * time.Minute)},
	}
	for _, test := range tests {
		got, err := Parse(test.s, now)
		if err != nil || !got.Equal(test.want) {
			t.Errorf("Parse(%q) = %v, %v; want %v", test.s, got, err, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ s, cause string }{
		{"", "not a time"},
		{"tomorrow", "not a time"},
		{"Yesterday", "not a time"},
		{"-2h", "not a time"},
		{" 2h", "not a time"},
		{"before-the-move", "not a time"},

		{"2026-11", "not a date"},
		{"2026-1-1", "not a date"},
		{"2026-13-01", "not a date"},
		{"2026-02-30", "not a date"},
		{"2026-11-25T", "not a time of day"},
		{"2026-11-25T10", "not a time of day"},
		{"2026-11-25T1:30", "not a time of day"},
		{"2026-11-25T10:30:00,5", "not a time of day"},
		{"2026-11-25T24:00", "no such date"},
		{"2026-11-25T10:60", "no such date"},
		{"2026-02-30T10:30", "no such date"},
		{"2026-11-25T10:30:00+1", "no such date"},
		{"2026-11-25_10:30", "has T before"},

		{"2026", "unit is missing after 2026"},
		{"2", "unit is missing after 2"},
		{"1d12", "unit is missing after 12"},
		{"2y", `"y" is no unit`},
		{"2hours", "number is missing"},
		{"1.5h", "is no unit"},
		{"2h ", "number is missing"},
		{"3m2h", "the longest first"},
		{"2h2h", "the longest first"},
		{"99999999999999999999h", "too long"},
		{"2147483647w", "too long"},
	}
	for _, test := range tests {
		got, err := Parse(test.s, now)
		if err == nil {
			t.Errorf("Parse(%q) = %v; want an error", test.s, got)
		} else if !strings.Contains(err.Error(), test.cause) || !strings.Contains(err.Error(), `time "`+test.s+`"`) {
			t.Errorf("Parse(%q): %q; want the string, and %q", test.s, err, test.cause)
		}
	}
}

// TestParseIsIndependentOfTheClock: a snapshot's name must not become a moment later on.
func TestParseIsIndependentOfTheClock(t *testing.T) {
	for _, s := range []string{"2147483w", "9999-12-31", "0001-01-01", "2147483648w", "next"} {
		_, err := Parse(s, now)
		for _, other := range []time.Time{time.Unix(0, 0), time.Unix(1<<40, 0).UTC()} {
			if _, e := Parse(s, other); (e == nil) != (err == nil) {
				t.Errorf("Parse(%q): %v at %v, %v at %v", s, err, now, e, other)
			}
		}
	}
}
