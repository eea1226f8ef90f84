package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
)

// unframed checks this device's events that are in no frame.
func (c *logCheck) unframed() error {
	next := c.marks.First
	err := c.each(kindUnframed, func(key, val []byte) error {
		c.Report.Checked(report.Event, 1)
		n := localSeqOf(key)
		if n < c.marks.First {
			return c.extra(report.Event, key, "an event that is in a frame already")
		}
		if n != next && c.known {
			c.Report.Bad(report.Event, c.keyName(key), report.Nothing, "event %d is missing before it", next)
		}
		next = n + 1
		_, held, err := decodeEventRecord(val)
		if err != nil {
			c.Report.Bad(report.Event, c.keyName(key), report.Nothing, "%v", err)
			return nil
		}
		_, isHeld, err := dbGet(c.DB, c.ks.local(kindHeld, n))
		if err == nil && held != isHeld {
			c.Report.Bad(report.Event, c.keyName(key), report.Nothing, "it is held in one record and not in the other")
		}
		return errors.Join(err, c.undoOf(n))
	})
	if err != nil {
		return err
	}
	return c.each(kindUndo, func(key, _ []byte) error {
		c.Report.Checked(report.Undo, 1)
		if n := localSeqOf(key); n < c.marks.First || n >= next {
			return c.extra(report.Undo, key, "the undo record of no event")
		}
		return nil
	})
}

func (c *logCheck) undoOf(n LocalSeq) error {
	key := c.ks.local(kindUndo, n)
	rec, ok, err := dbGet(c.DB, key)
	if err != nil {
		return err
	}
	if !ok {
		c.Report.Bad(report.Undo, c.keyName(key), report.Nothing, "the undo record of event %d is missing", n)
	} else if _, err := decodeUndo(rec); err != nil {
		c.Report.Bad(report.Undo, c.keyName(key), report.Nothing, "%v", err)
	}
	return nil
}

// facts checks the form of history.
func (c *logCheck) facts() error {
	eras, lost := map[uint32]bool{}, map[uint32]era{}
	err := c.each(kindEra, func(key, val []byte) error {
		var e era
		if len(key) != 18+4 || dagcbor.Decode(val, &e) != nil || e.Start > e.Last {
			c.Report.Bad(report.Fact, c.keyName(key), report.Nothing, "it is no era")
			return nil
		}
		eras[binary.BigEndian.Uint32(key[18:])] = true
		return nil
	})
	if err != nil {
		return err
	}
	err = c.each(kindGrid, func(key, val []byte) error {
		var g grids
		if len(key) != 18 || dagcbor.Decode(val, &g) != nil {
			c.Report.Bad(report.Fact, c.keyName(key), report.Nothing, "it is no grid")
		}
		return nil
	})
	if err != nil {
		return err
	}
	var scratch []byte
	err = c.each(kindFact, func(key, val []byte) error {
		c.Report.Checked(report.Fact, 1)
		of, m, err := splitFactKey(scratch[:0], key[18:])
		switch {
		case err != nil:
			c.Report.Bad(report.Fact, c.keyName(key), report.Nothing, "%v", err)
			return nil
		case !isFact(val):
			c.Report.Bad(report.Fact, c.keyName(key), report.Nothing, "it is neither a value nor none, or of nobody")
		case !eras[m.Era]:
			e, ok := lost[m.Era]
			if !ok {
				e = era{Start: m.Time, Last: m.Time}
			}
			lost[m.Era] = era{Start: min(e.Start, m.Time), Last: max(e.Last, m.Time)}
		}
		scratch = of
		return nil
	})
	for _, n := range slices.Sorted(maps.Keys(lost)) {
		// History begins with what there is of it.
		if err := errors.Join(err, c.follows(report.Fact, c.ks.era(n), dagcbor.Encode(lost[n]), "an era of which there is history")); err != nil {
			return err
		}
	}
	return err
}

// unknown looks for records of kinds that there are none of.
func (c *logCheck) unknown() error {
	const kinds = "abcefhikmnorstuwxyz" // in order
	low := c.ks.prefix
	for _, kind := range append([]byte(kinds), 0) {
		high := c.ks.kind(kind)
		if kind == 0 {
			high = after(c.ks.prefix)
		}
		err := scanRange(c.DB, low, high, func(key, _ []byte) error {
			c.Report.Bad(report.Unknown, c.keyName(append(bytes.Clone(key), 0)), report.Nothing, "no version of this program writes it")
			return nil
		})
		if err != nil {
			return err
		}
		low = after(c.ks.kind(kind))
	}
	return nil
}
