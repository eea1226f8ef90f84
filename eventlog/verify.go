package eventlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
)

// A Look is a volume's log as the database has it, to be verified. Nothing else need be open.
type Look struct {
	DB      pebble.Reader // the database, or a snapshot of it
	Volume  identity.VolumeID
	Name    string                       // of the volume, for people
	Member  func(identity.DeviceID) bool // nil: it is not known
	Keys    *identity.VolumeKeys         // nil: frames are not opened
	Reducer Reducer                      // with Keys
	Report  *report.Report
	// Fix sets a record that follows from others (val nil: removes it), if such records are to be mended; else nil. It must not change what DB shows.
	Fix func(key, val []byte) error
	// Frames are those that are damaged or missing: Verify adds to it, unless it is nil.
	Frames map[FrameHash]struct{}
}

// PutFrame gives fix a frame that is lost here, as it was found elsewhere. It reports whether it is one of this volume's.
func (o Look) PutFrame(raw []byte, fix func(key, val []byte) error) (bool, error) {
	f, err := ParseFrame(raw)
	if err != nil || f.Volume != o.Volume {
		return false, nil
	}
	if _, lost := o.Frames[f.Hash]; !lost {
		return false, nil
	}
	delete(o.Frames, f.Hash)
	return true, fix(newKeyspace(o.Volume).frame(f.Feed().ID(), f.First, f.Hash), raw)
}

// VolumesOf lists the volumes of which a database has records of a log.
func VolumesOf(db pebble.Reader) ([]identity.VolumeID, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'l'}, UpperBound: []byte{'l' + 1}})
	if err != nil {
		return nil, err
	}
	var ids []identity.VolumeID
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) < 17 {
			ok = it.Next()
			continue
		}
		ids = append(ids, identity.VolumeID(key[1:17]))
		next := after(key[:17])
		ok = next != nil && it.SeekGE(next)
	}
	return ids, it.Close()
}

// Device returns whose log it is, as its marks or any frame of it say.
func (o Look) Device() (identity.DeviceID, bool) {
	ks := newKeyspace(o.Volume)
	var m marks
	if rec, ok, err := dbGet(o.DB, ks.kind(kindMarks)); err == nil && ok && dagcbor.Decode(rec, &m) == nil {
		return m.Device, true
	}
	var d identity.DeviceID
	found := false
	prefix := ks.kind(kindFrame)
	_ = scanRange(o.DB, prefix, after(prefix), func(_, raw []byte) error {
		if f, err := ParseFrame(raw); err == nil {
			d, found = f.Device, true
			return errStop
		}
		return nil
	})
	return d, found
}

// Index returns the last place in the order that the log says it has; 0 if it can't tell.
func (o Look) Index() Index {
	var m marks
	if rec, ok, err := dbGet(o.DB, newKeyspace(o.Volume).kind(kindMarks)); err != nil || !ok || dagcbor.Decode(rec, &m) != nil {
		return 0
	}
	return m.Index
}

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
		c.frameUndos, c.unframed, c.facts, c.unknown,
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
	base  Index // frames up to there may not be here: the log was restored from a checkpoint
	want  marks
	order map[FrameHash]Index     // of the committed frames; read when it is needed
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

// frames checks every frame by itself and with those that it names.
func (c *logCheck) frames() error {
	return c.each(kindFrame, func(key, raw []byte) error {
		c.count.frames++
		c.Report.Checked(report.Frame, 1)
		if err := c.Report.Read(int64(len(raw))); err != nil {
			return err
		}
		part := key[18:]
		if len(part) != 16+8+32 {
			return c.extra(report.Unknown, key, "it is not the key of a frame")
		}
		feed, first, h := FeedID(part), Seq(binary.BigEndian.Uint64(part[16:])), hashOf(part)
		f, err := ParseFrame(bytes.Clone(raw))
		switch {
		case err != nil:
			c.lost(h, report.Copy, "%v", err)
			return nil
		case f.Hash != h:
			c.lost(h, report.Copy, "its hash is %x", f.Hash[:8])
			return nil
		case f.Feed().ID() != feed || f.First != first || f.Volume != c.Volume:
			c.lost(h, report.Nothing, "it stands under the key of another frame")
			return nil
		case c.Member != nil && !c.Member(f.Device):
			c.Report.Bad(report.Frame, c.frameName(h), report.Nothing, "%v is no member", f.Device)
		case !f.Verify():
			c.Report.Bad(report.Frame, c.frameName(h), report.Nothing, "its signature is wrong")
		}
		if err := c.opens(f); err != nil {
			return err
		}
		return c.place(f)
	})
}

// opens tells of a frame that does not open: it counts for nothing, on every device alike.
func (c *logCheck) opens(f *Frame) error {
	if c.Keys == nil {
		return nil
	}
	l := Log{keys: c.Keys, packer: c.packer}
	if _, err := l.openFrame(f); err != nil {
		c.Report.Note(report.Frame, c.frameName(f.Hash), "its events count for nothing: %v", err)
	}
	return nil
}

// place checks a frame with those that it names, and its own records.
func (c *logCheck) place(f *Frame) error {
	n := newNode(f.Hash, f.Header)
	if _, waits, err := dbGet(c.DB, c.ks.hash(kindWaiting, f.Hash)); err != nil || waits {
		if err == nil {
			c.count.waiting++
			err = c.follows(report.Order, c.ks.hash(kindMeta, f.Hash), dagcbor.Encode(n.meta(0)), "where the frame is")
		}
		return err
	}
	index, err := c.indexOf(f.Hash)
	if err != nil {
		return err
	}
	if index == 0 {
		c.count.tentative++
		key := c.ks.tentative(f.Depth, n.feed, f.Hash)
		if err := c.follows(report.Order, key, dagcbor.Encode(&n.header), "the place of a tentative frame"); err != nil {
			return err
		}
	}
	if err := c.names(n, index); err != nil {
		return err
	}
	delete(c.heads, f.Prev)
	c.heads[f.Hash] = headRecord{Device: f.Device, Incarnation: f.Incarnation, Last: f.Last(), Depth: f.Depth}
	c.feeds[f.Hash] = n.feed
	for _, h := range f.BuildsOn {
		c.named[h] = struct{}{}
	}
	return c.follows(report.Order, c.ks.hash(kindMeta, f.Hash), dagcbor.Encode(n.meta(index)), "where the frame is")
}

// metaOf returns where a frame is and what it is, by its record, or, if that is gone, by the frame itself.
func (c *logCheck) metaOf(h FrameHash) (m frameMeta, ok bool, err error) {
	rec, ok, err := dbGet(c.DB, c.ks.hash(kindMeta, h))
	if err != nil || ok && dagcbor.Decode(rec, &m) == nil {
		return m, ok, err
	}
	if c.here == nil {
		c.here = map[FrameHash]frameMeta{}
		err := c.each(kindFrame, func(key, raw []byte) error {
			if f, err := ParseFrame(raw); err == nil && f.Hash == hashOf(key) {
				c.here[f.Hash] = newNode(f.Hash, f.Header).meta(c.order[f.Hash])
			}
			return nil
		})
		if err != nil {
			return m, false, err
		}
	}
	m, ok = c.here[h]
	return m, ok, nil
}

// indexOf returns a frame's place in the committed order, as the order itself says; 0: none.
func (c *logCheck) indexOf(h FrameHash) (Index, error) {
	if c.order == nil {
		c.order = map[FrameHash]Index{}
		err := c.each(kindCommitted, func(key, val []byte) error {
			if len(key) == 18+12 && len(val) == len(h) {
				c.order[FrameHash(val)] = Index(binary.BigEndian.Uint64(key[18:]))
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return c.order[h], nil
}

// names checks what a frame says of those that it names.
func (c *logCheck) names(n *node, index Index) (err error) {
	var depth uint64
	n.names(func(h FrameHash) bool {
		var m frameMeta
		var ok bool
		if m, ok, err = c.metaOf(h); err != nil {
			return false
		}
		if !ok {
			c.lost(h, report.Copy, "frame %x builds on it, and it is not here", n.hash[:8])
			depth = n.header.Depth - 1
			return true
		}
		depth = max(depth, m.Depth)
		if h == n.header.Prev && (m.Feed != n.feed || m.First+Seq(m.Count) != n.header.First) {
			c.Report.Bad(report.Frame, c.frameName(n.hash), report.Nothing, "it does not continue frame %x", h[:8])
		}
		if named := c.order[h]; index != 0 && (named == 0 || named > index) {
			c.Report.Bad(report.Order, c.frameName(n.hash), report.Nothing, "it is committed before frame %x, on which it builds", h[:8])
		}
		return true
	})
	if err == nil && n.header.Depth != depth+1 {
		c.Report.Bad(report.Frame, c.frameName(n.hash), report.Nothing, "its depth is %d, and should be %d", n.header.Depth, depth+1)
	}
	return err
}

// metas looks for records of frames that are not here.
func (c *logCheck) metas() error {
	return c.each(kindMeta, func(key, val []byte) error {
		var m frameMeta
		if len(key) != 18+32 || dagcbor.Decode(val, &m) != nil {
			return nil // if there is the frame, it is told already
		}
		if !c.has(m, hashOf(key)) && (m.Index == 0 || m.Index > c.base) {
			c.lost(hashOf(key), report.Copy, "the frame is missing")
		}
		return nil
	})
}

func (c *logCheck) has(m frameMeta, h FrameHash) bool {
	_, closer, err := c.DB.Get(c.ks.frame(m.Feed, m.First, h))
	if err != nil {
		return false
	}
	return closer.Close() == nil
}

// committed goes through the committed order, and computes what the marks must say of it.
func (c *logCheck) committed() error {
	c.want = c.marks
	c.want.Frames, c.want.Events, c.want.OrderHash = 0, 0, [32]byte{}
	var last Index
	var place uint32
	behind := false
	err := c.each(kindCommitted, func(key, val []byte) error {
		c.Report.Checked(report.Order, 1)
		if len(key) != 18+12 || len(val) != 32 {
			c.Report.Bad(report.Order, c.keyName(key), report.Nothing, "it is no place of a frame")
			return nil
		}
		i, p, h := Index(binary.BigEndian.Uint64(key[18:])), binary.BigEndian.Uint32(key[26:]), FrameHash(val)
		if i != last {
			place = 0
		} else {
			place++
		}
		if last = i; p != place {
			c.Report.Bad(report.Order, c.keyName(key), report.Nothing, "place %d of index %d is missing", place, i)
			place = p
		}
		m, ok, err := c.metaOf(h)
		if err != nil {
			return err
		}
		if !ok {
			c.lost(h, report.Copy, "it is committed at %d, and not here", i)
		}
		if i > c.marks.Index && c.want.OrderHash == c.marks.OrderHash && c.want.Frames == c.marks.Frames {
			behind = true // the marks are of an earlier moment
		}
		c.want.OrderHash = nextOrderHash(c.want.OrderHash, i, h)
		c.want.Frames++
		c.want.Events += m.Count
		c.want.Index = max(c.want.Index, i)
		return nil
	})
	if err == nil && c.want.OrderHash != c.marks.OrderHash && !behind {
		c.Report.Bad(report.Order, c.Name+": marks", report.Nothing, "the order hash is %x, and what is committed gives %x", c.marks.OrderHash[:8], c.want.OrderHash[:8])
		c.want.OrderHash = c.marks.OrderHash
		c.Fix = nil // it is not known what is committed
	}
	return err
}

// checkMarks compares the marks with the order.
func (c *logCheck) checkMarks() error {
	if !c.known { // until its first event is framed, a log has none
		_, fresh, err := dbGet(c.DB, c.ks.local(kindUnframed, 1))
		if err == nil && (c.count.frames > 0 || !fresh) {
			c.Report.Bad(report.Order, c.Name+": marks", report.Nothing, "they are missing")
		}
		return err
	}
	return c.follows(report.Order, c.ks.kind(kindMarks), dagcbor.Encode(&c.want), "how far the order has come")
}

func (c *logCheck) tentative() error {
	return c.each(kindTentative, func(key, _ []byte) error {
		part := key[18:]
		if len(part) != 8+16+32 {
			return c.extra(report.Order, key, "it is no place of a tentative frame")
		}
		h := hashOf(key)
		if c.order[h] != 0 {
			return c.extra(report.Order, key, "a committed frame stands in the tentative order")
		}
		if _, ok, err := c.metaOf(h); err != nil || !ok {
			c.lost(h, report.Copy, "it is tentative, and not here")
			return err
		}
		rec, ok, err := dbGet(c.DB, c.ks.hash(kindFrameUndo, h))
		if err != nil || c.Keys == nil {
			return err
		}
		if !ok {
			c.Report.Bad(report.Undo, c.frameName(h), report.Nothing, "its undo record is missing")
		} else if _, err := decodeUndo(rec); err != nil {
			c.Report.Bad(report.Undo, c.frameName(h), report.Nothing, "%v", err)
		}
		return nil
	})
}

func (c *logCheck) waiting() error {
	return c.each(kindWaiting, func(key, val []byte) error {
		var h Header
		if len(key) != 18+32 || dagcbor.Decode(val, &h) != nil {
			c.Report.Bad(report.Order, c.keyName(key), report.Nothing, "it is no waiting frame")
		}
		return nil
	})
}

// checkHeads compares the heads with those that the frames have.
func (c *logCheck) checkHeads() error {
	for _, h := range slices.SortedFunc(maps.Keys(c.heads), func(a, b FrameHash) int { return bytes.Compare(a[:], b[:]) }) {
		head := c.heads[h]
		if _, head.Named = c.named[h]; c.base > 0 && !head.Named { // a frame that is not here may have named it
			var is headRecord
			if rec, ok, err := dbGet(c.DB, c.ks.head(c.feeds[h], h)); err == nil && ok && dagcbor.Decode(rec, &is) == nil {
				head.Named = is.Named
			}
		}
		if err := c.follows(report.Order, c.ks.head(c.feeds[h], h), dagcbor.Encode(&head), "the head of a feed"); err != nil {
			return err
		}
	}
	return c.each(kindHead, func(key, _ []byte) error {
		if _, ok := c.heads[hashOf(key)]; !ok || len(key) != 18+16+32 {
			if i := c.order[hashOf(key)]; i != 0 && i <= c.base {
				return nil
			}
			return c.extra(report.Order, key, "it is no feed's last frame")
		}
		return nil
	})
}

// frameUndos looks for undo records of frames that are not tentative.
func (c *logCheck) frameUndos() error {
	return c.each(kindFrameUndo, func(key, _ []byte) error {
		c.Report.Checked(report.Undo, 1)
		if c.order[hashOf(key)] != 0 {
			return c.extra(report.Undo, key, "the undo record of a committed frame")
		}
		return nil
	})
}

// unframed checks this device's events that are in no frame.
func (c *logCheck) unframed() error {
	next := c.marks.First
	err := c.each(kindUnframed, func(key, val []byte) error {
		c.Report.Checked(report.Event, 1)
		n := localSeqOf(key)
		if n < c.marks.First {
			return c.extra(report.Event, key, "an event that is in a frame already")
		}
		if n != next && c.known {
			c.Report.Bad(report.Event, c.keyName(key), report.Nothing, "event %d is missing before it", next)
		}
		next = n + 1
		_, held, err := decodeEventRecord(val)
		if err != nil {
			c.Report.Bad(report.Event, c.keyName(key), report.Nothing, "%v", err)
			return nil
		}
		_, isHeld, err := dbGet(c.DB, c.ks.local(kindHeld, n))
		if err == nil && held != isHeld {
			c.Report.Bad(report.Event, c.keyName(key), report.Nothing, "it is held in one record and not in the other")
		}
		return errors.Join(err, c.undoOf(n))
	})
	if err != nil {
		return err
	}
	return c.each(kindUndo, func(key, _ []byte) error {
		c.Report.Checked(report.Undo, 1)
		if n := localSeqOf(key); n < c.marks.First || n >= next {
			return c.extra(report.Undo, key, "the undo record of no event")
		}
		return nil
	})
}

func (c *logCheck) undoOf(n LocalSeq) error {
	key := c.ks.local(kindUndo, n)
	rec, ok, err := dbGet(c.DB, key)
	if err != nil {
		return err
	}
	if !ok {
		c.Report.Bad(report.Undo, c.keyName(key), report.Nothing, "the undo record of event %d is missing", n)
	} else if _, err := decodeUndo(rec); err != nil {
		c.Report.Bad(report.Undo, c.keyName(key), report.Nothing, "%v", err)
	}
	return nil
}

// facts checks the form of history.
func (c *logCheck) facts() error {
	eras, lost := map[uint32]bool{}, map[uint32]era{}
	err := c.each(kindEra, func(key, val []byte) error {
		var e era
		if len(key) != 18+4 || dagcbor.Decode(val, &e) != nil || e.Start > e.Last {
			c.Report.Bad(report.Fact, c.keyName(key), report.Nothing, "it is no era")
			return nil
		}
		eras[binary.BigEndian.Uint32(key[18:])] = true
		return nil
	})
	if err != nil {
		return err
	}
	err = c.each(kindGrid, func(key, val []byte) error {
		var g grids
		if len(key) != 18 || dagcbor.Decode(val, &g) != nil {
			c.Report.Bad(report.Fact, c.keyName(key), report.Nothing, "it is no grid")
		}
		return nil
	})
	if err != nil {
		return err
	}
	var scratch []byte
	err = c.each(kindFact, func(key, val []byte) error {
		c.Report.Checked(report.Fact, 1)
		of, m, err := splitFactKey(scratch[:0], key[18:])
		switch {
		case err != nil:
			c.Report.Bad(report.Fact, c.keyName(key), report.Nothing, "%v", err)
			return nil
		case len(val) > 0 && val[0] != 1:
			c.Report.Bad(report.Fact, c.keyName(key), report.Nothing, "it is neither a value nor none")
		case !eras[m.Era]:
			e, ok := lost[m.Era]
			if !ok {
				e = era{Start: m.Time, Last: m.Time}
			}
			lost[m.Era] = era{Start: min(e.Start, m.Time), Last: max(e.Last, m.Time)}
		}
		scratch = of
		return nil
	})
	for _, n := range slices.Sorted(maps.Keys(lost)) {
		// History begins with what there is of it.
		if err := errors.Join(err, c.follows(report.Fact, c.ks.era(n), dagcbor.Encode(lost[n]), "an era of which there is history")); err != nil {
			return err
		}
	}
	return err
}

// unknown looks for records of kinds that there are none of.
func (c *logCheck) unknown() error {
	const kinds = "suiefmztwchayrxonb"
	low := c.ks.prefix
	for _, kind := range append([]byte(sortedString(kinds)), 0) {
		high := c.ks.kind(kind)
		if kind == 0 {
			high = after(c.ks.prefix)
		}
		err := scanRange(c.DB, low, high, func(key, _ []byte) error {
			c.Report.Bad(report.Unknown, c.keyName(append(bytes.Clone(key), 0)), report.Nothing, "no version of this program writes it")
			return nil
		})
		if err != nil {
			return err
		}
		low = after(c.ks.kind(kind))
	}
	return nil
}

func sortedString(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}
