package eventlog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// TakeEarly stores frames whose places are among those up to Base: the log was restored from a checkpoint, and somebody has them still. They
// change nothing, since the checkpoint has what they said, but Entries shows their events; Shorten lets them go with the others. Frames that the
// checkpoint does not have are passed over, and so are those that are no frames of this volume.
func (l *Log) TakeEarly(frames ...[]byte) error {
	l.order.Lock()
	defer l.order.Unlock()
	if err := l.takeEarly(frames); err != nil {
		return fmt.Errorf("take frames before the checkpoint of volume %v: %w", l.volume, err)
	}
	return nil
}

func (l *Log) takeEarly(frames [][]byte) error {
	base, err := baseIn(l.db(), l.ks)
	if err != nil || base == 0 {
		return err
	}
	had, err := earlyIn(l.db(), l.ks)
	if err != nil {
		return err
	}
	b, last := l.db().NewBatch(), had
	for _, raw := range frames {
		f, err := l.verify(raw)
		if err != nil {
			l.logger.Warn("frame before the checkpoint is passed over", "err", err)
			continue
		}
		m, ok, err := l.meta(f.Hash)
		if err != nil {
			return errors.Join(err, b.Close())
		}
		if !ok || m.Index == 0 || m.Index > base {
			continue
		}
		b.Set(l.ks.frame(m.Feed, m.First, f.Hash), f.Raw, nil)
		last = max(last, m.Index)
	}
	if b.Empty() {
		return b.Close()
	}
	if last > had {
		put(b, l.ks.kind(kindEarly), &last)
	}
	return l.store.Commit(b, store.Applied)
}

// Early returns the last place of which TakeEarly has brought frames. 0: of none.
func (l *Log) Early() (Index, error) { return earlyIn(l.db(), l.ks) }

func earlyIn(db pebble.Reader, ks keyspace) (i Index, err error) {
	rec, ok, err := dbGet(db, ks.kind(kindEarly))
	if err == nil && ok {
		err = dagcbor.DecodeTrusted(rec, &i)
	}
	return i, err
}
