package daemon

import (
	"context"
	"errors"

	"github.com/rhizome-fs/rhizome/fs/export"
	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Unpack copies a sealed export to ordinary files in a directory. It needs the link that was printed, and no store and no daemon.
func Unpack(ctx context.Context, file, linkText, dir string, tell func(control.Progress)) (control.ExportResult, error) {
	link, err := ipld.ParseLink(linkText)
	if err != nil {
		return control.ExportResult{}, control.Fail(control.Usage, err, "give the link as it was printed, all of it")
	}
	e := &exporting{tell: func(v control.ExportEvent) error { tell(*v.Progress); return nil }}
	e.res = control.ExportResult{Path: control.Name(file), To: control.Name(dir), Root: ipld.Format(link.CID)}
	read := func(n, total int64) {
		if e.p.What == "" {
			e.step("checking", export.Count{Bytes: total})
		}
		e.done(export.Count{Bytes: n})
	}
	begin := func(all export.Count) {
		e.res.Files, e.res.Bytes = all.Files, all.Bytes
		e.step("copying", all)
	}
	err = export.Unpack(ctx, file, link, dir, export.UnpackTold{Read: read, Begin: begin, Done: e.done, Missed: e.missed})
	switch {
	case errors.Is(err, export.ErrWrongFile):
		err = control.Fail(control.Usage, err, "give the link that was printed when this file was written")
	case errors.Is(err, snapshot.ErrVersion):
		err = control.Fail(control.Failed, err, "use a newer version of rhizome")
	case errors.Is(err, ipld.ErrDamaged), errors.Is(err, ipld.ErrNotFound):
		err = control.Fail(control.Damaged, err, "take another copy of the file, if there is one; nothing is left of this one")
	}
	return e.res, explainExport(err, dir)
}
