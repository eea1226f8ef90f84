package eventlog

import (
	"errors"
	"fmt"
)

// ErrLost says that a log that was here is gone, or its marks are. To begin it anew would give the same places of this device's feed to other
// events, and who has the old ones would see a feed with two branches.
var ErrLost = errors.New("the log is lost")

// checkBegun refuses a log without marks, unless it is one that was just begun: until its first event is framed a log has none. begun: there is no log
// only if it is lost.
func (l *Log) checkBegun(begun bool) error {
	_, first, err := dbGet(l.db(), l.ks.local(kindUnframed, 1))
	if err != nil {
		return err
	}
	come := []byte{kindFrame, kindMeta, kindCommitted, kindHead} // what comes with frames, and marks with it
	if !first {
		come = append(come, kindUnframed, kindState, kindFact) // what comes with events
	}
	for _, kind := range come {
		if last, err := l.lastKey(l.ks.kind(kind), after(l.ks.kind(kind))); err != nil {
			return err
		} else if last != nil {
			return fmt.Errorf("%w: its marks are missing", ErrLost)
		}
	}
	if begun && !first {
		return fmt.Errorf("%w: nothing of it is there", ErrLost)
	}
	return nil
}
