package fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Retired is what retention did away with in a volume, or would.
type Retired struct {
	Versions int              // of files: their bytes are not kept any more
	Bytes    int64            // their sizes; what they shared with what is kept stays
	History  eventlog.Thinned // of names, attributes and inodes
}

func (r *Retired) add(o Retired) {
	r.Versions += o.Versions
	r.Bytes += o.Bytes
	r.History.Facts += o.History.Facts
	r.History.Bytes += o.History.Bytes
}

const (
	// expireChunk is how many versions expire in one change.
	expireChunk = 256
	// expireAtOnce is about how many versions are looked at at once, some 40 bytes each; if there are more, they are in parts.
	expireAtOnce = 1 << 18
	// slack is by how much the clock of a version's author and that of moments may differ for a pinned moment.
	slack = 2 * time.Second
)

// Retire drops what retention keeps no longer, of all volumes; what lies before floor too, whatever retention says (the zero Time: nothing).
// The blocks go with the next Collect. pause is called between parts of the work, without a lock; its error ends it. If dry, nothing changes.
func (f *FS) Retire(floor time.Time, dry bool, pause func() error) (Retired, error) {
	var all Retired
	for _, v := range f.allVolumes() {
		r, err := v.retire(floor, dry, pause)
		all.add(r)
		if err != nil {
			return all, fmt.Errorf("retention of volume %v: %w", v.id, err)
		}
	}
	return all, nil
}

func (v *Volume) retire(floor time.Time, dry bool, pause func() error) (r Retired, err error) {
	keep, err := v.retention()
	if err != nil {
		return r, err
	}
	pins, err := v.pins()
	if err != nil {
		return r, err
	}
	now := v.fs.now()
	history, versions := eventlog.GridOf(now, keep.ages()...), eventlog.GridOf(now, keep.versionAges()...)
	if !floor.IsZero() {
		none := eventlog.Grid{{Before: floor.UnixNano()}}
		history, versions = history.With(none), versions.With(none)
	}
	if r.History, err = v.log.Thin(history, pins, dry, pause); err != nil {
		return r, err
	}
	e := &expiry{v: v, grid: versions, pins: pins, dry: dry, most: expireAtOnce, pause: pause}
	err = e.run()
	r.Versions, r.Bytes = e.versions, e.bytes
	return r, err
}

// An expiry has versions expire that are not shown and not kept.
type expiry struct {
	v     *Volume
	grid  eventlog.Grid
	pins  []eventlog.Moment
	dry   bool
	most  int // about how many versions are in memory at once
	pause func() error

	part     versionPart // that is looked at
	versions int
	bytes    int64
}

func (e *expiry) run() error {
	back, err := e.v.mayComeBack()
	if err != nil {
		return err
	}
	for e.part = (versionPart{of: 1}); e.part.n < e.part.of; e.part.n++ {
		until, err := e.candidates(back)
		if err == nil {
			err = e.expire(until)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A versionPart is the versions whose ids end in a number, modulo a power of two.
type versionPart struct{ n, of uint64 }

func (p versionPart) has(id tree.VersionID) bool {
	return binary.BigEndian.Uint64(id[8:])&(p.of-1) == p.n
}

// maxParts bounds into how many parts a pass is split: each is a walk over all versions.
const maxParts = 1 << 10

// candidates returns the versions of a part that may expire, and until when each was shown. The first part is made small enough for that.
func (e *expiry) candidates(back map[tree.VersionID]bool) (map[tree.VersionID]int64, error) {
	until := map[tree.VersionID]int64{}
	err := e.v.log.Snapshot(func(r eventlog.Reader) {
		tree.Past(r, func(id tree.VersionID, t int64) {
			if !e.part.has(id) {
				return
			}
			if is, ok := until[id]; !ok || t > is {
				until[id] = t
			}
			for e.part.n == 0 && len(until) > e.most && e.part.of < maxParts {
				e.part.of *= 2
				maps.DeleteFunc(until, func(id tree.VersionID, _ int64) bool { return !e.part.has(id) })
			}
		})
		tree.LivingHeads(r, func(h tree.Head) bool {
			delete(until, h.ID)
			return true
		})
		if len(back) > 0 && e.part.n == 0 {
			tree.Outlived(r, back)
		}
	})
	if err != nil {
		return nil, err
	}
	for id := range back {
		delete(until, id)
	}
	return until, e.v.eachExpired(func(id tree.VersionID) { delete(until, id) })
}

// expire has those expire that may.
func (e *expiry) expire(until map[tree.VersionID]int64) error {
	var doomed []tree.VersionID
	looked := 0
	for id, t := range until {
		if looked++; looked%expireChunk == 0 {
			if err := e.pause(); err != nil {
				return err
			}
		}
		if ok, err := e.mayGo(id, t); err != nil {
			return err
		} else if ok {
			doomed = append(doomed, id)
		}
		if len(doomed) == expireChunk {
			if err := e.drop(doomed); err != nil {
				return err
			}
			doomed = doomed[:0]
		}
	}
	return e.drop(doomed)
}

// mayComeBack are the versions that were heads before a tentative or unframed event: in another order they may be again.
func (v *Volume) mayComeBack() (map[tree.VersionID]bool, error) {
	back := map[tree.VersionID]bool{}
	err := v.log.BeforeImages(func(key, val []byte) error {
		tree.RecordHeads(key, val, func(id tree.VersionID) { back[id] = true })
		return nil
	})
	return back, err
}

// mayGo reports whether a version that was shown until a time is not kept. What stands in its event takes no blocks, and stays.
func (e *expiry) mayGo(id tree.VersionID, until int64) (bool, error) {
	var ver tree.Version
	var ok bool
	if err := e.v.log.Snapshot(func(r eventlog.Reader) { ver, ok = tree.GetVersion(r, id) }); err != nil {
		return false, err
	}
	if !ok || ver.Pending || ver.Content.Root.CID.IsZero() {
		return false, nil
	}
	// If a clock was set back in between, all that it showed counts.
	from, to := min(ver.Time, until), max(ver.Time, until)
	if from != ver.Time {
		to++
	}
	if e.grid.Keeps(from, to) {
		return false, nil
	}
	pinned := slices.ContainsFunc(e.pins, func(m eventlog.Moment) bool {
		return m.Time >= from-int64(slack) && m.Time <= to+int64(slack)
	})
	if pinned {
		return false, nil
	}
	e.versions++
	e.bytes += ver.Size
	return true, nil
}

func (e *expiry) drop(ids []tree.VersionID) error {
	if len(ids) > 0 && !e.dry {
		err := e.v.update(func(t *txn) error {
			for _, id := range ids {
				t.SetLocal(localKey(localExpired, id), []byte{})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return e.pause()
}

// expired lists the versions whose bytes are not kept any more.
func (v *Volume) expired() (map[tree.VersionID]bool, error) {
	gone := map[tree.VersionID]bool{}
	return gone, v.eachExpired(func(id tree.VersionID) { gone[id] = true })
}

func (v *Volume) eachExpired(fn func(tree.VersionID)) error {
	return v.log.Local(func(r eventlog.Reader) {
		r.Scan([]byte{localExpired}, nil, func(k, _ []byte) bool {
			if len(k) == 17 {
				fn(tree.VersionID(k[1:]))
			}
			return true
		})
	})
}

// hasExpired reports whether a version's bytes are not kept any more.
func (v *Volume) hasExpired(id tree.VersionID) (gone bool, err error) {
	err = v.log.Local(func(r eventlog.Reader) { _, gone = r.Get(localKey(localExpired, id)) })
	return gone, err
}

// errExpired says that a version's bytes are not kept any more.
var errExpired = errors.New("is older than what is kept")

// keptContent calls fn for the contents that must stay: of all versions that have not expired, and of those that have and are heads again.
func (v *Volume) keptContent(r eventlog.Reader, gone map[tree.VersionID]bool, fn func(ipld.Content) error) error {
	err := tree.Reachable(r, func(ver tree.Version) error {
		if gone[ver.ID] {
			return nil
		}
		return fn(ver.Content)
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	tree.LivingHeads(r, func(h tree.Head) bool {
		if !gone[h.ID] {
			return true
		}
		if ver, ok := tree.GetVersion(r, h.ID); ok && !ver.Content.Root.CID.IsZero() {
			err = fn(ver.Content)
		}
		return err == nil
	})
	return err
}
