package daemon

import (
	"testing"
	"time"
)

// A clock that leaps is not believed for two hours, over restarts of the daemon; one that goes on as time does, or is set back, is.
func TestBelief(t *testing.T) {
	home := t.TempDir()
	d := opened(t, home)
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	b := &belief{d: d, now: func() time.Time { return now }}
	is := func(want bool, when string) {
		t.Helper()
		if got, err := b.right(); err != nil || got != want {
			t.Errorf("%s: %t, %v; want %t", when, got, err, want)
		}
	}
	again := func() {
		shut(t, d)
		d = opened(t, home)
		b = &belief{d: d, now: func() time.Time { return now }}
	}
	is(true, "at first")
	now = now.Add(3 * 24 * time.Hour)
	is(true, "after a weekend")
	right := now
	now = now.AddDate(4, 0, 0)
	is(false, "four years ahead")
	now = now.Add(time.Hour)
	is(false, "an hour later")
	again()
	is(false, "after a restart")
	now = now.Add(leapFor - time.Minute)
	is(false, "nearly two hours later")
	now = right.Add(time.Hour)
	is(true, "set right")
	now = right.AddDate(0, 0, -20)
	is(true, "set back")
	now = right.AddDate(0, 2, 0)
	is(false, "after two months of rest")
	now = now.Add(leapFor)
	is(true, "two hours later")
	again()
	is(true, "and after a restart")
}
