package backup

import (
	"errors"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/ipld"
)

// estimate finds about how much the run will write: the frames that the packs don't have, and all blocks. Blocks that no frame needs are among
// them: garbage, and those of snapshots.
func (r *run) estimate() error {
	if r.tell == nil {
		return nil
	}
	if r.src.Sizes != nil {
		err := r.src.Sizes(func(c ipld.CID, size int) error {
			if _, ok := r.have[nameOf(c)]; !ok {
				r.res.Total += int64(size)
			}
			return r.ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	for _, l := range r.src.Logs {
		old, _ := r.old.volume(l.Volume())
		base, err := l.Base()
		if err != nil {
			return err
		}
		var failed error
		err = l.CommittedFrames(max(old.Index, base), func(_ eventlog.Index, h eventlog.FrameHash) bool {
			var f *eventlog.Frame
			if f, failed = l.Frame(h); failed == nil {
				r.res.Total += int64(len(f.Raw))
				failed = r.ctx.Err()
			}
			return failed == nil
		})
		if err := errors.Join(failed, err); err != nil {
			return err
		}
	}
	return nil
}
