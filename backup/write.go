package backup

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A Source is what is copied of one identity.
type Source struct {
	Identity identity.IdentityID
	Members  [][]byte        // the membership log
	Logs     []*eventlog.Log // of all its volumes. What is in no frame is not copied
	Blocks   BlockSource
	Roots    []ipld.CID // of DAGs that are copied besides what the frames need
	AsOf     time.Time  // all that happened before it is in the logs' frames
	Settings []byte     // what a device that is recovered should know, sealed
	Device   identity.DeviceID
	Sign     func(msg []byte) [64]byte // with the device's key
	// Missed is told the roots of contents that could not be read as a whole, and returns those that should have been: the others
	// are of versions that are not kept any more. It is called once, if there are any, when all else is copied.
	Missed func(roots map[ipld.CID]struct{}) ([]ipld.CID, error)
	// Sizes calls fn for the blocks that there are, without reading them; nil if nobody asks how much there is to do.
	Sizes func(fn func(c ipld.CID, size int) error) error
	// Origin is asked for a checkpoint of a log which lacks frames that the packs don't have either, and that has all behind the checkpoint,
	// whose blocks must stay until Write returns. Contents calls fn for the roots of the contents that the volume of such a log keeps.
	Origin   func(l *eventlog.Log) (Origin, error)
	Contents func(l *eventlog.Log, fn func(root ipld.CID) error) error
}

// A BlockSource has blocks: see ipld.Store.
type BlockSource interface {
	Get(ipld.CID) (ipld.Block, error)
}

// Progress is how far a run has come.
type Progress struct {
	Step   Step
	Frames int64 // copied by this run
	Blocks int64
	Bytes  int64 // written or read
	Total  int64 // about how many they will be in all; 0: not known
}

// A Step is what a run is at.
type Step string

// The steps.
const (
	Copying  Step = "copying"
	Checking Step = "checking"
)

// A Result says what a run has done.
type Result struct {
	Progress
	AsOf    time.Time
	Before  time.Time  // as of when the backup was before; zero: this is the first run
	Lacking []ipld.CID // roots of contents that are not in the backup as a whole, though they should be
	Faults  []Fault    // what Mend has found
}

// Write brings an identity's part of the backup in dir up to date, and makes both if they are not there. tell is called now and
// then. On return what it says is on disk. Errors: ErrBusy, ErrNotBackup, ErrVersion, ErrDamaged (the part is not what was written: nothing is
// added to it), ErrOther, ctx's, and the disk's. After an error the backup is what it was.
func Write(ctx context.Context, fs vfs.FS, dir string, src Source, tell func(Progress)) (Result, error) {
	return explained(dir)(writePart(ctx, fs, dir, src, tell, nil))
}

func explained(dir string) func(Result, error) (Result, error) {
	return func(res Result, err error) (Result, error) {
		if err != nil {
			return Result{}, fmt.Errorf("back up to %s: %w", dir, err)
		}
		return res, nil
	}
}

func writePart(ctx context.Context, fs vfs.FS, dir string, src Source, tell func(Progress), mend *mending) (res Result, err error) {
	part := fs.PathJoin(dir, partName(src.Identity))
	err = prepare(fs, dir)
	if mend != nil && errors.Is(err, ErrNotBackup) {
		err = renewFormat(fs, dir, part)
	}
	if err != nil {
		return Result{}, err
	}
	if err := makeDir(fs, part); err != nil {
		return Result{}, err
	}
	lock, err := fs.Lock(fs.PathJoin(part, lockFile))
	if err != nil {
		if errno, ok := errors.AsType[syscall.Errno](err); !ok || errno == syscall.EAGAIN {
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return Result{}, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	r := &run{ctx: ctx, fs: fs, dir: part, src: src, tell: tell, last: time.Now(), mend: mend}
	if err := r.begin(); err != nil {
		return Result{}, err
	}
	if err := r.estimate(); err != nil {
		return Result{}, err
	}
	if err := r.copyAll(); err != nil {
		r.cleanUp()
		return Result{}, err
	}
	return r.res, nil
}

// A run is one call of Write.
type run struct {
	ctx  context.Context
	fs   vfs.FS
	dir  string
	src  Source
	tell func(Progress)
	last time.Time // when something was told
	mend *mending  // nil: the part should be whole

	old, next *manifest
	have      map[blockName]struct{} // blocks that are in packs, or on their way there
	twice     map[blockName]struct{} // those that are there a second time
	log       *packFile
	blocks    *blockPack
	buf       []byte
	lacking   map[ipld.CID]struct{}
	res       Result
}

// A blockName is the beginning of a block's digest.
type blockName [16]byte

func nameOf(c ipld.CID) blockName {
	d := c.Digest()
	return blockName(d[:16])
}

// begin reads what the part has, checks that it can be added to, and removes what an interrupted run left.
func (r *run) begin() error {
	if err := r.loadOld(); err != nil {
		return err
	}
	if err := r.checkOrder(); err != nil {
		return err
	}
	if err := r.checkPacks(); err != nil {
		return err
	}
	r.have, r.twice, r.lacking = map[blockName]struct{}{}, map[blockName]struct{}{}, map[ipld.CID]struct{}{}
	for _, p := range r.old.Packs {
		if err := r.loadIndex(p); err != nil {
			return err
		}
	}
	r.res.Step, r.res.AsOf = Copying, r.src.AsOf
	if r.old.Time != 0 {
		r.res.Before = r.old.time()
	}
	r.next = &manifest{
		Identity: r.src.Identity, Time: r.src.AsOf.UnixNano(), Members: r.src.Members, Settings: r.src.Settings,
		Next: r.old.Next, Packs: slices.Clone(r.old.Packs),
	}
	return nil
}

// checkPacks makes sure that what the manifest names is there, and is all that is there; who mends makes the manifest say so.
func (r *run) checkPacks() error {
	if r.mend != nil {
		return r.examine()
	}
	if err := checkSizes(r.fs, r.dir, r.old); err != nil {
		return err
	}
	return r.removeStrays(r.old)
}

// loadOld reads the manifest. A first run writes one that names nothing, so that packs without a manifest always mean that the manifest
// was lost: then nothing is touched.
func (r *run) loadOld() (err error) {
	r.old, err = loadManifest(r.fs, r.dir)
	if err == nil && r.old.Identity != r.src.Identity {
		err = fmt.Errorf("%w: it is of identity %v", ErrOther, r.old.Identity)
	}
	if r.mend != nil && errors.Is(err, ErrDamaged) {
		r.old, err = r.begunAnew(err)
	}
	if !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	names, err := r.fs.List(r.dir)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(names, isPack) {
		err = fmt.Errorf("%w: its manifest is missing", ErrDamaged)
		if r.mend != nil {
			r.old, err = r.begunAnew(err)
		}
		return err
	}
	r.old = &manifest{Identity: r.src.Identity, Members: r.src.Members, Next: 1}
	return r.old.save(r.fs, r.dir, r.src.Device, r.src.Sign)
}

// checkOrder makes sure that the store's logs are those that the part has the beginnings of.
func (r *run) checkOrder() error {
	if len(r.old.Members) > len(r.src.Members) || !slices.EqualFunc(r.old.Members, r.src.Members[:len(r.old.Members)],
		func(a, b []byte) bool { return string(a) == string(b) }) {
		return fmt.Errorf("%w: a device has joined that it does not know", ErrOther)
	}
	for _, v := range r.old.Volumes {
		l := r.logOf(v.ID)
		if l == nil {
			return fmt.Errorf("%w: the store has no volume %v", ErrOther, v.ID)
		}
		if v.Index == 0 {
			continue
		}
		var last eventlog.FrameHash
		err := l.CommittedFrames(v.Index-1, func(i eventlog.Index, h eventlog.FrameHash) bool {
			if i == v.Index {
				last = h
			}
			return i == v.Index
		})
		if err != nil {
			return err
		}
		if last != v.Last {
			return fmt.Errorf("%w: volume %v at %d", ErrOther, v.ID, v.Index)
		}
	}
	return nil
}

func (r *run) logOf(id identity.VolumeID) *eventlog.Log {
	i := slices.IndexFunc(r.src.Logs, func(l *eventlog.Log) bool { return l.Volume() == id })
	if i < 0 {
		return nil
	}
	return r.src.Logs[i]
}

// removeStrays removes packs that the manifest does not name.
func (r *run) removeStrays(m *manifest) error {
	names, err := r.fs.List(r.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isPack(name) && !slices.ContainsFunc(m.Packs, func(p pack) bool { return p.Name == name }) {
			if err := r.fs.Remove(r.fs.PathJoin(r.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) loadIndex(p pack) error {
	if !strings.HasSuffix(p.Name, indexSuffix) {
		return nil
	}
	b, err := readPack(r.fs, r.dir, p)
	if err != nil {
		return err
	}
	return parseIndex(b, func(c ipld.CID, _ int64, _ int) {
		if _, ok := r.have[nameOf(c)]; ok {
			r.twice[nameOf(c)] = struct{}{}
		}
		r.have[nameOf(c)] = struct{}{}
	})
}

// copyAll copies what is new, and replaces the manifest.
func (r *run) copyAll() error {
	if r.mend != nil {
		if err := r.salvage(); err != nil {
			return err
		}
	}
	for _, c := range r.old.Lacking {
		if err := r.copyContent(c, true); err != nil {
			return err
		}
	}
	for _, l := range r.src.Logs {
		if err := r.copyLog(l); err != nil {
			return err
		}
	}
	for _, root := range r.src.Roots {
		if err := r.copyContent(root, r.mend != nil); err != nil {
			return err
		}
	}
	if r.mend != nil {
		if err := r.copyAgain(); err != nil {
			return err
		}
	}
	if err := r.finishPacks(); err != nil {
		return err
	}
	if len(r.lacking) > 0 {
		missed, err := r.src.Missed(r.lacking)
		if err != nil {
			return err
		}
		r.next.Lacking = missed
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := syncDir(r.fs, r.dir); err != nil {
		return err
	}
	if err := r.next.save(r.fs, r.dir, r.src.Device, r.src.Sign); err != nil {
		return err
	}
	r.res.Lacking = r.next.Lacking
	if r.mend != nil {
		return r.removeStrays(r.next)
	}
	return nil
}

// cleanUp removes what a failed run has written, unless its manifest names it: the rename may have come through and its sync not.
// What it can't remove, the next run does.
func (r *run) cleanUp() {
	if r.log != nil {
		r.log.abandon()
	}
	if r.blocks != nil {
		r.blocks.abandon()
	}
	if m, err := loadManifest(r.fs, r.dir); err != nil || m.Next != r.old.Next {
		return
	}
	for n := r.old.Next; n < r.next.Next; n++ {
		for _, suffix := range []string{logSuffix, blockSuffix, indexSuffix} {
			_ = r.fs.Remove(r.fs.PathJoin(r.dir, packName(n, suffix)))
		}
	}
}
