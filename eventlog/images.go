package eventlog

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/identity"
)

// BeforeImages calls fn for the before-image of every state key that a tentative or unframed event changed and that
// had a value, until it returns an error. An undo brings these values back: what they need must be kept as
// if it stood in the state. The slices are valid during the call only.
func (l *Log) BeforeImages(fn func(key, val []byte) error) error {
	for _, kind := range []byte{kindUndo, kindFrameUndo} {
		err := l.eachKey(kind, func(_, rec []byte) error {
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
		})
		if err != nil {
			return fmt.Errorf("before-images of volume %v: %w", l.volume, err)
		}
	}
	return nil
}

// Volume returns whose log it is.
func (l *Log) Volume() identity.VolumeID { return l.volume }
