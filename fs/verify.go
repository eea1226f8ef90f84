package fs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strings"

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

	unsealed map[tree.VersionID]bool      // those that are not sealed yet; true: they never will be
	heads    map[tree.VersionID]tree.Path // of files, to name them; read when one is damaged
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
		c.heads = map[tree.VersionID]tree.Path{}
		_ = c.view(local, func(r eventlog.Reader) { // without it, there is no name
			tree.FilesFrom(r, nil, func(ino tree.Inode) bool {
				for _, h := range ino.HeadIDs() {
					if p, ok := tree.PathOf(r, ino.ID); ok && ino.Nlink > 0 {
						c.heads[h] = p
					}
				}
				return true
			})
		})
	}
	if p, ok := c.heads[id]; ok {
		return fmt.Sprintf("%s/%s: version %x", c.Name, pathString(p), id)
	}
	return fmt.Sprintf("%s: version %x, which no file shows now", c.Name, id)
}

// local checks this device's own records.
func (c *volumeCheck) local() error {
	var failed error
	err := c.Local(func(r eventlog.Reader) {
		r.Scan(nil, nil, func(key, val []byte) bool {
			if len(key) == 0 || key[0] == localTreeKeys {
				return true
			}
			c.Report.Checked(report.Local, 1)
			failed = errors.Join(c.localRecord(r, bytes.Clone(key), bytes.Clone(val)), c.Report.Read(0))
			return failed == nil
		})
	})
	return errors.Join(err, failed)
}

func (c *volumeCheck) bad(key []byte, format string, args ...any) {
	c.Report.Bad(report.Local, fmt.Sprintf("%s: %q %x", c.Name, key[:1], key[1:]), report.Nothing, format, args...)
}

func (c *volumeCheck) localRecord(r eventlog.Reader, key, val []byte) error {
	least := map[byte]int{localMetaKey: 17, localPending: 17, localBytes: 17, localJournal: 17, localChunk: 25, localVolume: 17, localExpired: 17, localRetention: 1, localRestored: 1, localMass: 9, localSums: 17}
	if want, ok := least[key[0]]; ok && len(key) != want {
		c.bad(key, "its key has %d bytes", len(key))
		return nil
	}
	switch key[0] {
	case localMetaKey:
		if len(val) != metaSize && len(val) != sparseMetaSize {
			c.bad(key, "it has %d bytes", len(val))
		}
	case localMass:
		if len(val) != massSize {
			c.bad(key, "it has %d bytes", len(val))
		}
	case localRestored:
		if len(val) != spanSize {
			c.bad(key, "it has %d bytes", len(val))
		}
	case localPending, localJournal:
		rec, err := decodeEdit(val)
		if err != nil {
			c.bad(key, "%v", err)
			return nil
		}
		return c.edit(r, key, rec)
	case localSums:
		if len(val) != 4*groupPages {
			c.bad(key, "it has %d bytes", len(val))
		}
	case localBytes:
		if _, ok := r.Get(localKey(localPending, tree.VersionID(key[1:]))); !ok {
			c.bad(key, "the bytes of no version")
		}
	case localSnapshot:
		s, err := decodeSnapshot(string(key[1:]), val)
		if err != nil {
			c.bad(key, "%v", err)
			return nil
		}
		return c.snapshot(s)
	case localChunk:
		if _, ok := r.Get(localKey(localJournal, tree.FileID(key[1:17]))); !ok || len(val) < 8 {
			c.bad(key, "the bytes of no edit")
		} else if n := binary.BigEndian.Uint64(key[17:]); n > 0 {
			if _, ok := r.Get(chunkKey(tree.FileID(key[1:17]), n-1)); !ok {
				c.bad(key, "the bytes written before it are missing")
			}
		}
	}
	return nil
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

// edit checks a version that is not sealed yet, or an edit that goes on.
func (c *volumeCheck) edit(r eventlog.Reader, key []byte, rec editRecord) error {
	if rec.Size < 0 || rec.Below < 0 || rec.Below > rec.Size {
		c.bad(key, "its sizes contradict each other")
		return nil
	}
	if rec.BaseAs != nil && c.Contents != nil {
		err := c.Contents.Check(c.ctx, *rec.BaseAs, func() string { return fmt.Sprintf("%s: what edit %x stands on", c.Name, key[1:]) })
		if err != nil {
			return err
		}
	}
	if key[0] == localPending {
		id := tree.VersionID(key[1:])
		c.unsealed[id] = rec.Kept
		var is bool
		if err := c.view(rec.Local, func(s eventlog.Reader) { _, is = tree.GetVersion(s, id) }); err != nil {
			return err
		}
		if !is && !rec.Kept {
			c.bad(key, "the version that it has the bytes of is not there")
		}
		if rec.Spill == 0 {
			if b, ok := r.Get(localKey(localBytes, id)); !ok || int64(len(b)) != rec.Size {
				c.bad(key, "%d of its %d bytes are there", len(b), rec.Size)
			}
		}
	}
	if rec.Spill == 0 || !c.AtRest {
		return nil
	}
	return c.spill(rec)
}

// spill compares what a spill file has with its checksums.
func (c *volumeCheck) spill(rec editRecord) error {
	path := c.FS.PathJoin(c.Home, spillDir, fmt.Sprintf("%016x", rec.Spill)+spillSuffix)
	c.Report.Checked(report.Spill, 1)
	f, err := c.FS.Open(path)
	if errors.Is(err, iofs.ErrNotExist) && len(rec.Have) == 0 {
		return nil // it needs not be there
	}
	if errors.Is(err, iofs.ErrNotExist) {
		c.Report.Bad(report.Spill, path, report.Nothing, "the file is missing")
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s := sums{}
	if rec.Sums != nil {
		err = s.load(f, rec.Sums)
	} else {
		err = c.left(&s, f, rec, path)
	}
	buf := make([]byte, 64*page)
	for _, h := range rec.Have {
		for off := h.Off; off < h.Off+h.Len && err == nil; off += int64(len(buf)) {
			part := buf[:min(int64(len(buf)), h.Off+h.Len-off)]
			if err = s.readAt(f, part, off); err == nil {
				err = c.Report.Read(int64(len(part)))
			}
		}
	}
	if errors.Is(err, ErrDamaged) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		c.Report.Bad(report.Spill, path, report.Nothing, "%v", err)
		return nil
	}
	return err
}

// left reads the sums of an edit that was open when the daemon was killed.
func (c *volumeCheck) left(s *sums, f vfs.File, rec editRecord, path string) error {
	l := left{rec: rec, local: c.Local, fs: c.FS, boot: c.Boot, trail: strings.TrimSuffix(path, spillSuffix) + trailSuffix}
	believed, err := l.load(s, f)
	switch {
	case err != nil:
		return err
	case l.damaged != nil:
		return l.damaged
	case s.of == nil && len(rec.Have) > 0:
		c.Report.Note(report.Spill, path, "an edit was open when the daemon was killed, or its last checksums could not be stored: its bytes are not checked")
	case believed > 0:
		c.Report.Note(report.Spill, path, "%d pages were written after the last fsync, or are damaged: after a loss of power nothing tells which", believed)
	}
	return nil
}
