package fs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/when"
)

// keepView is how long a name like 1h goes on standing for one moment after it was last used: a program that compares two trees looks
// it up again and again. Entry.Fleeting must have the kernel ask more often.
const keepView = 5 * time.Second

// sweepViews is the least number of views at which those that are not in use are looked for.
const sweepViews = 64

// A viewKey is a name in the .at of a directory.
type viewKey struct {
	vol  *Volume // nil: the mount's top
	file tree.FileID
	name string
}

// A view is a directory as it was at one time, with all that was below it. Nil is what a .at itself is in.
type view struct {
	table    *pastTable
	number   uint64 // drawn
	key      viewKey
	at       time.Time
	relative bool // the name stands for another time when it is not used for a while

	snapshot eventlog.Moment // of the volume of its key, if the name is that of a snapshot; else the zero Moment

	used  atomic.Int64 // when, of a relative one
	nodes int          // guarded by pastTable.mu: how many are in it

	mu      sync.Mutex
	moments map[*Volume]eventlog.Moment // guarded by mu
}

// open finds the view that a name in the .at of key's directory stands for.
func (t *pastTable) open(key viewKey) (*view, error) {
	now := t.clock()
	at, err := when.Parse(key.name, now)
	if err != nil {
		return t.openSnapshot(key)
	}
	later, err := when.Parse(key.name, now.Add(time.Hour))
	if err != nil {
		return nil, ErrNotExist
	}
	v := &view{table: t, number: rand.Uint64(), key: key, at: at, relative: !later.Equal(at)}
	if at.After(now) || !v.relative && at.Equal(now) { // what is yet to come may still belong to it
		return nil, ErrNotExist
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.views[key]; ok && (old.inUse(now) || !v.relative && old.at.Equal(at)) {
		return old, nil
	}
	return v, nil
}

// openSnapshot finds the view of a snapshot.
func (t *pastTable) openSnapshot(key viewKey) (*view, error) {
	s := t.snapshots.Load()
	if s == nil || key.vol == nil {
		return nil, ErrNotExist
	}
	m, ok, err := (*s).Moment(key.vol.id, key.name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNotExist
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.views[key]; ok && old.snapshot == m {
		return old, nil
	}
	return &view{table: t, number: rand.Uint64(), key: key, at: m.When(), snapshot: m}, nil
}

// use says that a view is in use now.
func (v *view) use() {
	if v != nil && v.relative {
		v.used.Store(v.table.clock().UnixNano())
	}
}

// inUse reports whether a relative view was used a moment ago.
func (v *view) inUse(now time.Time) bool {
	since := now.UnixNano() - v.used.Load()
	return v.relative && since >= 0 && since < int64(keepView)
}

// holdLocked counts a node in v, and has v's name stand for it. The caller holds t.mu.
func (t *pastTable) holdLocked(v *view) {
	if v == nil {
		return
	}
	v.nodes++
	if t.views[v.key] == v || v.nodes > 1 {
		return
	}
	t.views[v.key] = v
	if len(t.views) < t.sweep {
		return
	}
	now := t.clock()
	for key, old := range t.views {
		if old.nodes == 0 && !old.inUse(now) {
			delete(t.views, key)
		}
	}
	t.sweep = max(sweepViews, 2*len(t.views))
}

// releaseLocked takes a node out of v. A relative name goes on standing for v while it is in use. The caller holds t.mu.
func (t *pastTable) releaseLocked(v *view) {
	if v == nil {
		return
	}
	if v.nodes--; v.nodes == 0 && !v.relative && t.views[v.key] == v {
		delete(t.views, v.key)
	}
}

// moment is v's in the history of a volume. ErrNotExist: it has none of that time.
func (v *view) moment(vol *Volume) (eventlog.Moment, error) {
	if vol == v.key.vol && v.snapshot != (eventlog.Moment{}) {
		return v.snapshot, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if m, ok := v.moments[vol]; ok {
		return m, nil
	}
	m, err := vol.log.MomentAt(v.at)
	if err != nil {
		return m, noHistory(err)
	}
	if last := vol.log.Now(); v.relative && m.Compare(last) > 0 { // else what comes in this moment would be seen in it
		m = last
	}
	if v.moments == nil {
		v.moments = map[*Volume]eventlog.Moment{}
	}
	v.moments[vol] = m
	return m, nil
}

// read calls fn with the state of a volume as it was. It fails with ErrStale if history is no longer so fine that it has the view's moment,
// or the clock was set back to before it: who looks the view's name up again gets another moment.
func (v *view) read(vol *Volume, fn func(r eventlog.Reader) error) error {
	m, err := v.moment(vol)
	if err != nil {
		return err
	}
	var failed error
	err = vol.log.At(m, func(r eventlog.Reader) {
		// Asked when what is read can't go any more.
		if is, err := vol.log.MomentAt(m.When()); (err != nil || is != m) && v.snapshot == (eventlog.Moment{}) {
			v.table.outdateView(v)
			failed = ErrStale
			return
		}
		failed = fn(r)
	})
	if err != nil {
		return noHistory(err)
	}
	return failed
}

// outdateView has v's name be resolved anew.
func (t *pastTable) outdateView(v *view) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.views[v.key] == v {
		delete(t.views, v.key)
	}
}

func noHistory(err error) error {
	if errors.Is(err, eventlog.ErrNoHistory) {
		return fmt.Errorf("%w: %w", ErrNotExist, err)
	}
	return err
}

// inoOf is the st_ino of a file of the past: the same wherever the file is shown at one moment, and not that of the file now, which
// programs would take it for.
func (v *view) inoOf(vol *Volume, file tree.FileID) uint64 {
	m, err := v.moment(vol)
	if err != nil { // nobody sees the number
		m = eventlog.Moment{}
	}
	b := binary.BigEndian.AppendUint32(file[:len(file):len(file)], m.Era)
	return pastIno(vol, binary.BigEndian.AppendUint64(b, uint64(m.Time)))
}

func pastIno(vol *Volume, of []byte) uint64 {
	h := hmac.New(sha256.New, vol.inoKey[:])
	h.Write([]byte("past"))
	h.Write(vol.id[:])
	h.Write(of)
	var sum [32]byte
	return max(binary.BigEndian.Uint64(h.Sum(sum[:0]))>>1, 16)
}
