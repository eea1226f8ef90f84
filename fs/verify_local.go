package fs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/report"
)

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

// drop tells of a record that is damaged and that a device does without: mending removes it.
func (c *volumeCheck) drop(key []byte, format string, args ...any) error {
	c.Report.Bad(report.Local, c.keyName(key), report.Rebuild, format, args...)
	return c.FixLocal(key, nil)
}

func (c *volumeCheck) keyName(key []byte) string {
	return fmt.Sprintf("%s: %q %x", c.Name, key[:1], key[1:])
}

func (c *volumeCheck) bad(key []byte, format string, args ...any) {
	c.Report.Bad(report.Local, c.keyName(key), report.Nothing, format, args...)
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
			return c.drop(key, "it has %d bytes", len(val))
		}
	case localMass:
		if len(val) != massSize {
			return c.drop(key, "it has %d bytes", len(val))
		}
	case localRestored:
		if len(val) != spanSize {
			return c.drop(key, "it has %d bytes", len(val))
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
			return c.drop(key, "the bytes of no version")
		}
	case localSnapshot:
		s, err := decodeSnapshot(string(key[1:]), val)
		if err != nil {
			c.bad(key, "%v", err)
			return nil
		}
		return c.snapshot(s)
	case localChunk:
		if _, ok := r.Get(localKey(localJournal, tree.FileID(key[1:17]))); !ok {
			return c.drop(key, "the bytes of no edit")
		} else if len(val) < 8 {
			c.bad(key, "it has %d bytes", len(val))
		} else if n := binary.BigEndian.Uint64(key[17:]); n > 0 {
			if _, ok := r.Get(chunkKey(tree.FileID(key[1:17]), n-1)); !ok {
				c.bad(key, "the bytes written before it are missing")
			}
		}
	}
	return nil
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
