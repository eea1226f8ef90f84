package eventlog

import (
	"math"
	"slices"
	"time"
)

// A Step says how fine history is before a time: there, only moments that are a multiple of Every count. Every 0: none does.
type Step struct {
	_      struct{} `cbor:",toarray"`
	Before int64    // ns since 1970 UTC
	Every  int64    // ns
}

// A Grid is how fine history is: a moment counts if it does by all its steps.
type Grid []Step

// An Age says how fine history is that is older than it. Every 0: there is none.
type Age struct{ Older, Every time.Duration }

// GridOf returns the grid that ages lead to, at a time.
func GridOf(now time.Time, ages ...Age) Grid {
	g := make(Grid, 0, len(ages))
	for _, a := range ages {
		before := now.Add(-a.Older).UnixNano()
		if a.Every > 0 {
			before = floorTo(before, int64(a.Every))
		}
		g = append(g, Step{Before: before, Every: int64(a.Every)})
	}
	return g
}

// Floor returns the last time at or before t that counts, and false if there is none.
func (g Grid) Floor(t int64) (int64, bool) {
	for moved := true; moved; {
		moved = false
		for _, s := range g {
			if t >= s.Before {
				continue
			}
			if s.Every == 0 || t < math.MinInt64+s.Every {
				return 0, false
			}
			if f := floorTo(t, s.Every); f < t {
				t, moved = f, true // it may be before other steps' times now
			}
		}
	}
	return t, true
}

func floorTo(t, every int64) int64 {
	r := t % every
	if r < 0 {
		r += every
	}
	return t - r
}

// Keeps reports whether a time counts that is since or later, and before until.
func (g Grid) Keeps(since, until int64) bool {
	if until <= since {
		return false
	}
	f, ok := g.Floor(until - 1)
	return ok && f >= since
}

// grids are which moments count, by eras, ascending: in those up to one, that no earlier grid is of, by its grid; in later ones all do. A grid that
// was made while the clock was ahead says nothing of what came after it was set back.
type grids []eraGrid

type eraGrid struct {
	_    struct{} `cbor:",toarray"`
	Upto uint32
	Grid Grid
}

// of returns the grid of an era.
func (gs grids) of(era uint32) Grid {
	for _, g := range gs {
		if era <= g.Upto {
			return g.Grid
		}
	}
	return nil
}

// with returns grids by which a moment counts if it does by o, too, in all eras up to one.
func (gs grids) with(o Grid, era uint32) grids {
	is := make(grids, 0, len(gs)+1)
	for _, g := range gs {
		is = append(is, eraGrid{Upto: g.Upto, Grid: g.Grid.With(o)})
	}
	if n := len(is); n == 0 || is[n-1].Upto < era {
		is = append(is, eraGrid{Upto: era, Grid: Grid(nil).With(o)})
	}
	return is
}

// With returns a grid in which a time counts if it does in both. It has no steps that say nothing.
func (g Grid) With(o Grid) Grid {
	all := append(slices.Clone(g), o...)
	var is Grid
	for i, s := range all {
		told := slices.ContainsFunc(all[:i], s.in)
		if !told && !slices.ContainsFunc(all[i+1:], func(x Step) bool { return x != s && s.in(x) }) {
			is = append(is, s)
		}
	}
	return is
}

// in reports whether x says all that s says.
func (s Step) in(x Step) bool {
	return x.Before >= s.Before && (x.Every == 0 || s.Every != 0 && x.Every%s.Every == 0)
}
