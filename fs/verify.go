package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A VolumeLook is a volume as the database has it, to be verified. Nothing of it need be open.
type VolumeLook struct {
	eventlog.Look
	FS       vfs.FS
	Home     string
	Contents *ipld.ContentCheck // nil: links can't be followed
	AtRest   bool               // nobody serves it: its spill files don't change
	Boot     string             // names the machine's boot
}

// Verify checks what the state says of files and names, the content that it reaches, this device's own records, and the
// spill files that they name. The error is the database's or the disk's, or the report's.
func (o VolumeLook) Verify(ctx context.Context) error {
	c := &volumeCheck{VolumeLook: o, ctx: ctx, unsealed: map[tree.VersionID]bool{}}
	for _, step := range []func() error{c.trees, c.local, c.links} {
		if err := step(); err != nil {
			return fmt.Errorf("verify volume %s: %w", o.Name, err)
		}
	}
	return nil
}

// EverOpened lists the volumes that have been opened in the home volume that o is of.
func EverOpened(o eventlog.Look) (ids []identity.VolumeID, err error) {
	err = o.Local(func(r eventlog.Reader) {
		r.Scan([]byte{localVolume}, nil, func(k, _ []byte) bool {
			if len(k) == 17 {
				ids = append(ids, identity.VolumeID(k[1:]))
			}
			return true
		})
	})
	return ids, err
}

// A volumeCheck is one Verify.
type volumeCheck struct {
	VolumeLook
	ctx context.Context

	unsealed map[tree.VersionID]bool        // those that are not sealed yet; true: they never will be
	heads    map[tree.VersionID]tree.FileID // to name files; read when one is damaged
}

// view calls fn with the shared or the device-local state.
func (c *volumeCheck) view(local bool, fn func(r eventlog.Reader)) error {
	if local {
		return c.Local(func(r eventlog.Reader) { fn(localReader{r}) })
	}
	return c.State(fn)
}

func (c *volumeCheck) trees() error {
	for _, local := range []bool{false, true} {
		name := c.Name
		if local {
			name += " (device-local)"
		}
		var bad error
		if err := c.view(local, func(r eventlog.Reader) { bad = tree.Check(pacedReader{r, c.Report}) }); err != nil {
			return err
		}
		if err := c.Report.Read(0); err != nil {
			return err
		}
		if bad != nil {
			c.Report.Bad(report.Tree, name, treeMend(local), "%v", bad)
		}
		c.Report.Checked(report.Tree, 1)
	}
	return nil
}

// treeMend is what mends a tree: a replay of the log, which a device-local tree has not.
func treeMend(local bool) report.Mend {
	if local {
		return report.Nothing
	}
	return report.Rebuild
}

// A pacedReader ends a scan when the report has had enough.
type pacedReader struct {
	eventlog.Reader
	r *report.Report
}

func (p pacedReader) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	p.Reader.Scan(prefix, from, func(key, val []byte) bool { return p.r.Read(0) == nil && fn(key, val) })
}

// links opens the content of every version that the state or an undo record has.
func (c *volumeCheck) links() error {
	for _, local := range []bool{false, true} {
		var bad error
		err := c.view(local, func(r eventlog.Reader) {
			r.Scan([]byte{'v'}, nil, func(key, rec []byte) bool {
				bad = c.link(local, key, rec)
				return bad == nil
			})
		})
		if err = errors.Join(err, bad); err != nil {
			return err
		}
	}
	return c.BeforeImages(func(key, val []byte) error { return c.link(false, key, val) })
}

// link checks what a version's record leads to.
func (c *volumeCheck) link(local bool, key, rec []byte) error {
	if len(key) != 17 || key[0] != 'v' {
		return nil
	}
	v, ok := tree.ParseVersion(tree.VersionID(key[1:]), rec)
	_, unsealed := c.unsealed[v.ID]
	switch {
	case !ok: // trees tells of it
		return nil
	case v.Pending && !unsealed:
		c.Report.Bad(report.Local, c.versionName(local, v.ID), report.Nothing, "nothing says where its bytes are, which are not sealed")
		return nil
	case v.Content.Root.IsZero() || c.unsealed[v.ID]:
		return nil
	}
	var expired bool
	err := c.Local(func(r eventlog.Reader) { _, expired = r.Get(localKey(localExpired, v.ID)) })
	if err != nil || expired || c.Contents == nil {
		return err
	}
	return c.Contents.Check(c.ctx, v.Content, func() string { return c.versionName(local, v.ID) })
}

// versionName names a version by the file whose content it is now, if it is.
func (c *volumeCheck) versionName(local bool, id tree.VersionID) string {
	if c.heads == nil {
		c.heads = map[tree.VersionID]tree.FileID{}
		_ = c.view(local, func(r eventlog.Reader) { // without it, there is no name
			tree.FilesFrom(r, nil, func(ino tree.Inode) bool {
				for _, h := range ino.HeadIDs() {
					if ino.Nlink > 0 {
						c.heads[h] = ino.ID
					}
				}
				return true
			})
		})
	}
	if file, ok := c.heads[id]; ok {
		var p tree.Path
		_ = c.view(local, func(r eventlog.Reader) { p, ok = tree.PathOf(r, file) })
		if ok {
			return fmt.Sprintf("%s/%s: version %x", c.Name, pathString(p), id)
		}
	}
	return fmt.Sprintf("%s: version %x, which no file shows now", c.Name, id)
}

// snapshot opens all that a snapshot reaches, up to what is missing or damaged first in its directories.
func (c *volumeCheck) snapshot(s Snapshot) error {
	if c.Contents == nil {
		return nil
	}
	where := fmt.Sprintf("%s: snapshot %s", c.Name, s.Name)
	root, err := snapshot.Open(c.Contents.Store(), s.Root)
	if err == nil {
		err = root.Walk(root.Root(), func(path [][]byte, e snapshot.Entry) error {
			c.Report.Checked(report.Link, 1)
			heads, err := root.Heads(e.Inode)
			if err == nil {
				_, err = root.Xattrs(e.Inode)
			}
			for _, h := range heads {
				name := func() string { return fmt.Sprintf("%s, %s", where, bytes.Join(path, []byte("/"))) }
				err = errors.Join(err, c.Contents.Check(c.ctx, h.Content, name))
			}
			return errors.Join(err, c.Report.Read(0))
		})
	}
	if errors.Is(err, ipld.ErrDamaged) || errors.Is(err, ipld.ErrNotFound) {
		c.Report.Bad(report.Link, where, report.Copy, "%v", err)
		return nil
	}
	return err
}
