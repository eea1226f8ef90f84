package daemon

import (
	"bytes"
	"context"
	"errors"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
)

// diffLimit is the largest text whose changes are told.
const diffLimit = 4 << 20

// versions tells what happened to a path, newest first.
func (d *daemon) versions(ctx context.Context, q control.HistoryRequest, out *control.Stream[control.HistoryEntry]) error {
	path, err := d.inMount(q.Path)
	if err != nil {
		return err
	}
	p, err := d.fs.FindPast(path)
	if err != nil {
		return pastError(err)
	}
	list, err := d.fs.History(p)
	if err != nil {
		return err
	}
	if q.Last > 0 && len(list) > q.Last {
		list = list[:q.Last]
	}
	for _, c := range list {
		e := d.historyEntry(c)
		if q.Diff && c.Kind == tree.File && c.Version != (tree.VersionID{}) {
			e.Diff, e.NoDiff = d.diffOf(p.Volume, c)
		}
		if err := errors.Join(ctx.Err(), out.Send(e)); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (d *daemon) historyEntry(c fs.Change) control.HistoryEntry {
	e := control.HistoryEntry{
		Time: c.Time.UTC(), Who: c.By, What: c.What, Path: control.Name(c.Path), From: control.Name(c.From), Kind: c.Kind.String(),
		Bytes: bytesOf(c.Kind, c.Bytes),
	}
	if c.Device != (identity.DeviceID{}) {
		e.Device = c.Device.String()
		if e.Who == "" {
			e.Who = d.who(c.Device)
		}
	}
	if c.Version != (tree.VersionID{}) {
		e.Version = c.Version.String()
	}
	return e
}

// diffOf is what an edit changed, or why it is not told.
func (d *daemon) diffOf(vol identity.VolumeID, c fs.Change) (text, why string) {
	read := func(id tree.VersionID) ([]byte, string) {
		if id == (tree.VersionID{}) {
			return nil, ""
		}
		b, err := d.fs.ReadVersion(vol, id, diffLimit)
		switch {
		case errors.Is(err, fs.ErrTooBig):
			return nil, "too large"
		case err != nil:
			return nil, "not kept"
		case !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0:
			return nil, "binary"
		}
		return b, ""
	}
	was, why := read(c.Before)
	if why != "" {
		return "", why
	}
	is, why := read(c.Version)
	if why != "" {
		return "", why
	}
	return string(diff.Diff("before", was, "after", is)), ""
}
