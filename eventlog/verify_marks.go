package eventlog

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
)

// checkMarks compares the marks with the order.
func (c *logCheck) checkMarks() error {
	if c.known {
		return c.follows(report.Order, c.ks.kind(kindMarks), dagcbor.Encode(&c.want), "how far the order has come")
	}
	_, fresh, err := dbGet(c.DB, c.ks.local(kindUnframed, 1))
	if err != nil || fresh && c.count.frames == 0 { // until its first event is framed, a log has none
		return err
	}
	return c.marksAnew()
}

// unseen is a number that no event of this device has had: records of other kinds may name events by their numbers.
const unseen LocalSeq = 1 << 32

// marksAnew makes marks of what the order and the events say.
func (c *logCheck) marksAnew() error {
	if c.Feed == (Feed{}) {
		c.Report.Bad(report.Order, c.Name+": marks", report.Nothing, "they are missing")
		return nil
	}
	c.Report.Bad(report.Order, c.Name+": marks", report.Rebuild, "they are missing")
	m := c.want
	m.Version, m.Device, m.Incarnation = marksVersion, c.Feed.Device, c.Feed.Incarnation
	m.First, m.Plain = unseen, unseen
	low := c.ks.kind(kindUnframed)
	it, err := c.DB.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: after(low)})
	if err != nil {
		return err
	}
	if it.First() {
		m.First = localSeqOf(it.Key())
	}
	if it.Last() {
		m.Plain = localSeqOf(it.Key()) + 1
	}
	if err := it.Close(); err != nil || c.Fix == nil {
		return err
	}
	if c.Anew != nil {
		c.Anew()
	}
	return c.Fix(c.ks.kind(kindMarks), dagcbor.Encode(&m))
}
