package daemon

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/ipld"
)

// snapshotSettle is how long a snapshot waits for the order to have all that it has. Alone, a device needs some tenths of a second.
const snapshotSettle = 3 * time.Second

func (d *daemon) createSnapshot(ctx context.Context, q control.SnapshotRequest) (control.Snapshot, error) {
	s, err := d.sourceOf(q.Volume)
	if err != nil {
		return control.Snapshot{}, err
	}
	made, err := d.fs.CreateSnapshot(ctx, s.id, q.Name, snapshotSettle, nil)
	switch {
	case errors.Is(err, fs.ErrExist):
		return control.Snapshot{}, control.Fail(control.Usage, fmt.Errorf("%s has a snapshot %q already", s.label, q.Name),
			"take another name, or see: rhizome snapshot delete")
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, fs.ErrNameTooLong):
		return control.Snapshot{}, control.Fail(control.Usage, err, "a name is no time, has no slash, and does not begin with a dash")
	case err != nil:
		return control.Snapshot{}, err
	}
	c := describeSnapshot(s, made, false)
	c.Made = &control.SnapshotMade{Blocks: int64(made.Added.Blocks), Bytes: int64(made.Added.Bytes), Seconds: made.Took.Seconds()}
	return c, nil
}

func (d *daemon) listSnapshots(_ context.Context, q control.SnapshotListRequest) ([]control.Snapshot, error) {
	sources, err := d.sources(q.Volume)
	if err != nil {
		return nil, err
	}
	list := []control.Snapshot{}
	for _, s := range sources {
		snapshots, err := d.fs.Snapshots(s.id)
		if err != nil {
			return nil, err
		}
		for _, is := range snapshots {
			list = append(list, describeSnapshot(s, is, q.Keys))
		}
	}
	return list, nil
}

func (d *daemon) deleteSnapshot(_ context.Context, q control.SnapshotRequest) (control.SnapshotDeleted, error) {
	s, err := d.sourceOf(q.Volume)
	if err != nil {
		return control.SnapshotDeleted{}, err
	}
	err = d.fs.DeleteSnapshot(s.id, q.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return control.SnapshotDeleted{}, control.Fail(control.NotFound, fmt.Errorf("%s has no snapshot %q", s.label, q.Name), "see: rhizome snapshot list")
	}
	return control.SnapshotDeleted{Name: q.Name, Label: s.label}, err
}

// sourceOf finds the one volume that is meant.
func (d *daemon) sourceOf(vol control.VolumeID) (*source, error) {
	if vol == "" {
		return nil, control.Fail(control.Usage, errors.New("no volume is named"), "name a path in a volume")
	}
	sources, err := d.sources(vol)
	if err != nil {
		return nil, err
	}
	return sources[0], nil
}

func describeSnapshot(s *source, is fs.Snapshot, keys bool) control.Snapshot {
	c := control.Snapshot{
		Name: is.Name, Volume: control.VolumeID(s.id.String()), Label: s.label, Time: is.Time.UTC(), Tentative: is.Tentative,
		Index: uint64(is.Index), OrderHash: hex.EncodeToString(is.OrderHash[:]), Files: int64(is.Files), Bytes: int64(is.Bytes),
		Root: ipld.Format(is.Root.CID),
	}
	if keys {
		c.Link = ipld.FormatLink(is.Root)
	}
	return c
}
