package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/backup"
	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/raftstore"
)

// A RecoverRequest says what to bring back from where.
type RecoverRequest struct {
	From    string // the backup's directory
	Words   control.Words
	Name    string // of the identity's directory; "": the one it had
	Partial bool   // what is whole, if the backup is damaged
}

// putBytes is about how much is put into the segments at once.
const putBytes = 4 << 20

// Recover brings an identity back from its recovery phrase and a backup, into a store that no daemon serves and that does not have
// it; a store that is not there is made. The device is a new one, and its feeds are. The keyring is written last: until then nothing
// shows, and what was interrupted is repeated.
func Recover(ctx context.Context, o Options, q RecoverRequest, tell func(control.Progress)) (control.Recovered, error) {
	res, err := recoverIdentity(ctx, o, q, tell)
	return res, explain(explainBackup(err, q.From), o)
}

func recoverIdentity(ctx context.Context, o Options, q RecoverRequest, tell func(control.Progress)) (res control.Recovered, err error) {
	r := &recovery{q: q, tell: tell, d: newDaemon(o)}
	if err := r.openBackup(); err != nil {
		return res, err
	}
	if r.d.st, err = store.Open(o.Home, store.Options{Age: eventlog.FactAge, Logger: r.d.log}); err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, r.d.close()) }()
	if r.d.blocks, err = ipld.OpenSegments(r.d.st, ipld.SegmentOptions{Logger: r.d.log}); err != nil {
		return res, err
	}
	if err := r.newDevice(); err != nil {
		return res, err
	}
	for _, step := range []func(context.Context) error{r.restoreBlocks, r.restoreLogs, r.restoreRecords, r.beginOrder} {
		if err := step(ctx); err != nil {
			return res, err
		}
	}
	if err := errors.Join(ctx.Err(), r.d.st.Sync()); err != nil {
		return res, err
	}
	if err := r.d.saveKeys(r.keys); err != nil {
		return res, err
	}
	r.res.Identity, r.res.AsOf = describe(r.keys), r.from.AsOf()
	r.res.MissingVersions = len(r.from.Lacking())
	return r.res, nil
}

// A recovery is one call of Recover.
type recovery struct {
	q    RecoverRequest
	tell func(control.Progress)
	d    *daemon

	from     *backup.Backup
	keys     *identity.Keyring
	members  *identity.Membership
	logs     map[identity.VolumeID]*eventlog.Log
	clocks   map[*eventlog.Log]*replayClock
	settings settings
	last     eventlog.Index
	res      control.Recovered
}

// A replayClock is the clock of a log that is being filled: it shows when the frames were made, so that history has them at their times,
// and never goes back, nor past the present.
type replayClock struct{ at time.Time }

func (c *replayClock) now() time.Time { return c.at }

// turnClock brings a log's clock to the last event of the frames that it is about to be given.
func (r *recovery) turnClock(l *eventlog.Log, frames [][]byte) error {
	clock, now := r.clocks[l], time.Now()
	for _, raw := range frames {
		f, err := eventlog.ParseFrame(raw)
		if err != nil {
			return err
		}
		es, err := l.Events(f)
		if err != nil {
			continue // its events count for nothing
		}
		for _, e := range es {
			if t := time.Unix(0, e.Time); t.After(clock.at) && t.Before(now) {
				clock.at = t
			}
		}
	}
	return nil
}

// openBackup finds the part of the backup that the words are of.
func (r *recovery) openBackup() error {
	id, err := identity.PhraseIdentity(r.q.Words.Reveal())
	if err != nil {
		return control.Fail(control.Usage, err, "check the words against your paper: 24 of them, in their order")
	}
	r.from, err = backup.Open(vfs.Default, r.q.From, id)
	if errors.Is(err, backup.ErrNoIdentity) {
		return control.Fail(control.NotFound, err, "these are the words of another identity, or this is another backup")
	}
	if err != nil {
		return err
	}
	faults, err := r.from.Sizes()
	for _, f := range faults {
		err = errors.Join(err, r.fault(f))
	}
	return err
}

// fault notes what is wrong with the backup, and fails unless the rest is wanted all the same.
func (r *recovery) fault(f backup.Fault) error {
	if !slices.Contains(r.res.Damaged, f.String()) {
		r.res.Damaged = append(r.res.Damaged, f.String())
	}
	if r.q.Partial {
		return nil
	}
	return control.Fail(control.Damaged, fmt.Errorf("%w: %v", backup.ErrDamaged, f),
		"see all of it: rhizome backup --check "+r.q.From+"; to recover what is whole: --partial")
}

// newDevice draws the keys of this device, and writes the membership log that admits it.
func (r *recovery) newDevice() error {
	id, members := r.from.Identity(), r.from.Members()
	rings, err := identity.LoadKeyrings(r.d.st.FS(), r.d.st.Path(keyringDir))
	if err != nil {
		return err
	}
	name, err := r.name()
	if err != nil {
		return err
	}
	for _, k := range rings {
		if k.ID() == id {
			return control.Fail(control.InUse, fmt.Errorf("the identity is in this store already, as %q", k.Name()),
				"to have it as the backup has it: recover into another store, with --home DIR; nothing was changed")
		}
		if k.Name() == name {
			return control.Fail(control.InUse, fmt.Errorf("there is another identity %q in this store", name), "give this one another name: --name NAME; nothing was changed")
		}
	}
	keys, admitted, err := identity.Recover(rand.Reader, r.q.Words.Reveal(), name, members, time.Now())
	if err != nil {
		return err
	}
	r.keys = keys
	members = append(members, admitted)
	if r.members, err = identity.FoldMembership(members); err != nil {
		return err
	}
	return r.d.saveMembership(id, members...)
}

// name opens the settings, and returns the name that the identity's directory will have.
func (r *recovery) name() (string, error) {
	if err := identity.ValidName(r.q.Name); r.q.Name != "" && err != nil {
		return "", control.Fail(control.Usage, err, "choose another name, of letters and digits for instance")
	}
	secrets, err := identity.RecoverSecrets(r.q.Words.Reveal(), r.from.Members())
	if err != nil {
		return "", err
	}
	r.settings, err = openSettings(secrets, r.from.Settings())
	if err != nil && r.q.Name == "" {
		return "", control.Fail(control.Damaged, fmt.Errorf("the backup's settings: %w", err), "give the identity a name: --name NAME")
	}
	return cmp.Or(r.q.Name, string(r.settings.Name)), nil
}

func (r *recovery) restoreBlocks(ctx context.Context) error {
	var batch []ipld.Block
	size, total := 0, r.from.BlockBytes()
	flush := func() error {
		err := r.d.blocks.Put(batch...)
		r.res.Blocks += int64(len(batch))
		r.res.Bytes += int64(size)
		batch, size = batch[:0], 0
		r.tell(control.Progress{What: "copying blocks", Done: r.res.Bytes, Total: total})
		return err
	}
	err := r.from.Blocks(ctx, r.fault, func(b ipld.Block) error {
		batch = append(batch, b)
		if size += len(b.Data); size < putBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return errors.Join(flush(), r.d.blocks.Sync())
}

func (r *recovery) restoreLogs(ctx context.Context) error {
	r.logs, r.clocks = map[identity.VolumeID]*eventlog.Log{}, map[*eventlog.Log]*replayClock{}
	for _, o := range r.from.Origins() {
		if err := r.restoreOrigin(o); err != nil {
			return err
		}
	}
	blocks, total := r.res.Bytes, r.from.LogBytes()
	err := r.from.RestoreLogs(ctx, r.openLog, r.turnClock, r.fault, func(p backup.Progress) {
		r.res.Frames, r.res.Bytes = p.Frames, blocks+p.Bytes
		r.tell(control.Progress{What: "replaying", Done: p.Bytes, Total: total})
	})
	if err != nil {
		return err
	}
	var volumes []identity.VolumeID
	for v, l := range r.logs {
		i, _ := l.Committed()
		r.last = max(r.last, i)
		volumes = append(volumes, v)
		if len(r.res.Damaged) == 0 {
			if err := fs.ExpireAbsent(l, r.kept); err != nil {
				return err
			}
		}
	}
	if r.res.Volumes = len(volumes); len(r.from.Origins()) > 0 {
		if err := r.gaps(); err != nil {
			return err
		}
	}
	home := r.logs[r.keys.VolumeID("", 0)]
	if home == nil {
		return control.NewError(control.Damaged, "the backup has no home volume", "use another one, if there is one")
	}
	return fs.RememberVolumes(home, volumes)
}

// gaps notes the logs that began with a checkpoint.
func (r *recovery) gaps() error {
	for v, l := range r.logs {
		since, err := logSince(l)
		if err != nil {
			return err
		}
		if since == nil {
			continue
		}
		early, err := l.Early()
		if err != nil {
			return err
		}
		r.res.Gaps = append(r.res.Gaps, control.LogGap{Volume: control.VolumeID(v.String()), Until: *since, Early: early > 0})
	}
	slices.SortFunc(r.res.Gaps, func(a, b control.LogGap) int { return cmp.Compare(a.Volume, b.Volume) })
	return nil
}

// restoreRecords brings back what the device that wrote the backup had noted for itself: snapshots' names, and how long history is kept.
func (r *recovery) restoreRecords(context.Context) error {
	if len(r.settings.Volumes) == 0 {
		return nil
	}
	here := func(root ipld.CID) (bool, error) {
		if slices.Contains(r.from.Lacking(), root) {
			return false, nil
		}
		return r.d.blocks.Has(root)
	}
	for _, v := range r.settings.Volumes {
		l := r.logs[v.Volume]
		if l == nil {
			continue // it was never in any frame
		}
		lost, err := fs.TakeRecords(l, v.Records, here)
		if err != nil {
			return err
		}
		for _, name := range lost {
			r.res.LostSnapshots = append(r.res.LostSnapshots, control.Name(name))
		}
	}
	return nil
}

// kept reports whether the device that wrote the backup kept a content: what it kept is here, or known to be lacking.
func (r *recovery) kept(c ipld.Content) (bool, error) {
	here, err := r.d.blocks.Has(c.Root.CID)
	return here || slices.Contains(r.from.Lacking(), c.Root.CID), err
}

// restoreOrigin begins a log with a checkpoint, and opens it: the frames before it are not in the backup, or not all.
func (r *recovery) restoreOrigin(is backup.Origin) error {
	k, history, err := openOrigin(r.keys.VolumeKeys(is.Volume), is)
	if err == nil {
		err = eventlog.Restore(r.options(is.Volume, nil), r.d.blocks, k, &history)
	}
	if errors.Is(err, eventlog.ErrNotEmpty) { // a recovery that was interrupted came further
		err = nil
	}
	if errors.Is(err, ipld.ErrDamaged) || errors.Is(err, ipld.ErrNotFound) {
		return r.fault(backup.Fault{File: "volume " + is.Volume.String(), What: err.Error()})
	}
	if err != nil {
		return err
	}
	_, err = r.open(is.Volume, k.Until.When())
	return err
}

func (r *recovery) options(v identity.VolumeID, now func() time.Time) eventlog.Options {
	return eventlog.Options{
		Store: r.d.st, Volume: v, Feed: eventlog.Feed{Volume: v, Device: r.keys.Device(), Incarnation: r.keys.Incarnation()},
		Sign: r.keys.Sign, Keys: r.keys.VolumeKeys(v), Member: r.members.Allows, Reducer: tree.New(), Rand: rand.Reader,
		Now: now, Logger: r.d.log,
	}
}

func (r *recovery) openLog(v identity.VolumeID) (*eventlog.Log, error) {
	if l := r.logs[v]; l != nil {
		return l, nil
	}
	return r.open(v, time.Unix(0, 0))
}

// open opens a log whose clock shows a time.
func (r *recovery) open(v identity.VolumeID, at time.Time) (*eventlog.Log, error) {
	clock := &replayClock{at: at}
	l, err := eventlog.Open(r.options(v, clock.now))
	if err == nil {
		r.logs[v], r.clocks[l] = l, clock
	}
	return l, err
}

// beginOrder has this device's order go on behind the lost one.
func (r *recovery) beginOrder(context.Context) error {
	return raftstore.Begin(r.d.st, r.keys.ID(), serverID(r.keys), r.last)
}

// CheckBackup reads a whole backup, and tells what is not as it was written. It needs no keys.
func CheckBackup(ctx context.Context, dir string, tell func(control.Progress)) (control.BackupCheck, error) {
	check := control.BackupCheck{Dir: control.Name(dir), Faults: []string{}}
	parts, err := backup.OpenAll(vfs.Default, dir, func(f backup.Fault) { check.Faults = append(check.Faults, f.String()) })
	if err != nil {
		return check, explainBackup(err, dir)
	}
	if check.Parts = len(parts); check.Parts == 0 && len(check.Faults) == 0 {
		return check, control.NewError(control.NotFound, "no backup to "+dir+" has come to its end yet", "make one: rhizome backup "+dir)
	}
	for _, b := range parts {
		before := check.Bytes
		faults, err := b.Check(ctx, func(p backup.Progress) {
			check.Bytes = before + p.Bytes
			tell(control.Progress{What: "checking", Done: p.Bytes, Total: p.Total})
		})
		if err != nil {
			return check, err
		}
		id := b.Identity()
		for _, f := range faults {
			check.Faults = append(check.Faults, fmt.Sprintf("%x/%v", id[:8], f))
		}
	}
	if len(check.Faults) > 0 {
		err = control.NewError(control.Damaged, "the backup is damaged: "+strings.Join(check.Faults[:min(3, len(check.Faults))], "; "),
			"while the store is whole, write it anew: rhizome backup --repair "+dir)
	}
	return check, err
}
