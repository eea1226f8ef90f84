package eventlog

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

// historyKinds are the records that the history of a checkpoint holds, in the order of their keys.
var historyKinds = []byte{kindEra, kindGrid, kindFact}

// History seals the history of what a checkpoint of this log has: which moments count, and all facts up to k.Until, under their keys below the
// volume's. With it, a log that is restored from the checkpoint shows the past as this one does; what came after the checkpoint it remembers
// as it learns of it. pause is called between parts of the work, without a lock; its error ends it.
func (l *Log) History(ctx context.Context, k Kept, to ipld.Store, sealer *ipld.Sealer, pause func() error) (table.Root, error) {
	snap := l.db().NewSnapshot()
	defer l.store.CloseSnapshot(snap)
	w := table.NewWriter(ctx, to, sealer, nil)
	n := 0
	var root table.Root
	var err error
	for _, kind := range historyKinds {
		prefix := l.ks.kind(kind)
		err = scanRange(snap, prefix, after(prefix), func(key, val []byte) error {
			if n++; n%pauseRecords == 0 {
				if err := pause(); err != nil {
					return err
				}
			}
			val, ok, err := historyRecord(kind, key[len(prefix):], val, k.Until)
			if err != nil || !ok {
				return err
			}
			return w.Add(key[len(l.ks.prefix):], val)
		})
		if err != nil {
			break
		}
	}
	if err == nil {
		root, _, err = w.Close()
	}
	if err != nil {
		return root, fmt.Errorf("history of volume %v up to checkpoint %d: %w", l.volume, k.Index, err)
	}
	return root, nil
}

// historyRecord is a record as it was at a moment, if it was there.
func historyRecord(kind byte, key, val []byte, until Moment) ([]byte, bool, error) {
	switch kind {
	case kindFact:
		if len(key) < momentLen {
			return nil, false, fmt.Errorf("fact %x: %w", key, errShort)
		}
		return val, readMoment(key[len(key)-momentLen:]).Compare(until) <= 0, nil
	case kindEra:
		if len(key) != 4 {
			return nil, false, fmt.Errorf("era %x: %w", key, errShort)
		}
		n := binary.BigEndian.Uint32(key)
		if n != until.Era {
			return val, n < until.Era, nil
		}
		var e era
		if err := dagcbor.DecodeTrusted(val, &e); err != nil {
			return nil, false, fmt.Errorf("era %d: %w", n, err)
		}
		e.Last = until.Time
		return dagcbor.Encode(&e), true, nil
	}
	return val, true, nil
}
