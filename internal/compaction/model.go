// Package compaction decides when a checkpoint is made.
//
// A checkpoint costs work. Without one, a device that joins or is restored has more to replay, and the order's log takes more
// space; that costs the more, the more there is, and for as long as it stays. So one is due when what it would have saved, summed up since
// the last, is as much as it costs: then both are paid equally, which for a load that comes steadily is the cheapest, and never costs
// more than twice what somebody pays who knows the future. When programs pause, what lies there is going to stay: then one is due as soon as the
// pause is likely to make it worth while. And beyond the targets it is due in any case; but while much is coming it may wait for the end of that, if
// that comes soon: else the next one would be due just behind it.
package compaction

import "time"

// Targets are what must not be passed, and what holding something back is worth.
type Targets struct {
	Replay time.Duration // what a device that goes on from the last checkpoint needs at most
	Space  uint64        // bytes of the order's log
	// Period is for how long a replay or a log of the target's size may be held to be worth a second of work.
	Period time.Duration
}

// DefaultTargets are 2 s and, of the log, as much as is given.
func DefaultTargets(space uint64) Targets {
	return Targets{Replay: 2 * time.Second, Space: space, Period: 10 * time.Minute}
}

// Rates are what has been measured.
type Rates struct {
	PerEvent time.Duration // to replay one
	// Make is what a checkpoint would cost now, without what has come since the last one: that must be gone through once, whenever
	// the next one is made.
	Make time.Duration
}

// Load is what came since the last checkpoint.
type Load struct {
	Events uint64
	Bytes  uint64 // of the order's log
}

// A Reason says why a checkpoint is due; empty: none is.
type Reason string

// The reasons.
const (
	Replay Reason = "what a device would have to replay has come to the target"
	Space  Reason = "the order's log has come to its share of the disk"
	Paid   Reason = "holding the log has cost as much as a checkpoint"
	Pause  Reason = "programs pause, and the log would be held longer than a checkpoint is worth"
)

const (
	// restFor is for how long nothing must have come to be a pause.
	restFor = 3 * time.Second
	// burst is by how much a replay may be longer than the target while there is no pause.
	burst = 1.25
	// atLeast is what a checkpoint is held to cost at least, whatever was measured: it also wakes the disk, and adds an entry to the order.
	atLeast = 5 * time.Millisecond
)

// A Model follows one order. The zero Model is one to which nothing has come.
type Model struct {
	held float64 // what holding has cost, in seconds of work
	seen time.Time
	load Load
	came time.Time     // when something came last
	rest time.Duration // how long pauses have been of late; 0: there was none
}

// Cost is what holding a load for a time costs, in seconds of work.
func Cost(t Targets, r Rates, l Load, d time.Duration) float64 {
	replay := float64(l.Events) * r.PerEvent.Seconds() / t.Replay.Seconds()
	space := float64(l.Bytes) / float64(max(t.Space, 1))
	return (replay + space) * d.Seconds() / t.Period.Seconds()
}

// Look tells whether a checkpoint is due, now that so much has come since the last. It is called every second or so; the more often,
// the more exact.
func (m *Model) Look(now time.Time, t Targets, r Rates, l Load) Reason {
	if m.seen.IsZero() {
		m.seen, m.came = now, now
	}
	if l != m.load {
		if d := now.Sub(m.came); d >= restFor {
			m.rest = (m.expected(t) + d) / 2
		}
		m.came = now
	}
	// What has come in between is held to have come evenly.
	half := Load{(m.load.Events + l.Events) / 2, (m.load.Bytes + l.Bytes) / 2}
	m.held += Cost(t, r, half, now.Sub(m.seen))
	m.seen, m.load = now, l
	if l.Events == 0 {
		return ""
	}
	price := max(r.Make, atLeast).Seconds()
	replay := time.Duration(l.Events) * r.PerEvent
	rests := now.Sub(m.came) >= restFor
	switch {
	case replay >= t.Replay && rests, replay.Seconds() >= burst*t.Replay.Seconds():
		return Replay
	case l.Bytes >= t.Space:
		return Space
	case m.held >= price:
		return Paid
	case rests && Cost(t, r, l, m.expected(t)) >= price:
		return Pause
	}
	return ""
}

// expected is how long a pause is likely to be.
func (m *Model) expected(t Targets) time.Duration {
	if m.rest == 0 {
		return t.Period
	}
	return m.rest
}

// Made says that a checkpoint was made: nothing has come since, or as much as l.
func (m *Model) Made(l Load) { m.held, m.load = 0, l }
