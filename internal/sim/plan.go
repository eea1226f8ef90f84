package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A plan says what kind of history it is. It is drawn first.
type plan struct {
	replicas int
	length   time.Duration // of the part before the network heals
	busy     time.Duration // between two things that somebody does on one replica
	sealing  time.Duration // between two looks at what waits for being sealed, at most
	loss     int           // messages lost, in percent
	twice    int           // messages that come twice, in percent
	damage   int           // frames that come with a flipped bit, in percent
	delay    time.Duration // of a message, at most
	parts    int           // partitions
	cuts     int           // power cuts
	kills    int           // kill -9, or a stop and start
	copies   int           // stores copied to another machine, which runs too
	restores int           // stores replaced by an old copy
	wild     int           // proposals that leave something out, in percent
	again    bool          // people restore what small files were
	keeps    bool          // a new incarnation is written down beside the store, as well as in it
}

func drawPlan(r *rand.Rand) plan {
	some := func(percent, most int) int {
		if r.IntN(100) >= percent {
			return 0
		}
		return 1 + r.IntN(most)
	}
	ms := func(lo, hi int) time.Duration { return time.Duration(lo+r.IntN(hi-lo+1)) * time.Millisecond }
	return plan{
		replicas: 3 + some(20, maxDevices-3),
		length:   ms(3_000, 12_000),
		busy:     ms(100, 900),
		sealing:  ms(100, 3_000),
		loss:     some(60, 30),
		twice:    some(60, 30),
		damage:   some(20, 5),
		delay:    ms(2, 1_500),
		parts:    some(60, 4),
		cuts:     some(60, 4),
		kills:    some(40, 3),
		copies:   some(25, 1),
		restores: some(25, 2),
		wild:     some(50, 60),
		keeps:    r.IntN(2) == 0,
	}
}

func (p plan) String() string {
	return fmt.Sprintf("%d replicas for %v, busy %v, sealing %v, loss %d%%, twice %d%%, damage %d%%, delay %v, partitions %d, "+
		"power cuts %d, kills %d, copies %d, restores %d, wild %d%%, keeps %v, again %v", p.replicas, p.length, p.busy, p.sealing, p.loss,
		p.twice, p.damage, p.delay, p.parts, p.cuts, p.kills, p.copies, p.restores, p.wild, p.keeps, p.again)
}
