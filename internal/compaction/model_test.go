package compaction

import (
	"fmt"
	"testing"
	"time"
)

// How near the model comes to what somebody pays who knows the future is tested by package daemon, with workloads that were recorded:
// TestNearTheBestInterval.

// A second of a load, looked at behind it, and what the model says then.
type second struct {
	events, bytes uint64
	want          Reason
}

// lasting is n seconds in which nothing more comes.
func lasting(n int, events uint64) (s []second) {
	for range n {
		s = append(s, second{events: events})
	}
	return s
}

func TestReasons(t *testing.T) {
	targets := Targets{Replay: 2 * time.Second, Space: 1 << 20, Period: 10 * time.Minute}
	rates := Rates{PerEvent: time.Millisecond, Make: 100 * time.Millisecond}
	for _, c := range []struct {
		name    string
		seconds []second
	}{
		{"nothing came", lasting(1000, 0)},
		{"the target, and programs pause", append([]second{{2100, 0, ""}}, append(lasting(2, 2100), second{2100, 0, Replay})...)},
		{"far beyond the target", []second{{1000, 0, ""}, {2400, 0, ""}, {2500, 0, Replay}}},
		{"the disk's share", []second{{10, 1<<20 - 1, ""}, {11, 1 << 20, Space}}},
		// 200 events are a tenth of the target, and that for ten minutes a tenth of a second of work.
		{"a pause that will be long", append([]second{{200, 0, ""}}, append(lasting(2, 200), second{200, 0, Pause})...)},
		{"few events, held for long", append([]second{{100, 0, ""}}, append(lasting(1199, 100), second{100, 0, Paid})...)},
	} {
		m, now := &Model{}, time.Unix(0, 0)
		m.Look(now, targets, rates, Load{})
		for n, s := range c.seconds {
			now = now.Add(time.Second)
			if got := m.Look(now, targets, rates, Load{Events: s.events, Bytes: s.bytes}); got != s.want {
				t.Errorf("%s: after %d s it says %q, want %q", c.name, n+1, got, s.want)
			}
		}
	}
}

// What a checkpoint costs at least is no reason to make one for every few events.
func TestCheapCheckpoints(t *testing.T) {
	targets := DefaultTargets(64 << 20)
	free := Rates{PerEvent: time.Millisecond}
	m, now := &Model{}, time.Unix(0, 0)
	for n := range uint64(10) {
		now = now.Add(time.Second)
		if why := m.Look(now, targets, free, Load{Events: n}); why != "" {
			t.Errorf("for %d events: %s", n, why)
		}
	}
}

func ExampleModel() {
	m := &Model{}
	t, r := DefaultTargets(64<<20), Rates{PerEvent: 50 * time.Microsecond, Make: 100 * time.Millisecond}
	now := time.Unix(0, 0)
	for _, events := range []uint64{0, 100, 50_000} {
		now = now.Add(time.Second)
		fmt.Printf("%q\n", m.Look(now, t, r, Load{Events: events}))
	}
	// Output:
	// ""
	// ""
	// "what a device would have to replay has come to the target"
}
