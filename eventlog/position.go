package eventlog

import (
	"bytes"
	"cmp"
)

// Compare returns -1, 0 or 1 as p is before, at or behind q.
func (p Position) Compare(q Position) int {
	return cmp.Or(
		cmp.Compare(p.Stage, q.Stage), cmp.Compare(p.Index, q.Index), cmp.Compare(p.Place, q.Place),
		cmp.Compare(p.Depth, q.Depth), bytes.Compare(p.Feed[:], q.Feed[:]), bytes.Compare(p.Hash[:], q.Hash[:]),
		cmp.Compare(p.Local, q.Local), cmp.Compare(p.Event, q.Event),
	)
}
