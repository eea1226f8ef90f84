package eventlog

import (
	"errors"
	"fmt"
)

// ErrForked says that this device's feed has two branches: the store was copied and runs elsewhere too, or was restored
// from a backup and had gone on. Nothing can be added to such a feed; NewIncarnation goes on in another.
var ErrForked = errors.New("feed has forked")

// Forked reports whether this device's feed has two branches. A frame of this device's own feed that continues it is
// no fork: the log takes it back, and goes on after it.
func (l *Log) Forked() bool {
	l.order.Lock()
	defer l.order.Unlock()
	return len(l.graph.headsOf(l.feed)) > 1
}

// NewIncarnation makes f this device's feed. All frames of the old one stay, on every branch, and are committed like any;
// what is not framed yet becomes the beginning of f, whose first frame builds on all of them.
func (l *Log) NewIncarnation(f Feed) error {
	err := l.rearrange(func(c *change) error {
		c.newFeed = f
		return nil
	})
	if err != nil {
		return fmt.Errorf("begin incarnation %x: %w", f.Incarnation, err)
	}
	return nil
}
