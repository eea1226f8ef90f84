package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/mount"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// routes answers the command line.
func (d *daemon) routes() *control.Server {
	s := control.NewServer(d.opts.Version, d.log)
	control.Handle(s, control.StatusRoute, func(context.Context, struct{}) (control.Status, error) { return d.status() })
	control.Handle(s, control.ChecksRoute, func(context.Context, struct{}) ([]control.Check, error) {
		return d.checks(), nil
	})
	control.Handle(s, control.WhereRoute, d.where)
	control.Handle(s, control.UnmountRoute, d.unmount)
	control.HandleStream(s, control.LogRoute, d.history)
	control.HandleStream(s, control.BackupRoute, func(ctx context.Context, q control.BackupRequest, out *control.Stream[control.BackupEvent]) error {
		return d.backup(ctx, q, telling(out))
	})
	control.HandleStream(s, control.VerifyRoute, d.verify)
	control.HandleStream(s, control.ExportRoute, func(ctx context.Context, q control.ExportRequest, out *control.Stream[control.ExportEvent]) error {
		return d.export(ctx, d.conn.Dir(), q, telling(out))
	})
	control.Handle(s, control.IdentityList, func(context.Context, struct{}) ([]control.Identity, error) {
		return d.identities(), nil
	})
	control.HandleStream(s, control.HistoryRoute, d.versions)
	control.HandleStream(s, control.RestoreRoute, d.restore)
	control.HandleStream(s, control.UndoRoute, d.undo)
	control.HandleStream(s, control.DiffRoute, d.difference)
	control.Handle(s, control.IdentityNew, d.newIdentity)
	control.Handle(s, control.GCRoute, d.tidier.gc)
	control.Handle(s, control.RetentionRoute, d.retention)
	control.Handle(s, control.SnapshotCreate, d.createSnapshot)
	control.Handle(s, control.SnapshotList, d.listSnapshots)
	control.Handle(s, control.SnapshotDelete, d.deleteSnapshot)
	control.Handle(s, control.IdentityName, d.renameIdentity)
	control.Handle(s, control.PhraseRoute, func(_ context.Context, q control.PhraseRequest) (control.Phrase, error) {
		i, err := d.named(q.Identity)
		if err != nil {
			return control.Phrase{}, err
		}
		return phraseOf(i.keys)
	})
	control.Handle(s, control.ForgetRoute, func(_ context.Context, q control.ForgetRequest) (control.Identity, error) {
		i, err := d.named(q.Identity)
		if err != nil {
			return control.Identity{}, err
		}
		d.naming.Lock()
		defer d.naming.Unlock()
		return describe(i.keys), forget(i.keys, q.Words, d.saveKeys)
	})
	return s
}

// telling sends each value at once.
func telling[E any](out *control.Stream[E]) func(E) error {
	return func(e E) error { return errors.Join(out.Send(e), out.Flush()) }
}

// saveKeys writes a keyring. The caller holds naming, once there is anybody else.
func (d *daemon) saveKeys(k *identity.Keyring) error {
	return k.Save(d.st.FS(), d.st.Path(keyringDir))
}

// where says what a path inside the mount belongs to.
func (d *daemon) where(_ context.Context, q control.WhereRequest) (control.Where, error) {
	path, err := d.inMount(q.Path)
	if err != nil {
		return control.Where{}, err
	}
	vol, ident, name, below, ok := d.fs.Where(path)
	if !ok {
		return control.Where{}, control.Fail(control.NotFound, fmt.Errorf("there is no identity %q", path[0]), "see: rhizome identity list")
	}
	if ident == "" {
		return control.Where{}, nil
	}
	return control.Where{
		Identity: ident, Volume: control.VolumeID(vol.String()), Label: label(ident, name),
		Path: control.Name(strings.Join(below, "/")),
	}, nil
}

// label is a volume's name for people.
func label(ident, name string) control.Name {
	if name == "" {
		return control.Name(ident)
	}
	return control.Name(ident + "/" + name)
}

// unmount takes the mount away, or names who uses it. On a full disk it does neither: what is in memory only would be gone, and
// isn't if there is space first.
func (d *daemon) unmount(_ context.Context, q control.UnmountRequest) (control.UnmountAnswer, error) {
	err := d.fs.Sync()
	if errors.Is(err, store.ErrNoSpace) || errors.Is(err, fs.ErrNoSpace) || errors.Is(err, syscall.ENOSPC) {
		return control.UnmountAnswer{}, control.Fail(control.Failed, fmt.Errorf("not unmounted: %w", err),
			"free some space on the disk of "+d.opts.Home+", and unmount then; nothing was changed")
	}
	err = d.conn.Unmount()
	var busy *mount.BusyError
	switch {
	case errors.As(err, &busy) && q.Force:
		if err := errors.Join(d.fs.Sync(), d.conn.Detach()); err != nil {
			return control.UnmountAnswer{}, err
		}
	case errors.As(err, &busy):
		var a control.UnmountAnswer
		for _, h := range busy.Holders {
			a.Holders = append(a.Holders, holder(h))
		}
		for _, m := range busy.Mounts {
			a.Holders = append(a.Holders, control.Holder{Command: "a mount", Paths: []control.Name{control.Name(m)}})
		}
		if len(a.Holders) == 0 {
			return a, control.Fail(control.InUse, err, "see: fuser -vm "+d.conn.Dir())
		}
		return a, nil
	case err != nil:
		return control.UnmountAnswer{}, err
	}
	// Serve has returned; run goes on to finish. What programs wrote is made durable before they are told.
	return control.UnmountAnswer{}, d.finish()
}

func holder(h mount.Holder) control.Holder {
	c := control.Holder{PID: h.PID, Command: control.Name(h.Command)}
	for _, p := range h.Paths {
		c.Paths = append(c.Paths, control.Name(p))
	}
	return c
}
