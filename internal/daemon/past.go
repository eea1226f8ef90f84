package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/when"
)

// inMount splits a path into names below the mount's top.
func (d *daemon) inMount(path control.Name) ([]string, error) {
	rel, err := filepath.Rel(d.conn.Dir(), string(path))
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return nil, control.Fail(control.NotFound, fmt.Errorf("%s is not inside %s", path, d.conn.Dir()), "name a path in the mount")
	}
	if rel == "." {
		return nil, nil
	}
	return strings.Split(rel, "/"), nil
}

// pastError gives an error its code.
func pastError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, eventlog.ErrNoHistory):
		return control.Fail(control.NotFound, err, "see since when there is history: rhizome retention")
	case errors.Is(err, fs.ErrNotExist):
		return control.Fail(control.NotFound, err, "see what was there: rhizome history, on the directory above")
	case errors.Is(err, fs.ErrInvalid):
		return control.Fail(control.Usage, errors.New(strings.TrimSuffix(err.Error(), ": "+fs.ErrInvalid.Error())), "")
	case errors.Is(err, fs.ErrBusy):
		return control.Fail(control.InUse, err, "try again")
	case errors.Is(err, fs.ErrNoSpace):
		return control.Fail(control.Failed, err, "free some space; what was done stays, and doing it again goes on")
	}
	return err
}

// when is the time that is meant for a path; the zero time for nil.
func (d *daemon) when(path []string, w *control.When) (time.Time, error) {
	switch {
	case w == nil:
		return time.Time{}, nil
	case w.Time != nil:
		return *w.Time, nil
	}
	t, err := d.fs.SnapshotTime(path, w.Snapshot)
	if errors.Is(err, fs.ErrNotExist) {
		err = control.Fail(control.Usage, fmt.Errorf("%q is neither a time nor the name of a snapshot", w.Snapshot), "write "+when.Forms)
	}
	return t, err
}

// restore makes a path what it was. When it is told that it is done, programs see all of it.
func (d *daemon) restore(ctx context.Context, q control.RestoreRequest, out *control.Stream[control.Restored]) error {
	path, err := d.mayRestore(q.Path, q.DryRun)
	if err != nil {
		return err
	}
	at, err := d.when(path, q.At)
	if err != nil {
		return err
	}
	o := fs.RestoreOptions{Exact: q.Exact, DryRun: q.DryRun}
	err = d.fs.Restore(ctx, path, at, o, d.tellRestored(out))
	return errors.Join(pastError(err), d.conn.Notified(ctx), out.Flush())
}

// undo takes back what was done to a path.
func (d *daemon) undo(ctx context.Context, q control.UndoRequest, out *control.Stream[control.Restored]) error {
	if q.Path == "" {
		q.Path = control.Name(d.conn.Dir())
	}
	path, err := d.mayRestore(q.Path, q.DryRun)
	if err != nil {
		return err
	}
	since, err := d.when(path, q.Since)
	if err != nil {
		return err
	}
	err = d.fs.Undo(ctx, path, since, q.DryRun, d.tellRestored(out))
	return errors.Join(pastError(err), d.conn.Notified(ctx), out.Flush())
}

func (d *daemon) mayRestore(path control.Name, dry bool) ([]string, error) {
	if d.conn.Options().ReadOnly && !dry {
		return nil, control.Fail(control.Failed, errors.New("the mount is read-only"), "mount it without -o ro")
	}
	return d.inMount(path)
}

// tellRestored passes on what is done.
func (d *daemon) tellRestored(out *control.Stream[control.Restored]) func(fs.Restored) error {
	return func(r fs.Restored) error {
		c := control.Restored{What: string(r.Deed), Path: control.Name(r.Path), From: control.Name(r.From), Why: r.Why}
		if r.Deed == fs.DeedMoment {
			at := r.At.UTC()
			c.Time = &at
			return out.Send(c)
		}
		c.Kind = r.Kind.String()
		c.Bytes = bytesOf(r.Kind, r.Bytes)
		return out.Send(c)
	}
}

func bytesOf(k tree.Kind, n int64) *int64 {
	if k != tree.File {
		return nil
	}
	return &n
}

// difference tells what differs between two times.
func (d *daemon) difference(ctx context.Context, q control.DiffRequest, out *control.Stream[control.Difference]) error {
	path, err := d.inMount(q.Path)
	if err != nil {
		return err
	}
	from, err := d.when(path, &q.From)
	if err != nil {
		return err
	}
	to, err := d.when(path, q.To)
	if err != nil {
		return err
	}
	err = d.fs.Diff(ctx, path, from, to, func(x fs.Difference) error {
		c := control.Difference{
			What: x.What, Path: control.Name(x.Path), From: control.Name(x.From), Kind: x.Kind.String(), Bytes: bytesOf(x.Kind, x.Bytes),
		}
		if x.What == "changed" {
			c.Was = bytesOf(x.Kind, x.Was)
		}
		return out.Send(c)
	})
	return errors.Join(pastError(err), out.Flush())
}
