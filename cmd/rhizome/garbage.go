package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage may stand beside what lives, in percent of it: much of what lives is caches without pointers, which cost
// nothing to collect and would let as much garbage stand beside them. A mount of very many files has a bound for it.
const (
	mostPercent  = 50
	mostGarbage  = 64 << 20
	leastPercent = 20
)

// garbagePercent is how many percent of what lives may be garbage.
func garbagePercent(lives uint64) int {
	if lives == 0 {
		return mostPercent
	}
	return max(leastPercent, min(mostPercent, int(100*mostGarbage/lives)))
}

// A cycle is garbage at the end of each collection, and comes back to see the next one.
type cycle struct {
	percent int
	_       [16]byte // the allocator puts what is smaller together with other things, which might live
}

// limitGarbage bounds garbage from now on.
func limitGarbage() {
	c := &cycle{percent: mostPercent}
	debug.SetGCPercent(c.percent)
	runtime.SetFinalizer(c, (*cycle).ended)
}

func (c *cycle) ended() {
	lives := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(lives)
	if p := garbagePercent(lives[0].Value.Uint64()); p != c.percent {
		c.percent = p
		debug.SetGCPercent(p)
	}
	runtime.SetFinalizer(c, (*cycle).ended)
}
