package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// CommittedFrames calls fn for the committed frames whose place is behind an index, in their order, until it returns false. What is
// committed meanwhile may be left out. It needs no keys, and reads no frame: see Frame.
func (l *Log) CommittedFrames(behind Index, fn func(i Index, h FrameHash) bool) error {
	it, err := l.db().NewIter(&pebble.IterOptions{
		LowerBound: l.ks.committed(behind+1, 0), UpperBound: after(l.ks.kind(kindCommitted)),
	})
	if err != nil {
		return fmt.Errorf("committed frames: %w", err)
	}
	prefix := len(l.ks.kind(kindCommitted))
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var val []byte
		if val, err = it.ValueAndErr(); err != nil {
			break
		}
		if len(val) != len(FrameHash{}) {
			err = errMissing
			break
		}
		if !fn(Index(binary.BigEndian.Uint64(it.Key()[prefix:])), FrameHash(val)) {
			break
		}
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return fmt.Errorf("committed frames: %w", err)
	}
	return nil
}

// Unplaced returns the frames that have no place in the order: tentative ones in their order, then those
// that wait for others or for a key.
func (l *Log) Unplaced() []FrameHash {
	l.order.Lock()
	defer l.order.Unlock()
	hs := make([]FrameHash, 0, len(l.graph.tentative)+len(l.graph.waiting))
	for _, n := range l.graph.tentative {
		hs = append(hs, n.hash)
	}
	for h := range l.graph.waiting {
		hs = append(hs, h)
	}
	return hs
}

// Events returns what a frame of this volume says, if its key is here.
func (l *Log) Events(f *Frame) ([]Event, error) {
	if l.keys == nil {
		return nil, fmt.Errorf("events of frame %x: %w", f.Hash[:4], ErrNoKeys)
	}
	return l.openFrame(f)
}
