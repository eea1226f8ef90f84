package backup

import (
	"context"
	"errors"
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
)

// RestoreLogs brings the frames and their places into logs, which open opens, entry by entry; before is called ahead of each with its frames.
// Those that a log has already do no harm, so what was interrupted can be repeated; of a log that began with a checkpoint those before it are
// stored for who reads it. It is on disk with the store's next Sync. What can't be read is told to fault: see Items.
func (b *Backup) RestoreLogs(ctx context.Context, open func(identity.VolumeID) (*eventlog.Log, error),
	before func(l *eventlog.Log, frames [][]byte) error, fault func(Fault) error, tell func(Progress)) error {
	r := &restoring{
		open: open, before: before, logs: map[identity.VolumeID]*eventlog.Log{}, bases: map[identity.VolumeID]eventlog.Index{},
	}
	var done Progress
	err := b.Items(ctx, fault, func(i Item) error {
		done.Frames++
		done.Bytes += int64(len(i.Frame))
		tell(done)
		return r.take(i)
	})
	if err != nil {
		return err
	}
	return r.flush()
}

// A restoring gathers the items of one entry of the order, or one frame that has no place.
type restoring struct {
	open   func(identity.VolumeID) (*eventlog.Log, error)
	before func(l *eventlog.Log, frames [][]byte) error
	logs   map[identity.VolumeID]*eventlog.Log
	bases  map[identity.VolumeID]eventlog.Index // where they began: 0, or with a checkpoint

	volume identity.VolumeID
	index  eventlog.Index
	frames [][]byte
}

func (r *restoring) take(i Item) error {
	if r.volume != i.Volume || r.index != i.Index || i.Index == 0 {
		if err := r.flush(); err != nil {
			return err
		}
	}
	r.volume, r.index = i.Volume, i.Index
	raw := i.Frame
	if raw == nil { // it came without a place, in an earlier item
		l, err := r.log()
		if err != nil {
			return err
		}
		f, err := l.Frame(i.Hash)
		if errors.Is(err, eventlog.ErrNotHere) { // it was in a pack that is damaged, as was told
			return nil
		}
		if err != nil {
			return fmt.Errorf("restore volume %v: %w", i.Volume, err)
		}
		raw = f.Raw
	}
	r.frames = append(r.frames, raw)
	return nil
}

func (r *restoring) log() (l *eventlog.Log, err error) {
	if l = r.logs[r.volume]; l == nil {
		if l, err = r.open(r.volume); err != nil {
			return nil, err
		}
		r.logs[r.volume] = l
		if r.bases[r.volume], err = l.Base(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// flush brings what was gathered into its log.
func (r *restoring) flush() error {
	if len(r.frames) == 0 {
		return nil
	}
	l, err := r.log()
	base := r.bases[r.volume]
	if err == nil && r.index <= base && base > 0 { // what has no place may have got one that the checkpoint has
		err = l.TakeEarly(r.frames...)
	}
	switch {
	case err != nil:
	case r.index == 0:
		if err = r.before(l, r.frames); err == nil {
			_, err = l.ReceiveAll(r.frames)
		}
	case r.index > base:
		if err = r.before(l, r.frames); err == nil {
			err = l.Commit(r.index, r.frames...)
		}
	}
	if err != nil {
		return fmt.Errorf("restore volume %v: %w", r.volume, err)
	}
	r.frames = nil
	return nil
}
