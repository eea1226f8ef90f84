package fs

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// A Retention says how long a volume's history is kept, and how fine: everything for a time, then what was there at each full hour,
// then at the beginning of each day, then of each week (in UTC; weeks begin on Thursday). What is shown now, and what a named snapshot has, is always kept.
type Retention struct {
	All, Hourly, Daily, Weekly time.Duration // one after the other; Forever, or 0 for none of this kind
}

// Forever is a time that does not end.
const Forever time.Duration = -1

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// DefaultRetention is that of a volume for which nobody has said anything else.
var DefaultRetention = Retention{All: 30 * day, Hourly: 90 * day, Daily: 365 * day, Weekly: Forever}

// ages says how fine history is that is older than something.
func (r Retention) ages() []eventlog.Age {
	if r.All == Forever {
		return nil
	}
	var ages []eventlog.Age
	older := r.All
	for _, s := range []struct{ long, every time.Duration }{{r.Hourly, time.Hour}, {r.Daily, day}, {r.Weekly, week}} {
		if s.long == 0 {
			continue
		}
		ages = append(ages, eventlog.Age{Older: older, Every: s.every})
		if s.long == Forever {
			return ages
		}
		older += s.long
	}
	return append(ages, eventlog.Age{Older: older})
}

// versionAges says which versions of one file are kept, of many: those that were there at each full minute, then at each full hour.
func (r Retention) versionAges() []eventlog.Age {
	if r.All == Forever {
		return nil
	}
	return append([]eventlog.Age{{Older: time.Hour, Every: time.Minute}, {Older: day, Every: time.Hour}}, r.ages()...)
}

// check returns an error if r can't be meant.
func (r Retention) check() error {
	for _, d := range []time.Duration{r.All, r.Hourly, r.Daily, r.Weekly} {
		if d < 0 && d != Forever || d > 0 && d < time.Minute {
			return fmt.Errorf("keep history for %v: %w", d, ErrInvalid)
		}
	}
	return nil
}

// retentionRecord stands behind localRetention: seconds, -1 for ever.
type retentionRecord struct {
	_                          struct{} `cbor:",toarray"`
	All, Hourly, Daily, Weekly int64
}

func toSeconds(d time.Duration) int64 {
	if d == Forever {
		return -1
	}
	return int64(d / time.Second)
}

func fromSeconds(s int64) time.Duration {
	if s < 0 {
		return Forever
	}
	return time.Duration(s) * time.Second
}

// Retention returns how long a volume's history is kept here.
func (f *FS) Retention(vol identity.VolumeID) (Retention, error) {
	v, ok := f.volume(vol)
	if !ok {
		return Retention{}, fmt.Errorf("volume %v: %w", vol, ErrNotExist)
	}
	return v.retention()
}

func (v *Volume) retention() (Retention, error) {
	is := DefaultRetention
	var bad error
	err := v.log.Local(func(r eventlog.Reader) {
		rec, ok := r.Get([]byte{localRetention})
		if !ok {
			return
		}
		var s retentionRecord
		if bad = dagcbor.DecodeTrusted(rec, &s); bad == nil {
			is = Retention{fromSeconds(s.All), fromSeconds(s.Hourly), fromSeconds(s.Daily), fromSeconds(s.Weekly)}
		}
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return Retention{}, fmt.Errorf("retention of volume %v: %w", v.id, err)
	}
	return is, nil
}

// SetRetention changes how long a volume's history is kept on this device. What is gone does not come back. Durations are in whole seconds,
// and a minute at least; ErrInvalid else.
func (f *FS) SetRetention(vol identity.VolumeID, r Retention) error {
	v, ok := f.volume(vol)
	if !ok {
		return fmt.Errorf("volume %v: %w", vol, ErrNotExist)
	}
	if err := r.check(); err != nil {
		return err
	}
	return v.update(func(t *txn) error {
		t.SetLocal([]byte{localRetention}, dagcbor.Encode(&retentionRecord{
			All: toSeconds(r.All), Hourly: toSeconds(r.Hourly), Daily: toSeconds(r.Daily), Weekly: toSeconds(r.Weekly),
		}))
		return nil
	})
}

// Believed returns the last time that was noted by Believe; the zero Time if none was.
func (f *FS) Believed() (time.Time, error) {
	var last time.Time
	for _, h := range f.homes() {
		err := h.vol.log.Local(func(r eventlog.Reader) {
			if rec, ok := r.Get([]byte{localBelieved}); ok && len(rec) == 8 {
				if t := time.Unix(0, int64(binary.BigEndian.Uint64(rec))); t.After(last) {
					last = t
				}
			}
		})
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

// Believe notes that the clock is believed to be right: whoever judges by it how old something is can see later whether it leapt.
func (f *FS) Believe(now time.Time) error {
	for _, h := range f.homes() {
		err := h.vol.update(func(t *txn) error {
			t.SetLocal([]byte{localBelieved}, binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
