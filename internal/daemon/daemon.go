package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/mount"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Options say what a daemon serves. Home and Dir must be set.
type Options struct {
	Home         string
	Dir          string // the mount point; made if it is missing
	MountOptions string // mount(8)'s words
	Version      string
	Crashed      string // where the report of an earlier run's crash is; status tells it while it is there
	Logger       *slog.Logger
	FirstRun     func(FirstRun) // called when the first identity was made, before Ready
	Ready        func(Mounted)  // called when the mount answers

	fs vfs.FS // for tests: the store's disk; nil: the real one
}

// A FirstRun is the identity that a new store begins with. The words go to a person's eyes, never to a log.
type FirstRun struct {
	Identity string
	Words    control.Words
}

// Mounted says what is mounted where.
type Mounted struct {
	Dir        string // absolute, without symlinks
	Identities []control.Identity
}

// daemon is a running one.
type daemon struct {
	opts    Options
	log     *slog.Logger
	started time.Time

	st     *store.Store
	blocks *ipld.Segments
	fs     *fs.FS
	group  *group
	conn   *mount.Conn
	clock  coarseClock
	tidier tidier

	uncompacted bool // a test makes the checkpoints

	naming sync.Mutex // held while a keyring is made or saved

	mu     sync.Mutex
	idents []*ident
}

// Run opens the store, mounts it and serves until ctx is done, an unmount is asked for, or the mount is taken away from
// outside. When it returns, what programs wrote is on disk. Its errors carry a control.Code.
func Run(ctx context.Context, o Options) error {
	d := newDaemon(o)
	mo, err := mount.ParseOptions(o.MountOptions)
	if err != nil {
		return explain(err, o)
	}
	mo.Logger = d.log
	return explain(d.run(ctx, mo), o)
}

func newDaemon(o Options) *daemon {
	d := &daemon{opts: o, log: o.Logger, started: time.Now()}
	d.tidier.d, d.tidier.left, d.tidier.now = d, historyLeft, time.Now
	d.tidier.space = func() store.Space { return d.fs.Space() }
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

func (d *daemon) run(ctx context.Context, mo mount.Options) (err error) {
	for _, c := range CheckFUSE() { // before a store is made that nobody could use
		if c.State == control.Bad {
			return control.NewError(c.Code, c.Name+": "+c.Detail, c.Hint)
		}
	}
	if err := apart(d.opts.Home, d.opts.Dir); err != nil {
		return err
	}
	if err := makeMountPoint(d.opts.Dir); err != nil {
		return err
	}
	if err := mount.Check(d.opts.Dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.open(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return d.serve(ctx, mo)
}

// open opens everything below the mount, and starts what runs in the background: it ends in close, after
// the mount has and before the store does.
func (d *daemon) open(ctx context.Context) (err error) {
	if d.st, err = store.Open(d.opts.Home, store.Options{FS: d.opts.fs, Age: eventlog.FactAge, Logger: d.log}); err != nil {
		return err
	}
	if d.blocks, err = ipld.OpenSegments(d.st, ipld.SegmentOptions{Pace: d.tidier.pace, Logger: d.log}); err != nil {
		return err
	}
	d.fs, err = fs.New(fs.Options{
		Store: d.st, Blocks: d.blocks, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
		Device: deviceName(), Boot: bootID(), Now: d.clock.now, Clock: time.Now, Keep: d.keepCheckpoints, Logger: d.log,
	})
	if err != nil {
		return err
	}
	d.group = newGroup(ctx)
	if err := d.openIdentities(); err != nil {
		return err
	}
	if err := d.fs.Sweep(); err != nil {
		return err
	}
	d.group.start("file system", d.fs.Run)
	d.group.start("garbage collection", d.tidier.run)
	return nil
}

// close ends the background and closes what open opened, in reverse.
func (d *daemon) close() (err error) {
	if d.group != nil {
		err = d.group.end()
	}
	if d.blocks != nil {
		err = errors.Join(err, d.blocks.Close())
	}
	if d.st != nil {
		err = errors.Join(err, d.st.Close())
	}
	return err
}

// serve mounts, answers the kernel and the command line, and unmounts.
func (d *daemon) serve(ctx context.Context, mo mount.Options) (err error) {
	if d.conn, err = mount.Mount(d.opts.Dir, mo); err != nil {
		return err
	}
	d.fs.SetInvalidator(invalidator{d.conn})
	served := make(chan error, 1)
	stale := func(node uint64) { d.conn.InvalInode(node, -1, 0) }
	go func() { served <- d.conn.Serve(mount.NewOps(d.fs, mo, d.clock.now, d.conn.MayBlock, stale)) }()
	listener, err := control.Listen(d.opts.Home)
	if err != nil {
		return errors.Join(err, d.unmountAnyhow(), <-served)
	}
	srv := d.routes()
	d.group.start("control", func(ctx context.Context) error { return srv.Serve(ctx, listener) })
	d.log.Info("mounted", "dir", d.conn.Dir(), "version", d.opts.Version)
	if d.opts.Ready != nil {
		d.opts.Ready(Mounted{Dir: d.conn.Dir(), Identities: d.identities()})
	}
	select {
	case err = <-served:
	case <-ctx.Done():
		err = errors.Join(d.unmountAnyhow(), <-served)
	case <-d.group.failed():
		err = errors.Join(d.unmountAnyhow(), <-served)
	}
	err = errors.Join(err, d.finish())
	d.log.Info("unmounted", "dir", d.conn.Dir(), "unsealed", d.fs.Unsealed())
	return err
}

// unmountAnyhow unmounts, and detaches from those who still use the mount: what they wrote is made durable before.
func (d *daemon) unmountAnyhow() error {
	err := d.conn.Unmount()
	var busy *mount.BusyError
	if !errors.As(err, &busy) {
		return err
	}
	d.log.Warn("detaching a mount that is in use", "err", err)
	return errors.Join(d.fs.Sync(), d.conn.Detach())
}

// finish ends all edits when nobody can write any more. If it can't, their bytes go with the process.
func (d *daemon) finish() error {
	err := d.fs.Finish()
	if err == nil {
		return nil
	}
	return control.Fail(control.Failed, fmt.Errorf("end what was being written: %w", err),
		"what was written and not acknowledged by a close or an fsync may be missing; the rest is there")
}

// invalidator passes on what the kernel should forget.
type invalidator struct{ conn *mount.Conn }

func (i invalidator) InvalidateNode(id fs.NodeID) { i.conn.InvalInode(uint64(id), 0, 0) }

func (i invalidator) InvalidateEntry(parent fs.NodeID, name string) {
	i.conn.InvalEntry(uint64(parent), name)
}
