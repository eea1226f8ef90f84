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
	last, err := storeSize(d.st.Path(segmentsDir))
	for sleep(ctx, collectEvery) {
		var size int64
		if size, err = storeSize(d.st.Path(segmentsDir)); err != nil {
			d.log.Warn("collect garbage", "err", err)
			continue
		}
		if size-last < collectGrowth {
			continue
		}
		var freed int64
		freed, err = d.fs.Collect(ctx)
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
