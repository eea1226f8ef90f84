package eventlog

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A Look is a volume's log as the database has it, to be verified. Nothing else need be open.
type Look struct {
	DB      pebble.Reader // the database, or a snapshot of it
	Volume  identity.VolumeID
	Name    string                       // of the volume, for people
	Member  func(identity.DeviceID) bool // nil: it is not known
	Keys    *identity.VolumeKeys         // nil: frames are not opened
	Reducer Reducer                      // with Keys
	Blocks  ipld.Store                   // where kept checkpoints are; nil: it can't be read
	Report  *report.Report
	// Fix sets a record that follows from others (val nil: removes it), if such records are to be mended; else nil. It must not change what DB shows.
	Fix func(key, val []byte) error
	// Feed is this device's, for marks that are made anew; the zero Feed: they are not. Anew is called then: others may have frames of the feed that
	// are not here, so it must not go on.
	Feed Feed
	Anew func()
	// Forget says, with Fix, that facts may be lost: history then begins with what there is now.
	Forget bool
	// Frames are those that are damaged or missing: Verify adds to it, unless it is nil.
	Frames map[FrameHash]struct{}
}

// FixLocal has Fix set or remove a device-local record.
func (o Look) FixLocal(key, val []byte) error {
	if o.Fix == nil {
		return nil
	}
	return o.Fix(append(volumePrefix(localSpace, o.Volume), key...), val)
}

// Facts are the keys of a volume's history: from the first on, up to the second.
func (o Look) Facts() (low, high []byte) {
	low = newKeyspace(o.Volume).kind(kindFact)
	return low, after(low)
}

// PutFrame gives fix a frame that is lost here, as it was found elsewhere. It reports whether it is one of this volume's.
func (o Look) PutFrame(raw []byte, fix func(key, val []byte) error) (bool, error) {
	f, err := ParseFrame(raw)
	if err != nil || f.Volume != o.Volume {
		return false, nil
	}
	if _, lost := o.Frames[f.Hash]; !lost {
		return false, nil
	}
	delete(o.Frames, f.Hash)
	return true, fix(newKeyspace(o.Volume).frame(f.Feed().ID(), f.First, f.Hash), raw)
}

// VolumesOf lists the volumes of which a database has records of a log.
func VolumesOf(db pebble.Reader) ([]identity.VolumeID, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'l'}, UpperBound: []byte{'l' + 1}})
	if err != nil {
		return nil, err
	}
	var ids []identity.VolumeID
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) < 17 {
			ok = it.Next()
			continue
		}
		ids = append(ids, identity.VolumeID(key[1:17]))
		next := after(key[:17])
		ok = next != nil && it.SeekGE(next)
	}
	return ids, it.Close()
}

// Device returns whose log it is, as its marks or any frame of it say.
func (o Look) Device() (identity.DeviceID, bool) {
	ks := newKeyspace(o.Volume)
	var m marks
	if rec, ok, err := dbGet(o.DB, ks.kind(kindMarks)); err == nil && ok && dagcbor.Decode(rec, &m) == nil {
		return m.Device, true
	}
	var d identity.DeviceID
	found := false
	prefix := ks.kind(kindFrame)
	_ = scanRange(o.DB, prefix, after(prefix), func(_, raw []byte) error {
		if f, err := ParseFrame(raw); err == nil {
			d, found = f.Device, true
			return errStop
		}
		return nil
	})
	return d, found
}

// Index returns the last place in the order that the log says it has; 0 if it can't tell.
func (o Look) Index() Index {
	var m marks
	if rec, ok, err := dbGet(o.DB, newKeyspace(o.Volume).kind(kindMarks)); err != nil || !ok || dagcbor.Decode(rec, &m) != nil {
		return 0
	}
	return m.Index
}

// Kept returns the checkpoints that the log keeps, as far as their records can be read: see Verify.
func (o Look) Kept() (all []Kept) {
	prefix := newKeyspace(o.Volume).kind(kindKept)
	_ = scanRange(o.DB, prefix, after(prefix), func(key, val []byte) error {
		if k, err := decodeKept(key, val); err == nil {
			all = append(all, k)
		}
		return nil
	})
	return all
}
