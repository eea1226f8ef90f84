package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/export"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/when"
	"github.com/rhizome-fs/rhizome/ipld"
)

// tellEvery is how often progress is told.
const tellEvery = 100 * time.Millisecond

// maxMissed is how many files are named that were not exported as a whole.
const maxMissed = 100

// Export is the route's work for a store that no daemon serves. Paths are below base as they would be below a mount.
func Export(ctx context.Context, o Options, base string, q control.ExportRequest, tell func(control.ExportEvent) error) error {
	return offline(ctx, o, func(d *daemon) error { return d.export(ctx, base, q, tell) })
}

// export copies a part of the tree, which is below base, to ordinary files or a CAR.
func (d *daemon) export(ctx context.Context, base string, q control.ExportRequest, tell func(control.ExportEvent) error) error {
	target := string(q.Dir + q.File)
	if err := d.outside(target); err != nil {
		return err
	}
	path, err := components(base, string(q.Path))
	if err != nil {
		return err
	}
	if q.Sealed {
		return d.exportSealed(ctx, path, q, tell)
	}
	if err := d.fs.EndEdits(); err != nil { // else they are not of the present yet
		return err
	}
	at := q.At
	if at == "" && !slices.Contains(path, ".at") { // not "now": it stands for one moment for a while
		at = time.Now().UTC().Format(time.RFC3339Nano)
	}
	t, err := export.Open(ctx, d.fs, path, at)
	if err != nil {
		return explainExport(err, target)
	}
	defer t.Close()
	e := &exporting{tell: tell}
	e.step("counting", export.Count{})
	count, err := t.Count(e.done)
	if err != nil {
		return explainExport(err, target)
	}
	e.res = control.ExportResult{Path: q.Path, To: control.Name(target), Files: count.Files, Bytes: count.Bytes}
	if q.Dir != "" {
		e.step("copying", count)
		err = export.Dir(t, target, e.done, e.missed)
	} else {
		e.step("copying", export.Count{Files: 2 * count.Files, Bytes: 2 * count.Bytes}) // it is read twice
		e.res.Root, err = export.Plain(t, target, fileMode(q), e.done, func(path, why string) { e.missed(path, errors.New(why)) })
	}
	if err != nil {
		return explainExport(err, target)
	}
	return tell(control.ExportEvent{Result: &e.res})
}

// exportSealed is export of a part of one volume to a CAR of sealed blocks.
func (d *daemon) exportSealed(ctx context.Context, path []string, q control.ExportRequest, tell func(control.ExportEvent) error) error {
	target := string(q.File)
	vol, name, _, below, ok := d.fs.Where(path)
	if !ok || name == "" || slices.Contains(path, ".at") {
		return control.Fail(control.Usage, fmt.Errorf("%s is no part of a volume", q.Path), "name a volume or something in it, and a time with --at")
	}
	i, err := d.named(name)
	if err != nil {
		return err
	}
	o, err := i.openVolume(vol)
	if err != nil {
		return err
	}
	if err := d.fs.SealAll(ctx); err != nil {
		return err
	}
	moment, err := d.momentOf(vol, o.Log, q.At)
	if err != nil {
		return err
	}
	e := &exporting{tell: tell}
	e.step("building", export.Count{})
	built := func(names uint64) { e.done(export.Count{Files: int64(names) - e.p.Done}) }
	res, err := export.Sealed(ctx, export.SealedSource{
		Log: o.Log, Moment: moment, Path: below, Blocks: d.blocks, Sealer: o.Sealer,
	}, target, built, func(n, total int64) {
		if e.p.Unit != control.Bytes {
			e.step("copying", export.Count{Bytes: total})
		}
		e.done(export.Count{Bytes: n})
	})
	if err != nil {
		return explainExport(err, target)
	}
	e.res = control.ExportResult{
		Path: q.Path, To: q.File, Root: ipld.Format(res.Link.CID), Link: ipld.FormatLink(res.Link), Files: int64(res.Files), Bytes: int64(res.Bytes),
	}
	if res.Lost > 0 {
		e.missed(string(q.Path), fmt.Errorf("%w: %d blocks are missing", fs.ErrDamaged, res.Lost))
	}
	return tell(control.ExportEvent{Result: &e.res})
}

// momentOf is that of a time, of a snapshot's name, or of now.
func (d *daemon) momentOf(vol identity.VolumeID, l *eventlog.Log, at string) (eventlog.Moment, error) {
	if at == "" {
		return l.Now(), nil
	}
	if t, err := when.Parse(at, time.Now()); err == nil {
		m, err := l.MomentAt(t)
		if err != nil {
			return m, control.Fail(control.NotFound, err, "choose a later time")
		}
		return m, nil
	}
	list, err := d.fs.Snapshots(vol)
	if err != nil {
		return eventlog.Moment{}, err
	}
	i := slices.IndexFunc(list, func(s fs.Snapshot) bool { return s.Name == at })
	if i < 0 {
		return eventlog.Moment{}, control.Fail(control.NotFound, fmt.Errorf("there is no snapshot %q, and it is no time", at), "see: rhizome snapshot list; or write "+when.Forms)
	}
	return list[i].Moment, nil
}

// components are the names from the mount's top to a path.
func components(base, path string) ([]string, error) {
	rel, err := filepath.Rel(base, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return nil, control.Fail(control.NotFound, fmt.Errorf("%s is not inside %s", path, base), "name a path in the mount")
	}
	if rel == "." {
		return nil, nil
	}
	return strings.Split(rel, string(filepath.Separator)), nil
}

// An exporting tells how far an export is.
type exporting struct {
	tell func(control.ExportEvent) error
	p    control.Progress
	told time.Time
	res  control.ExportResult
}

// smallFiles is how many bytes files have on average that take as long for their names as for their bytes.
const smallFiles = 16 << 10

// step begins with so much to do; nothing: it is not known. It is counted in what takes the time.
func (e *exporting) step(what string, all export.Count) {
	e.p, e.told = control.Progress{What: what, Unit: control.Files, Total: all.Files}, time.Time{}
	if all.Bytes > smallFiles*all.Files {
		e.p.Unit, e.p.Total = control.Bytes, all.Bytes
	}
}

func (e *exporting) done(c export.Count) {
	if e.p.Unit == control.Bytes {
		e.p.Done += c.Bytes
	} else {
		e.p.Done += c.Files
	}
	if now := time.Now(); now.Sub(e.told) >= tellEvery {
		e.told = now
		p := e.p
		_ = e.tell(control.ExportEvent{Progress: &p}) // who went is seen by the context
	}
}

// fileMode is that of a file in the clear: as the caller's umask has it.
func fileMode(q control.ExportRequest) os.FileMode {
	if q.Mode == 0 {
		return 0o600
	}
	return os.FileMode(q.Mode) & 0o666
}

func (e *exporting) missed(path string, err error) {
	e.res.MissedCount++
	if len(e.res.Missed) < maxMissed {
		e.res.Missed = append(e.res.Missed, control.Missed{Path: control.Name(path), Why: err.Error()})
	}
	if errors.Is(err, fs.ErrDamaged) {
		e.res.Damaged = true
	}
}

// explainExport gives an error of an export its code, and says what to do.
func explainExport(err error, target string) error {
	switch {
	case errors.Is(err, export.ErrNotEmpty):
		return control.Fail(control.Usage, err, "name a directory that is not there, or is empty; nothing was changed")
	case errors.Is(err, export.ErrVolumes):
		return control.Fail(control.Usage, err, "export each of them to a file of its own, or all of it with --dir or --plain; nothing was written")
	case errors.Is(err, fs.ErrStale):
		return control.Fail(control.Failed, err, "retention has dropped what it was to be exported from: try again, or with another --at")
	case errors.Is(err, fs.ErrDamaged), errors.Is(err, ipld.ErrDamaged):
		return control.Fail(control.Damaged, err, "export what is whole with --dir; nothing is left of this one")
	case errors.Is(err, fs.ErrNotExist):
		return control.Fail(control.NotFound, err, "see what there is: rhizome status, and ls; what there was: ls .at/yesterday")
	case errors.Is(err, syscall.ENOSPC):
		return control.Fail(control.Failed, err, "the disk of "+target+" is full; nothing is left of the export")
	}
	return err
}
