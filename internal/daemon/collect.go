package daemon

import (
	"context"
	"time"
)

const (
	collectEvery = 10 * time.Minute
	// collectGrowth is how much the segments must have grown since the last collection to be worth another.
	collectGrowth = 32 << 20
	segmentsDir   = "segments"
)

// collectGarbage drops unreachable blocks now and then, if enough has been written since the last time.
func (d *daemon) collectGarbage(ctx context.Context) error {
	var last int64 // the segments' size when they were last collected
	for sleep(ctx, collectEvery) {
		size, err := storeSize(d.st.Path(segmentsDir))
		if err != nil {
			d.log.Warn("collect garbage", "err", err)
		}
		if size-last < collectGrowth {
			continue
		}
		freed, err := d.fs.Collect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			d.log.Error("collect garbage", "err", err)
		} else if freed > 0 {
			d.log.Info("collected garbage", "bytes", freed)
		}
		last = size - freed
	}
	return nil
}
