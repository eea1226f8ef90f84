package when

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Forms is how a moment can be written, for messages and help.
const Forms = "2026-11-25, 2026-11-25T10:30, an RFC 3339 time, 10m, 2h, 3d, 1w or yesterday"

// Parse is the moment that s means to somebody who writes it at now, in now's zone. It may lie in the future.
func Parse(s string, now time.Time) (time.Time, error) {
	switch {
	case s == "now":
		return now, nil
	case s == "yesterday":
		return now.Add(-24 * time.Hour), nil
	case looksLikeDate(s):
		return date(s, now.Location())
	case s != "" && digit(s[0]):
		ago, err := span(s)
		if err != nil {
			return time.Time{}, fmt.Errorf("time %q: %w", s, err)
		}
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("time %q: not a time; write %s", s, Forms)
}

// looksLikeDate tells a date, right or wrong, from a span of time: four digits and a dash.
func looksLikeDate(s string) bool {
	return len(s) > 4 && digit(s[0]) && digit(s[1]) && digit(s[2]) && digit(s[3]) && s[4] == '-'
}

// layouts are the local ways to write a moment, each also with a zone if it has a time of day. Seconds take a fraction.
var layouts = [...]string{"2006-01-02T15:04", "2006-01-02T15:04:05"}

func date(s string, local *time.Location) (time.Time, error) {
	bad := func(cause string) (time.Time, error) {
		return time.Time{}, fmt.Errorf("time %q: %s; write %s", s, cause, Forms)
	}
	if len(s) <= len(time.DateOnly) {
		t, err := time.ParseInLocation(time.DateOnly, s, local)
		if err != nil {
			return bad("not a date")
		}
		return t, nil
	}
	day, clock := s[:len(time.DateOnly)], s[len(time.DateOnly)+1:]
	if sep := s[len(time.DateOnly)]; sep != 'T' && sep != 't' && sep != ' ' {
		return bad("a date has T before the time of day")
	}
	// Package time takes 1:30 for 01:30, and a comma before the fraction.
	if len(clock) < len("15:04") || clock[2] != ':' || strings.Contains(clock, ",") {
		return bad("not a time of day")
	}
	norm := day + "T" + strings.ToUpper(clock)
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, norm, local); err == nil {
			return t, nil
		}
		if t, err := time.Parse(layout+"Z07:00", norm); err == nil {
			return t, nil
		}
	}
	return bad("no such date and time of day")
}

// units are those of a span, longest first: a span names each at most once, in this order.
const units = "wdhms"

var lengths = [len(units)]time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second}

// span reads a length of time like 2h or 1d12h.
func span(s string) (time.Duration, error) {
	var sum time.Duration
	for rest, next := s, 0; rest != ""; {
		var n int64
		i := 0
		for ; i < len(rest) && digit(rest[i]); i++ {
			if n = n*10 + int64(rest[i]-'0'); n > math.MaxInt32 {
				return 0, fmt.Errorf("%s is too long a time", s)
			}
		}
		if i == 0 {
			return 0, fmt.Errorf("a number is missing before %q; write %s", rest, Forms)
		}
		if i == len(rest) {
			return 0, fmt.Errorf("a unit is missing after %s: s, m, h, d or w", rest)
		}
		u := strings.IndexByte(units, rest[i])
		switch {
		case u < 0:
			return 0, fmt.Errorf("%q is no unit of time: s, m, h, d or w", rest[i:])
		case u < next:
			return 0, fmt.Errorf("each unit stands once, the longest first: w, d, h, m, s")
		case time.Duration(n) > (math.MaxInt64-sum)/lengths[u]:
			return 0, fmt.Errorf("%s is too long a time", s)
		}
		sum += time.Duration(n) * lengths[u]
		rest, next = rest[i+1:], u+1
	}
	return sum, nil
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
