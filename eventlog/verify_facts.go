package eventlog

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
)

// A historyCheck is what a check of history has found.
type historyCheck struct {
	*logCheck
	eras map[uint32]era // as their records say
	lost map[uint32]era // of which there are facts and no record
	// gone: the past up to there is not known any more, since a fact of it is damaged.
	gone Moment
}

// facts checks the form of history.
func (c *logCheck) facts() error {
	h := &historyCheck{logCheck: c, eras: map[uint32]era{}, lost: map[uint32]era{}}
	if c.Forget {
		h.gone = everything
	}
	for _, step := range []func() error{h.readEras, h.readGrid, h.readFacts, h.mend} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// damaged tells of a record of history. What was at m or before is not known any more.
func (h *historyCheck) damaged(key []byte, m Moment, format string, args ...any) error {
	h.Report.Bad(report.Fact, h.keyName(key), report.Rebuild, format, args...)
	if m.Compare(h.gone) > 0 {
		h.gone = m
	}
	if h.Fix == nil {
		return nil
	}
	return h.Fix(bytes.Clone(key), nil)
}

func (h *historyCheck) readEras() error {
	return h.each(kindEra, func(key, val []byte) error {
		var e era
		if len(key) != 18+4 || dagcbor.Decode(val, &e) != nil || e.Start > e.Last {
			return h.damaged(key, Moment{}, "it is no era")
		}
		h.eras[binary.BigEndian.Uint32(key[18:])] = e
		return nil
	})
}

func (h *historyCheck) readGrid() error {
	return h.each(kindGrid, func(key, val []byte) error {
		var g grids
		if len(key) != 18 || dagcbor.Decode(val, &g) != nil {
			return h.damaged(key, everything, "it is no grid")
		}
		return nil
	})
}

func (h *historyCheck) readFacts() error {
	var scratch []byte
	return h.each(kindFact, func(key, val []byte) error {
		h.Report.Checked(report.Fact, 1)
		of, m, err := splitFactKey(scratch[:0], key[18:])
		switch {
		case err != nil:
			return h.damaged(key, everything, "%v", err)
		case !isFact(val):
			return h.damaged(key, m, "it is neither a value nor none, or of nobody")
		}
		if _, ok := h.eras[m.Era]; !ok {
			e, ok := h.lost[m.Era]
			if !ok {
				e = era{Start: m.Time, Last: m.Time}
			}
			h.lost[m.Era] = era{Start: min(e.Start, m.Time), Last: max(e.Last, m.Time)}
		}
		scratch = of
		return nil
	})
}

// everything is behind every moment.
var everything = Moment{math.MaxUint32, math.MaxInt64}

// mend makes eras anew of which there is history, and has history begin behind what is gone.
func (h *historyCheck) mend() error {
	for _, n := range slices.Sorted(maps.Keys(h.lost)) { // history begins with what there is of it
		if err := h.follows(report.Fact, h.ks.era(n), dagcbor.Encode(h.lost[n]), "an era of which there is history"); err != nil {
			return err
		}
		h.eras[n] = h.lost[n]
	}
	if h.gone == (Moment{}) || h.Fix == nil || len(h.eras) == 0 {
		return nil
	}
	last := slices.Max(slices.Collect(maps.Keys(h.eras)))
	for n, e := range h.eras {
		switch {
		case n == last && (n < h.gone.Era || n == h.gone.Era && e.Last <= h.gone.Time): // nothing but what is there now
			e.Start = e.Last
		case n < h.gone.Era || n == h.gone.Era && e.Last <= h.gone.Time:
			if err := h.Fix(h.ks.era(n), nil); err != nil {
				return err
			}
			continue
		case n == h.gone.Era && e.Start <= h.gone.Time:
			e.Start = h.gone.Time + 1
		default:
			continue
		}
		if err := h.Fix(h.ks.era(n), dagcbor.Encode(e)); err != nil {
			return err
		}
	}
	return nil
}
