package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
)

// keepEvery is how many checkpoints are kept in the time for which a volume keeps everything: frames are gone when they are older than that,
// and by a part of it at most.
const keepEvery = 2

// shorten lets frames go. Those up to a checkpoint that is kept go once it is older than what the volume's retention keeps whole, or than floor (the
// zero Time: nothing), and every server of the order has what it has. If dry, it only tells what would go.
func (i *ident) shorten(ctx context.Context, now, floor time.Time, dry bool, pause func() error) (all eventlog.Shortened, err error) {
	if !i.shortening.TryLock() {
		return all, nil // frames are being copied: the next time
	}
	defer i.shortening.Unlock()
	for _, l := range i.allLogs() {
		keep, err := i.d.fs.Retention(l.Volume())
		if errors.Is(err, fs.ErrNotExist) {
			continue // nobody has opened the volume yet
		}
		if err != nil {
			return all, err
		}
		s, err := i.shortenLog(ctx, l, keep, now, floor, dry, pause)
		all.Frames += s.Frames
		all.Bytes += s.Bytes
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func (i *ident) shortenLog(ctx context.Context, l *eventlog.Log, keep fs.Retention, now, floor time.Time, dry bool, pause func() error) (s eventlog.Shortened, err error) {
	old := floor
	if keep.All != fs.Forever && now.Add(-keep.All).After(old) {
		old = now.Add(-keep.All)
	}
	kept, err := l.Kept()
	if err != nil {
		return s, err
	}
	base, err := l.Base()
	if err != nil {
		return s, err
	}
	to := cutAt(kept, old, i.seq.Acknowledged())
	if to > base {
		if s, err = l.Shorten(to, i.d.blocks, dry, pause); err != nil {
			return s, err
		}
	}
	if dry || keep.All == fs.Forever || !keepDue(l, kept, now, keep.All) {
		return s, nil
	}
	o, err := i.openVolume(l.Volume())
	if err != nil {
		return s, err
	}
	_, err = i.keep(ctx, l, o.Sealer, now, pause)
	if errors.Is(err, eventlog.ErrUnsettled) { // the next time
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("keep a checkpoint: %w", err)
	}
	return s, nil
}

// cutAt is up to where frames may go: the last Index at which a checkpoint is kept that was made at a time or before, and that everybody who
// follows the order has acknowledged. 0: none may.
func cutAt(kept []eventlog.Kept, old time.Time, acknowledged eventlog.Index) (to eventlog.Index) {
	for _, k := range kept {
		if !k.Made.After(old) && k.Index <= acknowledged {
			to = max(to, k.Index)
		}
	}
	return to
}

// keepDue reports whether another checkpoint is to be kept: something came behind the last, and none was made of late.
func keepDue(l *eventlog.Log, kept []eventlog.Kept, now time.Time, whole time.Duration) bool {
	has, _ := l.Committed()
	for _, k := range kept {
		if k.Index >= has || k.Made.After(now.Add(-whole/keepEvery)) && !k.Made.After(now) {
			return false
		}
	}
	return has > 0
}

// logSince is when the checkpoint was made that stands in for a log's first frames; nil: the log has all.
func logSince(l *eventlog.Log) (*time.Time, error) {
	base, err := l.Base()
	if err != nil || base == 0 {
		return nil, err
	}
	kept, err := l.Kept()
	if err != nil {
		return nil, err
	}
	for _, k := range kept {
		if k.Index >= base {
			at := k.Made.UTC()
			return &at, nil
		}
	}
	return nil, nil
}
