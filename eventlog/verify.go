package eventlog

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
)

// Verify checks every record of a volume's log but the state: form, frames with their hashes, signatures and chains, both orders, heads,
// marks, unframed events, undo records, facts. Records that follow from frames are compared with what they must be. The error
// is the database's, or the report's.
func (o Look) Verify() error {
	c := &logCheck{
		Look: o, ks: newKeyspace(o.Volume), packer: newPacker(),
		heads: map[FrameHash]headRecord{}, feeds: map[FrameHash]FeedID{}, named: map[FrameHash]struct{}{},
	}
	for _, step := range []func() error{
		c.readMarks, c.committed, c.frames, c.metas, c.tentative, c.waiting, c.checkHeads, c.checkMarks,
		c.frameUndos, c.unframed, c.facts, c.kept, c.unknown,
	} {
		if err := step(); err != nil {
			return fmt.Errorf("verify log of volume %x: %w", o.Volume, err)
		}
	}
	return nil
}

// A logCheck is one Verify.
type logCheck struct {
	Look
	ks     keyspace
	packer packer

	marks marks
	known bool  // there are marks
	base  Index // frames up to there are not here: a checkpoint has what they said
	early Index // but for those up to there, which may be
	want  marks
	kepts map[Index]Checkpoint    // those that are kept, as the order says what they have
	order map[FrameHash]Index     // of the committed frames; nil: their records say it too
	here  map[FrameHash]frameMeta // of the frames that are here; read when a record of one is gone
	count struct{ frames, tentative, waiting uint64 }
	heads map[FrameHash]headRecord // as the frames say
	feeds map[FrameHash]FeedID     // of heads
	named map[FrameHash]struct{}   // frames on which those of other feeds build
}

func (c *logCheck) frameName(h FrameHash) string { return fmt.Sprintf("%s: frame %x", c.Name, h[:8]) }

func (c *logCheck) keyName(key []byte) string {
	return fmt.Sprintf("%s: %q %x", c.Name, key[17:18], key[18:])
}

// each calls fn for the records of a kind; its slices are valid during the call only.
func (c *logCheck) each(kind byte, fn func(key, val []byte) error) error {
	prefix := c.ks.kind(kind)
	return scanRange(c.DB, prefix, after(prefix), func(key, val []byte) error {
		if err := c.Report.Read(0); err != nil {
			return err
		}
		return fn(key, val)
	})
}

// lost tells of a frame that is not as it was, or not here. What follows from frames is then not made anew: who knows what this one said.
func (c *logCheck) lost(h FrameHash, m report.Mend, format string, args ...any) {
	c.Report.Bad(report.Frame, c.frameName(h), m, format, args...)
	c.Fix = nil
	if c.Frames != nil && m == report.Copy {
		c.Frames[h] = struct{}{}
	}
}

// follows compares a record with what it must be.
func (c *logCheck) follows(k report.Kind, key, want []byte, what string) error {
	is, ok, err := dbGet(c.DB, key)
	if err != nil || ok && bytes.Equal(is, want) {
		return err
	}
	if ok {
		c.Report.Bad(k, c.keyName(key), report.Rebuild, "%s is not what the frames say", what)
	} else {
		c.Report.Bad(k, c.keyName(key), report.Rebuild, "%s is missing", what)
	}
	if c.Fix == nil {
		return nil
	}
	return c.Fix(key, want)
}

// extra tells of a record that nothing explains.
func (c *logCheck) extra(k report.Kind, key []byte, what string) error {
	c.Report.Bad(k, c.keyName(key), report.Rebuild, "%s", what)
	if c.Fix == nil {
		return nil
	}
	return c.Fix(bytes.Clone(key), nil)
}

func (c *logCheck) readMarks() error {
	if rec, ok, err := dbGet(c.DB, c.ks.kind(kindBase)); err != nil {
		return err
	} else if ok && dagcbor.Decode(rec, &c.base) != nil {
		c.Report.Bad(report.Order, c.Name+": base", report.Nothing, "it can't be read")
	}
	if rec, ok, err := dbGet(c.DB, c.ks.kind(kindEarly)); err != nil {
		return err
	} else if ok && (dagcbor.Decode(rec, &c.early) != nil || c.early > c.base) {
		c.Report.Bad(report.Order, c.Name+": early frames", report.Nothing, "it can't be read, or goes beyond the base")
	}
	c.kepts = map[Index]Checkpoint{}
	for _, k := range c.Kept() {
		c.kepts[k.Index] = Checkpoint{}
	}
	rec, ok, err := dbGet(c.DB, c.ks.kind(kindMarks))
	if err != nil || !ok {
		return err
	}
	if err := dagcbor.Decode(rec, &c.marks); err != nil || c.marks.Version != marksVersion {
		c.Report.Bad(report.Order, c.Name+": marks", report.Nothing, "they can't be read: %v", cmp.Or(err, ErrVersion))
		return nil
	}
	c.known = true
	return nil
}

// replayed is what mends what the replay of the log makes anew.
func (c *logCheck) replayed() report.Mend {
	if c.Keys == nil {
		return report.Nothing
	}
	return report.Rebuild
}
