package fs

import (
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A Record is what a device notes of a volume for itself, and one that is recovered should know: how long history is kept, or what a snapshot's
// name stands for.
type Record struct {
	_          struct{} `cbor:",toarray"`
	Key, Value []byte
}

// Records returns those of a volume, and the roots of its snapshots.
func (f *FS) Records(vol identity.VolumeID) (list []Record, roots []ipld.CID, err error) {
	v, ok := f.volume(vol)
	if !ok {
		return nil, nil, fmt.Errorf("volume %v: %w", vol, ErrNotExist)
	}
	err = v.log.Local(func(r eventlog.Reader) {
		for _, kind := range []byte{localRetention, localSnapshot} {
			r.Scan([]byte{kind}, nil, func(k, b []byte) bool {
				list = append(list, Record{Key: append([]byte{}, k...), Value: append([]byte{}, b...)})
				return true
			})
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("records of volume %v: %w", vol, err)
	}
	snapshots, err := v.snapshots()
	for _, s := range snapshots {
		roots = append(roots, s.Root.CID)
	}
	return list, roots, err
}

// TakeRecords notes in a log that was filled from a backup what another device had noted of the volume. A snapshot is then of the same time by
// this device's history; lost are the names of those of which that has nothing, or whose root here reports to be absent. Before an FS opens the log.
func TakeRecords(log *eventlog.Log, list []Record, here func(root ipld.CID) (bool, error)) (lost []string, err error) {
	taken := map[string][]byte{}
	for _, rec := range list {
		switch {
		case len(rec.Key) == 1 && rec.Key[0] == localRetention:
			var r retentionRecord
			if err := dagcbor.Decode(rec.Value, &r); err != nil {
				return nil, fmt.Errorf("retention of volume %v: %w", log.Volume(), err)
			}
			taken[string(rec.Key)] = rec.Value
		case len(rec.Key) > 1 && rec.Key[0] == localSnapshot:
			name := string(rec.Key[1:])
			s, err := takeSnapshot(log, name, rec.Value, here)
			if errors.Is(err, eventlog.ErrNoHistory) || errors.Is(err, ipld.ErrNotFound) {
				lost = append(lost, name)
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("snapshot %q: %w", name, err)
			}
			taken[string(rec.Key)] = s.encode()
		}
	}
	if len(taken) == 0 {
		return lost, nil
	}
	_, err = log.Update(func(t *eventlog.Tx) error {
		for k, v := range taken {
			t.SetLocal([]byte(k), v)
		}
		return nil
	})
	return lost, err
}

// takeSnapshot reads a snapshot's record, and finds its moment here. What a snapshot has was framed before it was made, and a recovered log shows
// frames at the time of their last event, so it is what was there at its time.
func takeSnapshot(log *eventlog.Log, name string, b []byte, here func(ipld.CID) (bool, error)) (Snapshot, error) {
	if err := checkSnapshotName(name); err != nil {
		return Snapshot{}, err
	}
	s, err := decodeSnapshot(name, b)
	if err != nil {
		return s, err
	}
	ok, err := here(s.Root.CID)
	if err == nil && !ok {
		err = ipld.ErrNotFound
	}
	if err == nil {
		s.Moment, err = log.MomentAt(time.Unix(0, s.Moment.Time))
	}
	return s, err
}
