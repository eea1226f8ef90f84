package eventlog

import (
	"github.com/rhizome-fs/rhizome/internal/report"
)

// passes notes what the order has come to, if a checkpoint is kept there.
func (c *logCheck) passes(i Index) {
	if _, ok := c.kepts[i]; ok {
		c.kepts[i] = Checkpoint{Index: i, OrderHash: c.want.OrderHash, Frames: c.want.Frames, Events: c.want.Events}
	}
}

// kept checks the records of the checkpoints that are kept with the order. What they lead to is for who has the blocks.
func (c *logCheck) kept() error {
	whole := c.base == 0
	err := c.each(kindKept, func(key, val []byte) error {
		c.Report.Checked(report.Order, 1)
		k, err := decodeKept(key, val)
		if err != nil || len(key) != 18+8 {
			c.Report.Bad(report.Order, c.keyName(key), report.Nothing, "it is no kept checkpoint: %v", err)
			return nil
		}
		whole = whole || k.Index >= c.base
		// An Index may be without frames of this volume: then the one before is what it has.
		if want := c.kepts[k.Index]; want.Index != 0 && (k.OrderHash != want.OrderHash || k.Frames != want.Frames || k.Events != want.Events) {
			c.Report.Bad(report.Order, c.keyName(key), report.Nothing, "the kept checkpoint is not of this order")
		}
		if c.known && (k.Index > c.marks.Index || k.Frames > c.marks.Frames) {
			c.Report.Bad(report.Order, c.keyName(key), report.Nothing, "the log has not come to the kept checkpoint")
		}
		return nil
	})
	if err == nil && !whole {
		c.Report.Bad(report.Order, c.Name+": base", report.Nothing, "frames up to %d are not here, and no checkpoint is kept", c.base)
	}
	return err
}
