package fs

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// verifiedAtOnce is how much of a spill file is read under a lock of those who write to it.
const verifiedAtOnce = 64 * page

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
	buf := make([]byte, verifiedAtOnce)
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

// VerifyUnsealed compares the spill files of all that is not sealed yet with their checksums, while programs are at work.
func (f *FS) VerifyUnsealed(r *report.Report) error {
	for _, v := range f.allVolumes() {
		v.mu.Lock()
		var closed []*pending
		for _, p := range v.pending {
			closed = append(closed, p)
		}
		v.mu.Unlock()
		for _, p := range closed {
			if err := verifyParts(r, p.verifyPart); err != nil {
				return err
			}
		}
	}
	for _, n := range f.table.edits() {
		if err := verifyParts(r, n.verifyPart); err != nil {
			return err
		}
	}
	return nil
}

// verifyParts has a spill file read part by part: next reads what is at off or behind it, and says where to go on and who may be damaged; at the end
// it returns no path.
func verifyParts(r *report.Report, next func(buf []byte, off int64) (path string, end int64, err error)) error {
	buf := make([]byte, verifiedAtOnce)
	for off := int64(0); ; {
		path, end, err := next(buf, off)
		if path == "" {
			return nil
		}
		if off == 0 {
			r.Checked(report.Spill, 1)
		}
		if isDamage(err) {
			r.Bad(report.Spill, path, report.Nothing, "%v", err)
		} else if err != nil {
			return err
		}
		if err := r.Read(end - off); err != nil {
			return err
		}
		off = end
	}
}

func (p *pending) verifyPart(buf []byte, off int64) (string, int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.now != nil || p.lost {
		return "", 0, nil
	}
	return p.bytes.verifyPart(buf, off)
}

func (n *Node) verifyPart(buf []byte, off int64) (string, int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.buf == nil {
		return "", 0, nil
	}
	return n.buf.verifyPart(buf, off)
}

// verifyPart reads the first bytes of the spill file at off or behind.
func (l *layered) verifyPart(buf []byte, off int64) (path string, end int64, err error) {
	if l.spill == nil {
		return "", 0, nil
	}
	for _, r := range l.have {
		from := max(off, r.Off)
		if n := min(r.Off+r.Len-from, int64(len(buf))); n > 0 {
			return l.spill.set.path(l.spill.id), from + n, l.spill.readAt(buf[:n], from)
		}
	}
	return "", 0, nil
}
