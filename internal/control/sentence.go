package control

import (
	"fmt"
	"strconv"
)

// Sentence says in one sentence how s is: the worst that there is to tell, else where the files are.
func Sentence(s Status) string {
	switch {
	case len(s.Damage) > 0:
		return fmt.Sprintf("%s damaged and can't be read; everything else is here.", count(int64(len(s.Damage)), "part of the store is", "parts of the store are"))
	case hasBad(s.Health):
		return fmt.Sprintf("Something is wrong: %s.", firstBad(s.Health))
	case s.Files == 0:
		return "There are no files yet."
	case s.Files == 1:
		return "The one file is on this device only."
	default:
		return fmt.Sprintf("All %s files are on this device only.", Grouped(s.Files))
	}
}

// Grouped returns n with commas between the thousands: "1,204".
func Grouped(n int64) string {
	if n < 0 {
		return "-" + Grouped(-n)
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Grouped(n) + " " + many
}

func hasBad(fs []Finding) bool { return firstBad(fs) != "" }

func firstBad(fs []Finding) string {
	for _, f := range fs {
		if f.Grade == Bad {
			return f.What
		}
	}
	return ""
}
