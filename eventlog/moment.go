package eventlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// ErrNoHistory says that a time lies before the beginning of a volume's history on this device.
var ErrNoHistory = errors.New("no history of that time")

// A Moment is a place in the history of a volume's state on this device, from one change to the next. Moments are those of its clock, but never
// go back: when the clock is set back by more than a second, an era ends and the next one begins. The zero Moment is before all.
type Moment struct {
	Era  uint32 // from 1
	Time int64  // ns since 1970 UTC
}

// Compare returns -1, 0 or +1: whether m is before, at or after o.
func (m Moment) Compare(o Moment) int {
	return cmp.Or(cmp.Compare(m.Era, o.Era), cmp.Compare(m.Time, o.Time))
}

// When is the moment by this device's clock of then.
func (m Moment) When() time.Time { return time.Unix(0, m.Time) }

// An era is a time in which the clock went only forward.
type era struct {
	_     struct{} `cbor:",toarray"`
	Start int64    // since when it has history; everything before it in the first era of a log that has all
	Last  int64    // the last moment that was given, as far as is known
}

const (
	// setBack is how much the clock may lag behind the last moment before that is taken for its having been set.
	setBack   = time.Second
	momentLen = 4 + 8
	always    = math.MinInt64 // the Start of an era behind which nothing is missing
)

func appendMoment(b []byte, m Moment) []byte {
	b = binary.BigEndian.AppendUint32(b, m.Era)
	return binary.BigEndian.AppendUint64(b, uint64(m.Time)^1<<63) // in the order of times before 1970, too
}

// readMoment reads what appendMoment wrote: momentLen bytes.
func readMoment(b []byte) Moment {
	return Moment{binary.BigEndian.Uint32(b), int64(binary.BigEndian.Uint64(b[4:]) ^ 1<<63)}
}

// timeline gives moments. INVARIANT: eras[i] is era i+gone+1, and last is no earlier than any moment that was given.
type timeline struct {
	now   func() time.Time
	eras  []era
	gone  uint32 // eras that are forgotten
	last  Moment
	saved bool  // the database has the present era
	grids grids // which moments count
}

// next returns the moment of a change that happens now. It is given when keep was called with it.
func (t *timeline) next() Moment {
	now := t.now().UnixNano()
	switch {
	case t.last.Era == 0:
		return Moment{1, now}
	case now < t.last.Time-int64(setBack):
		return Moment{t.last.Era + 1, now}
	}
	return Moment{t.last.Era, max(now, t.last.Time+1)}
}

// keep makes m the last moment. It is saved when put was called with it, and the batch is in the store.
func (t *timeline) keep(m Moment) {
	switch {
	case t.last.Era == 0:
		t.eras, t.saved = []era{{Start: always}}, false
	case m.Era != t.last.Era:
		t.eras, t.saved = append(t.eras, era{Start: m.Time}), false
	}
	t.last = m
	t.eras[len(t.eras)-1].Last = m.Time
}

// isNew reports whether the database does not know m's era yet.
func (t *timeline) isNew(m Moment) bool { return !t.saved || m.Era != t.last.Era }

// put adds m's era to b, as it is when m is the last moment.
func (t *timeline) put(b *pebble.Batch, ks keyspace, m Moment) {
	e := era{Start: m.Time, Last: m.Time}
	switch {
	case t.last.Era == 0:
		e.Start = always
	case m.Era == t.last.Era:
		e.Start = t.eras[len(t.eras)-1].Start
	}
	put(b, ks.era(m.Era), &e)
}

// at returns the last moment at or before a time that counts. The start of an era does.
func (t *timeline) at(when time.Time) (Moment, error) {
	ns := when.UnixNano()
	for i := len(t.eras) - 1; i >= 0; i-- {
		if t.eras[i].Start > ns {
			continue
		}
		is := t.gone + uint32(i) + 1
		if f, ok := t.grids.of(is).Floor(ns); ok {
			return Moment{is, max(f, t.eras[i].Start)}, nil
		}
		break
	}
	return Moment{}, fmt.Errorf("%v: %w", when.Format(time.RFC3339), ErrNoHistory)
}

// since returns the first moment of which there is history; the zero Moment if nothing is missing.
func (t *timeline) since() Moment {
	if len(t.eras) == 0 || t.eras[0].Start == always {
		return Moment{}
	}
	return Moment{t.gone + 1, t.eras[0].Start}
}

// starts are the times at which eras began, of those that did.
func (t *timeline) starts() map[uint32]int64 {
	m := make(map[uint32]int64)
	for i, e := range t.eras {
		if e.Start != always {
			m[t.gone+uint32(i)+1] = e.Start
		}
	}
	return m
}

// loadTimeline reads the eras. A log that was made by a version without history has one from now on.
func (l *Log) loadTimeline() error {
	t := timeline{now: l.now}
	err := l.eachKey(kindEra, func(key, val []byte) error {
		var e era
		if err := dagcbor.DecodeTrusted(val, &e); err != nil {
			return fmt.Errorf("era %x: %w", key, err)
		}
		n := binary.BigEndian.Uint32(key)
		if len(t.eras) == 0 {
			t.gone = n - 1
		}
		for t.gone+uint32(len(t.eras)) < n-1 { // one in which nothing came to be, or whose record is lost
			t.eras = append(t.eras, era{Start: math.MaxInt64, Last: math.MaxInt64})
		}
		t.eras = append(t.eras, e)
		t.last, t.saved = Moment{n, e.Last}, true
		return nil
	})
	if err != nil {
		return err
	}
	if l.next > l.marks.First { // what is not framed may be younger than what was saved
		u, err := l.undoOf(l.db(), l.ks.local(kindUndo, l.next-1))
		if err != nil {
			return fmt.Errorf("undo of event %d: %w", l.next-1, err)
		}
		if u.moment.Compare(t.last) > 0 {
			t.last = u.moment
		}
	}
	if t.last.Era == 0 && (l.marks.Index > 0 || l.next > 1 || len(l.graph.heads) > 0) {
		now := l.now().UnixNano()
		t.eras, t.last = []era{{Start: now, Last: now}}, Moment{1, now}
	}
	rec, ok, err := dbGet(l.db(), l.ks.kind(kindGrid))
	if err == nil && ok {
		err = dagcbor.DecodeTrusted(rec, &t.grids)
	}
	l.time = t
	return err
}

// MomentAt returns the last moment at or before a time, of those that retention leaves (see Thin); ErrNoHistory if there is none. Of
// times that the clock has shown twice, since it was set back, it is the later one.
func (l *Log) MomentAt(t time.Time) (Moment, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m, err := l.time.at(t)
	if err != nil {
		return m, fmt.Errorf("volume %v at %w", l.volume, err)
	}
	return m, nil
}

// Now returns the moment of the last change: everything that is applied is in the state at it, and nothing that comes.
func (l *Log) Now() Moment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.time.last
}

// Since returns the moment at which the history of this volume begins here; the zero Moment if it has all.
func (l *Log) Since() Moment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.time.since()
}
