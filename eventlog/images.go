package eventlog

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/identity"
)

// BeforeImages calls fn for the before-image of every state key that a tentative or unframed event changed and that
// had a value, at one moment, until it returns an error. An undo brings these values back: what they need must be kept as
// if it stood in the state. The slices are valid during the call only.
func (l *Log) BeforeImages(fn func(key, val []byte) error) error {
	l.mu.RLock()
	snap, first := l.db().NewSnapshot(), l.marks.First
	l.mu.RUnlock()
	each := func(_, rec []byte) error {
		u, err := decodeUndo(rec)
		if err != nil {
			return err
		}
		for _, i := range u.images {
			if !i.ok {
				continue
			}
			if err := fn(i.key, i.val); err != nil {
				return err
			}
		}
		return nil
	}
	err := scanRange(snap, l.ks.local(kindUndo, first), after(l.ks.kind(kindUndo)), each)
	if err == nil {
		frames := l.ks.kind(kindFrameUndo)
		err = scanRange(snap, frames, after(frames), each)
	}
	l.store.CloseSnapshot(snap)
	if err != nil {
		return fmt.Errorf("before-images of volume %v: %w", l.volume, err)
	}
	return nil
}

// Volume returns whose log it is.
func (l *Log) Volume() identity.VolumeID { return l.volume }
