package eventlog

import (
	"bytes"
	"errors"

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
		c.Report.Bad(report.Undo, c.keyName(key), c.replayed(), "the undo record of event %d is missing", n)
	} else if _, err := decodeUndo(rec); err != nil {
		c.Report.Bad(report.Undo, c.keyName(key), c.replayed(), "%v", err)
	}
	return nil
}

// unknown looks for records of kinds that there are none of.
func (c *logCheck) unknown() error {
	const kinds = "abcefghikmnorstuwxyz" // in order
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
