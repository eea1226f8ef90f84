package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/raftstore"
)

// VerifyOptions say how a store is verified that no daemon serves. Home must be set.
type VerifyOptions struct {
	Home     string
	Deep     bool                    // open every leaf, and replay the log
	Repair   bool                    // mend what can be mended
	From     string                  // with Repair: another store, a backup, or any directory of CAR files
	Progress func(done, total int64) // bytes; called often, from one goroutine
	Logger   *slog.Logger
}

// Verify checks a store that no daemon serves, and changes nothing in it unless it is to repair it. Its errors carry a control.Code;
// that something is damaged is none.
func Verify(ctx context.Context, o VerifyOptions) (control.VerifyReport, error) {
	o.Deep = o.Deep || o.Repair
	if _, err := os.Stat(o.Home); errors.Is(err, os.ErrNotExist) {
		return control.VerifyReport{}, control.Fail(control.NotFound, fmt.Errorf("there is no store at %s", o.Home), "")
	}
	v := newVerifier(ctx, o.Home, vfs.Default, o.Deep, o.Progress, o.Logger)
	if err := v.atRest(); err != nil {
		return control.VerifyReport{}, explain(err, Options{Home: o.Home})
	}
	if !o.Repair || v.r.Damaged() == 0 {
		return v.answer(), nil
	}
	a, err := v.repaired(o)
	return a, explain(err, Options{Home: o.Home})
}

// A verifier checks one store, as it is at one moment.
type verifier struct {
	ctx  context.Context
	home string
	fs   vfs.FS
	deep bool
	r    *report.Report
	log  *slog.Logger

	st       *store.Store
	db       pebble.Reader  // nil: the database can't be opened
	blocks   *ipld.Segments // nil: they can't be opened
	contents *ipld.ContentCheck
	rings    []*identity.Keyring
	mounted  bool
	bytes    int64

	tables bool             // one of the database's is damaged
	lost   []store.KeyRange // what a salvage could not bring back

	// For who repairs; else nil.
	wanted map[ipld.CID]struct{}           // blocks that are damaged or missing
	frames map[eventlog.FrameHash]struct{} // and frames
	fix    func(key, val []byte) error
	anew   bool        // marks of a log were made anew
	orders []lostOrder // that must be begun anew
}

// A lostOrder is the order of an identity that is damaged, and of which this device is the only voter.
type lostOrder struct {
	keys *identity.Keyring
	last eventlog.Index // that its logs have
}

func newVerifier(ctx context.Context, home string, disk vfs.FS, deep bool, progress func(done, total int64), log *slog.Logger) *verifier {
	v := &verifier{ctx: ctx, home: home, fs: disk, deep: deep, log: log}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	total := v.size()
	v.r = report.New(ctx, func(bytes int64) error {
		if v.bytes += bytes; progress != nil {
			progress(v.bytes, max(total, v.bytes))
		}
		return nil
	})
	return v
}

// size is about how much there is to read.
func (v *verifier) size() (bytes int64) {
	for _, dir := range []string{"wal", "db", "segments", "spill"} {
		n, err := storeSize(filepath.Join(v.home, dir))
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			v.log.Debug("verify", "err", err)
		}
		if dir == "segments" && v.deep {
			n *= 2
		}
		bytes += n
	}
	return bytes
}

// atRest checks a store that nobody serves: first the files as they are, then what a start would make of them.
func (v *verifier) atRest() (err error) {
	v.st, err = store.Look(v.home, store.Options{FS: v.fs, Logger: v.log})
	if code := control.CodeOf(explain(err, Options{Home: v.home})); err != nil && code != control.Damaged {
		return err
	}
	if err != nil {
		v.r.Bad(report.Home, v.home, report.Rebuild, "%v", err)
	} else {
		defer func() { err = errors.Join(err, v.st.Close()) }()
		v.db = v.st.DB()
	}
	if err := store.VerifyFiles(v.fs, v.home, v.r); err != nil {
		return err
	}
	if v.st == nil {
		return errors.Join(v.segments(), v.identities())
	}
	if err := v.segments(); err != nil {
		return err
	}
	if v.blocks, err = ipld.OpenSegments(v.st, ipld.SegmentOptions{Logger: v.log}); err != nil {
		v.r.Note(report.Link, v.home, "links can't be followed: %v", err)
	} else {
		defer func() { err = errors.Join(v.blocks.Close(), err) }()
		v.contents = ipld.NewContentCheck(v.blocks, v.deep, v.r)
		v.contents.Wanted = v.wanted
	}
	return v.identities()
}

// identities checks keys, memberships, and what is an identity's.
func (v *verifier) identities() error {
	var err error
	if v.rings, err = identity.VerifyKeyrings(v.fs, v.fs.PathJoin(v.home, keyringDir), v.r); err != nil {
		return err
	}
	if v.db == nil {
		return nil
	}
	members := map[identity.DeviceID]*identity.Membership{}
	for _, k := range v.rings {
		m, err := identity.VerifyMembership(k, func(fn func(number, entry []byte) error) error {
			return eachEntryOf(v.db, k.ID(), fn)
		}, v.r)
		if err != nil {
			return v.unreadable(report.Membership, k.Name(), err)
		}
		if m != nil && v.fix != nil && m.Len() == 1 {
			if err := v.mendMembers(k); err != nil {
				return err
			}
		}
		members[k.Device()] = m
	}
	vols, err := eventlog.VolumesOf(v.db)
	if err != nil {
		return v.unreadable(report.Frame, v.home, err)
	}
	applied := map[identity.DeviceID]eventlog.Index{}
	for _, id := range vols {
		look := eventlog.Look{DB: v.db, Volume: id, Name: v.nameOf(id), Reducer: tree.New(), Report: v.r, Fix: v.fix, Frames: v.frames}
		if v.blocks != nil {
			look.Blocks = v.blocks
		}
		look.Anew = func() { v.anew = true }
		look.Forget = v.loses(look.Facts())
		if d, ok := look.Device(); ok && members[d] != nil {
			look.Member = members[d].Allows
			applied[d] = max(applied[d], look.Index())
			for _, k := range v.rings {
				if k.Device() == d {
					look.Keys = k.VolumeKeys(id)
					look.Feed = eventlog.Feed{Volume: id, Device: d, Incarnation: k.Incarnation()}
				}
			}
		}
		if err := v.volume(look); err != nil {
			return err
		}
	}
	for _, k := range v.rings {
		m := members[k.Device()]
		alone := m != nil && len(m.Members()) == 1
		if err := errors.Join(v.missing(k, vols), v.order(k, applied[k.Device()], alone)); err != nil {
			return err
		}
	}
	return nil
}

// missing looks for logs of an identity's volumes of which there is no record: a start would begin them anew, as if they had never been.
func (v *verifier) missing(k *identity.Keyring, vols []identity.VolumeID) error {
	home := k.VolumeID("", 0)
	want, err := fs.EverOpened(eventlog.Look{DB: v.db, Volume: home})
	if err != nil {
		return v.unreadable(report.Order, k.Name(), err)
	}
	begun, err := raftstore.Begun(v.db, k.ID())
	if err != nil {
		return v.unreadable(report.Raft, k.Name(), err)
	}
	blocks := v.r.Counts()[report.Block] > 0 && len(vols) == 0
	if begun || len(want) > 0 || blocks { // else the identity has only just been made
		want = append(want, home)
	}
	for _, id := range want {
		if !slices.Contains(vols, id) {
			v.r.Bad(report.Order, v.nameOf(id), report.Nothing, "there is no log of the volume; a backup may have it: see rhizome recover")
		}
	}
	return nil
}

// unreadable forgives an error of a damaged table, which is told of already.
func (v *verifier) unreadable(k report.Kind, where string, err error) error {
	if !damagedDB(err) {
		return err
	}
	v.r.Bad(k, where, report.Rebuild, "it can't be read: %v", err)
	return nil
}

// volume checks one volume's log and what comes of it.
func (v *verifier) volume(look eventlog.Look) error {
	if err := look.Verify(); err != nil {
		return v.unreadable(report.Frame, look.Name, err)
	}
	vol := fs.VolumeLook{Look: look, FS: v.fs, Home: v.home, Contents: v.contents, AtRest: !v.mounted, Boot: bootID()}
	if err := vol.Verify(v.ctx); err != nil {
		return v.unreadable(report.State, look.Name, err)
	}
	if err := v.checkpoints(look); err != nil {
		return err
	}
	if v.deep && look.Keys != nil {
		err := v.st.Scratch(func(db *pebble.DB) error { return look.Replay(db) })
		if err != nil {
			return v.unreadable(report.State, look.Name, err)
		}
	}
	return nil
}

// order checks the order of an identity, of which its logs have what is up to applied. alone: it has one device.
func (v *verifier) order(k *identity.Keyring, applied eventlog.Index, alone bool) error {
	renew, err := raftstore.Verify(v.db, k.ID(), k.Name(), uint64(applied), alone, checkEntry, v.r)
	if err != nil {
		return v.unreadable(report.Raft, k.Name(), err)
	}
	if renew && v.fix != nil {
		v.orders = append(v.orders, lostOrder{k, applied})
	}
	return nil
}

// loses reports whether a salvage may have lost records with keys from low on and below high.
func (v *verifier) loses(low, high []byte) bool {
	return slices.ContainsFunc(v.lost, func(r store.KeyRange) bool {
		return (len(r.To) == 0 || bytes.Compare(r.To, low) >= 0) && bytes.Compare(r.From, high) < 0
	})
}

// nameOf is a volume's name for people.
func (v *verifier) nameOf(id identity.VolumeID) string {
	for _, k := range v.rings {
		if k.VolumeID("", 0) == id {
			return k.Name()
		}
	}
	return "volume " + id.String()
}

// segments checks blocks and index.
func (v *verifier) segments() error {
	err := ipld.VerifySegments(v.fs, v.home, v.db, !v.mounted, v.wanted, v.r)
	if v.db != nil && damagedDB(err) { // the table is named already
		return ipld.VerifySegments(v.fs, v.home, nil, !v.mounted, v.wanted, v.r)
	}
	return err
}

// damagedDB reports whether an error is of a table that can't be read.
func damagedDB(err error) bool {
	return err != nil && (pebble.IsCorruptionError(err) || errors.Is(err, store.ErrDamaged) || errors.Is(err, iofs.ErrNotExist))
}

// answer is the report as it crosses the socket.
func (v *verifier) answer() control.VerifyReport {
	findings, more := v.r.Findings()
	a := control.VerifyReport{
		Clean: v.r.Damaged() == 0, Deep: v.deep, Mounted: v.mounted, Bytes: v.bytes,
		Checked: map[string]int64{}, Findings: []control.VerifyFinding{},
	}
	for k, n := range v.r.Counts() {
		a.Checked[string(k)] = n
	}
	for k, n := range more {
		if a.More == nil {
			a.More = map[string]int64{}
		}
		a.More[string(k)] = n
	}
	for _, f := range findings {
		a.Findings = append(a.Findings, wire(f))
	}
	return a
}

// wire is a finding as it crosses the socket.
func wire(f report.Finding) control.VerifyFinding {
	return control.VerifyFinding{
		Kind: string(f.Kind), Where: control.Name(f.Where), What: f.What, Note: f.Note,
		Reparable: f.Mend != report.Nothing, By: string(f.Mend), Done: f.Done,
	}
}
