package fs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/internal/when"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A Snapshot is a volume's tree as it was at a moment, under a name.
type Snapshot struct {
	Name      string
	Time      time.Time // when it was asked for
	Moment    eventlog.Moment
	Index     eventlog.Index // the last place of the order that it has
	OrderHash [32]byte
	Tentative bool      // it has events that the order does not have
	Root      ipld.Link // of its blocks, see package snapshot
	Files     uint64    // names in it, of directories too
	Bytes     uint64    // of the files

	Added ipld.Added    // what making it added to the store; only CreateSnapshot says it, and
	Took  time.Duration // how long that took, without waiting for the order
}

// snapshotRecord stands behind localSnapshot and the name.
type snapshotRecord struct {
	_         struct{} `cbor:",toarray"`
	Version   uint64
	Time      int64
	Moment    momentRecord
	Index     uint64
	OrderHash [32]byte
	Tentative bool
	Root      ipld.Link
	Files     uint64
	Bytes     uint64
}

type momentRecord struct {
	_    struct{} `cbor:",toarray"`
	Era  uint32
	Time int64
}

func (m momentRecord) moment() eventlog.Moment { return eventlog.Moment{Era: m.Era, Time: m.Time} }

const snapshotVersion = 1

func snapshotKey(name string) []byte { return append([]byte{localSnapshot}, name...) }

func (s Snapshot) encode() []byte {
	return dagcbor.Encode(&snapshotRecord{
		Version: snapshotVersion, Time: s.Time.UnixNano(), Moment: momentRecord{Era: s.Moment.Era, Time: s.Moment.Time},
		Index: uint64(s.Index), OrderHash: s.OrderHash, Tentative: s.Tentative, Root: s.Root, Files: s.Files, Bytes: s.Bytes,
	})
}

func decodeSnapshot(name string, b []byte) (Snapshot, error) {
	var r snapshotRecord
	err := dagcbor.DecodeTrusted(b, &r)
	if err == nil && r.Version != snapshotVersion {
		err = fmt.Errorf("of version %d", r.Version)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("record of snapshot %q: %w", name, err)
	}
	return Snapshot{
		Name: name, Time: time.Unix(0, r.Time), Moment: r.Moment.moment(), Index: eventlog.Index(r.Index), OrderHash: r.OrderHash,
		Tentative: r.Tentative, Root: r.Root, Files: r.Files, Bytes: r.Bytes,
	}, nil
}

// maxSnapshotName is how many bytes a snapshot's name has at most.
const maxSnapshotName = 128

// checkSnapshotName refuses names that could not be told from a time in .at, or that are no names of a directory.
func checkSnapshotName(name string) error {
	_, err := when.Parse(name, time.Time{})
	bad := func(r rune) bool { return unicode.IsControl(r) || r == '/' }
	switch {
	case err == nil:
		return fmt.Errorf("snapshot %q: that is a time: %w", name, ErrInvalid)
	case len(name) > maxSnapshotName:
		return fmt.Errorf("snapshot %.20q...: %w", name, ErrNameTooLong)
	case !tree.ValidName([]byte(name)), !utf8.ValidString(name), strings.ContainsFunc(name, bad), strings.HasPrefix(name, "-"):
		return fmt.Errorf("snapshot %q: no name for a snapshot: %w", name, ErrInvalid)
	}
	return nil
}

// Snapshots lists a volume's snapshots, the oldest first.
func (f *FS) Snapshots(vol identity.VolumeID) ([]Snapshot, error) {
	v, ok := f.volume(vol)
	if !ok {
		return nil, fmt.Errorf("volume %v: %w", vol, ErrNotExist)
	}
	return v.snapshots()
}

func (v *Volume) snapshots() (list []Snapshot, err error) {
	e := v.log.Local(func(r eventlog.Reader) {
		r.Scan([]byte{localSnapshot}, nil, func(k, b []byte) bool {
			var s Snapshot
			s, err = decodeSnapshot(string(k[1:]), b)
			list = append(list, s)
			return err == nil
		})
	})
	if err = errors.Join(err, e); err != nil {
		return nil, fmt.Errorf("snapshots of volume %v: %w", v.id, err)
	}
	slices.SortFunc(list, func(a, b Snapshot) int {
		return cmp.Or(a.Moment.Compare(b.Moment), a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// snapshot finds a snapshot by its name.
func (v *Volume) snapshot(name string) (s Snapshot, ok bool, err error) {
	e := v.log.Local(func(r eventlog.Reader) {
		var b []byte
		if b, ok = r.Get(snapshotKey(name)); ok {
			s, err = decodeSnapshot(name, b)
		}
	})
	return s, ok, errors.Join(err, e)
}

// DeleteSnapshot forgets a snapshot. What only it kept goes with the next Collect. The error is ErrNotExist if there is none.
func (f *FS) DeleteSnapshot(vol identity.VolumeID, name string) error {
	v, ok := f.volume(vol)
	if !ok {
		return fmt.Errorf("volume %v: %w", vol, ErrNotExist)
	}
	last := false
	_, err := v.log.Update(func(tx *eventlog.Tx) error {
		if _, ok := tx.GetLocal(snapshotKey(name)); !ok {
			return fmt.Errorf("snapshot %q: %w", name, ErrNotExist)
		}
		tx.DeleteLocal(snapshotKey(name))
		last = true
		tx.ScanLocal([]byte{localSnapshot}, nil, func([]byte, []byte) bool {
			last = false
			return false
		})
		return nil
	})
	if err != nil {
		return err
	}
	if last && v.building.TryLock() { // else another one is being made
		err = v.forgetBuilt()
		v.building.Unlock()
	}
	f.SnapshotsChanged(vol, name)
	return errors.Join(err, f.st.Sync())
}

// snapshotNames tells .at which names are snapshots.
type snapshotNames struct{ f *FS }

// Moment implements Snapshots.
func (n snapshotNames) Moment(vol identity.VolumeID, name string) (eventlog.Moment, bool, error) {
	v, ok := n.f.volume(vol)
	if !ok {
		return eventlog.Moment{}, false, nil
	}
	s, ok, err := v.snapshot(name)
	return s.Moment, ok, err
}

// Names implements Snapshots.
func (n snapshotNames) Names(vol identity.VolumeID) ([]string, error) {
	list, err := n.f.Snapshots(vol)
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name
	}
	return names, err
}

// pins are the moments of which all is kept: those of snapshots, of one that is being made too.
func (v *Volume) pins() (pins []eventlog.Moment, err error) {
	if m := v.making.Load(); m != nil {
		if is, ok := m.pinned(); ok {
			pins = append(pins, is)
		}
	}
	list, err := v.snapshots()
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		pins = append(pins, s.Moment)
	}
	if b, ok := v.built(); ok {
		pins = append(pins, b.Moment.moment())
	}
	return pins, nil
}

// snapshotRoots calls fn for the root of each snapshot, and of the one that the next is made from.
func (v *Volume) snapshotRoots(fn func(ipld.CID) error) error {
	list, err := v.snapshots()
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := fn(s.Root.CID); err != nil {
			return err
		}
	}
	if b, ok := v.built(); ok {
		return fn(b.Root.CID)
	}
	return nil
}

// keepSnapshot writes the records of a new snapshot, on disk.
func (v *Volume) keepSnapshot(s Snapshot, mark eventlog.Mark) error {
	return v.updateTo(store.OnDisk, func(t *txn) error {
		if _, ok := t.GetLocal(snapshotKey(s.Name)); ok {
			return fmt.Errorf("snapshot %q: %w", s.Name, ErrExist)
		}
		t.SetLocal(snapshotKey(s.Name), s.encode())
		t.SetLocal([]byte{localBuilt}, dagcbor.Encode(&builtRecord{
			Moment: momentRecord{Era: s.Moment.Era, Time: s.Moment.Time}, Mark: mark, Root: s.Root,
		}))
		return nil
	})
}

// CreateSnapshot makes a snapshot of a volume as it is now, and waits for at most settle for the order to have all of it: if it has not by then,
// the snapshot is tentative. It waits for what was closed before to be sealed. Programs go on meanwhile, and it gives way to them. The snapshot is on
// disk when CreateSnapshot returns. progress may be nil; it is told the names that were read. Errors: ErrExist, ErrInvalid, ErrNameTooLong, ErrNotExist, ErrNoSpace.
func (f *FS) CreateSnapshot(ctx context.Context, vol identity.VolumeID, name string, settle time.Duration, progress func(names uint64)) (Snapshot, error) {
	if err := checkSnapshotName(name); err != nil {
		return Snapshot{}, err
	}
	v, ok := f.volume(vol)
	if !ok {
		return Snapshot{}, fmt.Errorf("volume %v: %w", vol, ErrNotExist)
	}
	if _, ok, err := v.snapshot(name); err != nil || ok {
		return Snapshot{}, cmp.Or(err, fmt.Errorf("snapshot %q: %w", name, ErrExist))
	}
	v.building.Lock()
	defer v.building.Unlock()
	v.settle(ctx, settle)
	start := time.Now()
	s, err := v.makeSnapshot(ctx, name, progress)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %q: %w", name, err)
	}
	s.Took = time.Since(start)
	f.SnapshotsChanged(vol, name)
	return s, nil
}
