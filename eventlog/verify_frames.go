package eventlog

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
)

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
	if index > c.early && index <= c.base {
		c.Report.Bad(report.Order, c.frameName(f.Hash), report.Nothing, "it is here, and its place is one of those whose frames are gone")
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
	if index != 0 && index <= c.base { // what comes after it in its feed need not be here
		return c.follows(report.Order, c.ks.hash(kindMeta, f.Hash), dagcbor.Encode(n.meta(index)), "where the frame is")
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
	if c.order != nil {
		return c.order[h], nil
	}
	var m frameMeta
	rec, ok, err := dbGet(c.DB, c.ks.hash(kindMeta, h))
	if err != nil || !ok || dagcbor.Decode(rec, &m) != nil || m.Index == 0 {
		return 0, err
	}
	at := binary.BigEndian.AppendUint64(c.ks.kind(kindCommitted), uint64(m.Index))
	var is Index
	err = scanRange(c.DB, at, after(at), func(_, val []byte) error {
		if bytes.Equal(val, h[:]) {
			is = m.Index
		}
		return nil
	})
	return is, err
}

// readOrder has the order itself asked from now on: a record contradicts it.
func (c *logCheck) readOrder() error {
	if c.order != nil {
		return nil
	}
	c.order = map[FrameHash]Index{}
	return c.each(kindCommitted, func(key, val []byte) error {
		if len(key) == 18+12 && len(val) == len(FrameHash{}) {
			c.order[FrameHash(val)] = Index(binary.BigEndian.Uint64(key[18:]))
		}
		return nil
	})
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
		var named Index
		if named, err = c.indexOf(h); err != nil {
			return false
		}
		if index != 0 && (named == 0 || named > index) {
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
		if m.Index != i {
			if err := c.readOrder(); err != nil {
				return err
			}
		}
		if i > c.marks.Index && c.want.OrderHash == c.marks.OrderHash && c.want.Frames == c.marks.Frames {
			behind = true // the marks are of an earlier moment
		}
		c.want.OrderHash = nextOrderHash(c.want.OrderHash, i, h)
		c.want.Frames++
		c.want.Events += m.Count
		c.want.Index = max(c.want.Index, i)
		c.passes(i)
		return nil
	})
	if err == nil && c.want.OrderHash != c.marks.OrderHash && !behind {
		c.Report.Bad(report.Order, c.Name+": marks", report.Nothing, "the order hash is %x, and what is committed gives %x", c.marks.OrderHash[:8], c.want.OrderHash[:8])
		c.want.OrderHash = c.marks.OrderHash
		c.Fix = nil // it is not known what is committed
	}
	return err
}

func (c *logCheck) tentative() error {
	return c.each(kindTentative, func(key, _ []byte) error {
		part := key[18:]
		if len(part) != 8+16+32 {
			return c.extra(report.Order, key, "it is no place of a tentative frame")
		}
		h := hashOf(key)
		if i, err := c.indexOf(h); err != nil {
			return err
		} else if i != 0 {
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
			c.Report.Bad(report.Undo, c.frameName(h), c.replayed(), "its undo record is missing")
		} else if _, err := decodeUndo(rec); err != nil {
			c.Report.Bad(report.Undo, c.frameName(h), c.replayed(), "%v", err)
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
			if i, err := c.indexOf(hashOf(key)); err != nil || i != 0 && i <= c.base {
				return err
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
		if i, err := c.indexOf(hashOf(key)); err != nil || i == 0 {
			return err
		}
		return c.extra(report.Undo, key, "the undo record of a committed frame")
	})
}
