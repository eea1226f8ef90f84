package eventlog

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// marks say how far a log has come.
type marks struct {
	_           struct{} `cbor:",toarray"`
	Version     uint64
	Device      identity.DeviceID // this device's feed
	Incarnation uint64
	First       LocalSeq // the first event that is in no frame
	Index       Index    // the last that the sequencer gave
	OrderHash   [32]byte // after the last committed frame
	Frames      uint64   // committed
	Events      uint64   // committed
	Plain       LocalSeq // events before this one are framed as they are: see tail.plain
}

const marksVersion = 1

// frameMeta says where a frame is, and of a committed one all that the graph asks.
type frameMeta struct {
	_     struct{} `cbor:",toarray"`
	Feed  FeedID
	First Seq
	Count uint64
	Depth uint64
	Index Index // 0: not committed
}

// headRecord stands behind a feed and the hash of its last frame.
type headRecord struct {
	_           struct{} `cbor:",toarray"`
	Device      identity.DeviceID
	Incarnation uint64
	Last        Seq
	Depth       uint64
	Named       bool
}

func (m frameMeta) placement() placement {
	return placement{m.Feed, m.First + Seq(m.Count) - 1, m.Depth}
}

func (n *node) meta(i Index) frameMeta {
	return frameMeta{Feed: n.feed, First: n.header.First, Count: n.header.Count, Depth: n.header.Depth, Index: i}
}

// meta returns what is known of a frame, or false.
func (l *Log) meta(h FrameHash) (frameMeta, bool, error) {
	var m frameMeta
	rec, ok, err := dbGet(l.db(), l.ks.hash(kindMeta, h))
	if err == nil && ok {
		err = dagcbor.DecodeTrusted(rec, &m)
	}
	if err != nil {
		return m, false, fmt.Errorf("frame %x: %w", h[:4], err)
	}
	return m, ok, nil
}

// frame reads a frame that is stored.
func (l *Log) frame(db pebble.Reader, h FrameHash, m frameMeta) (*Frame, error) {
	raw, ok, err := dbGet(db, l.ks.frame(m.Feed, m.First, h))
	if err == nil && !ok {
		err = ErrNotHere
	}
	if err != nil {
		return nil, fmt.Errorf("frame %x: %w", h[:4], err)
	}
	return ParseFrame(raw)
}

// load reads what the log keeps in memory: marks, heads, and what is not committed.
func (l *Log) load() error {
	l.marks = marks{Version: marksVersion, Device: l.feed.Device, Incarnation: l.feed.Incarnation, First: 1}
	if rec, ok, err := dbGet(l.db(), l.ks.kind(kindMarks)); err != nil {
		return err
	} else if ok {
		if err := dagcbor.DecodeTrusted(rec, &l.marks); err != nil {
			return err
		}
	} else if err := l.checkBegun(l.begun); err != nil {
		return err
	}
	if l.marks.Version != marksVersion {
		return fmt.Errorf("log of version %d: %w", l.marks.Version, ErrVersion)
	}
	if err := l.loadUnframed(); err != nil {
		return err
	}
	if err := l.loadNotes(); err != nil {
		return err
	}
	return l.loadGraph()
}

// loadUnframed finds this device's events that are in no frame yet.
func (l *Log) loadUnframed() error {
	l.next, l.held = l.marks.First, make(map[LocalSeq]bool)
	last, err := l.lastKey(l.ks.local(kindUnframed, l.marks.First), after(l.ks.kind(kindUnframed)))
	if err != nil {
		return err
	}
	if last != nil {
		l.next = localSeqOf(last) + 1
	}
	low, high := l.ks.local(kindHeld, l.marks.First), after(l.ks.kind(kindHeld))
	return scanRange(l.db(), low, high, func(key, _ []byte) error {
		l.held[localSeqOf(key)] = true
		return nil
	})
}

func (l *Log) loadGraph() error {
	l.graph = newGraph(func(h FrameHash) (placement, bool, error) {
		m, ok, err := l.meta(h)
		return m.placement(), ok && m.Index != 0, err
	})
	err := l.eachKey(kindHead, func(key, val []byte) error {
		var r headRecord
		if err := dagcbor.DecodeTrusted(val, &r); err != nil {
			return err
		}
		h := hashOf(key)
		f := Feed{Volume: l.volume, Device: r.Device, Incarnation: r.Incarnation}
		l.graph.heads[h] = &Head{Feed: f, Hash: h, Last: r.Last, Depth: r.Depth, Named: r.Named}
		return nil
	})
	if err != nil {
		return err
	}
	err = l.eachNode(kindTentative, func(n *node) error {
		l.graph.tentative = append(l.graph.tentative, n) // the keys are in the tentative order
		l.graph.byHash[n.hash] = n
		return nil
	})
	if err != nil {
		return err
	}
	l.waited = nil
	return l.eachNode(kindWaiting, func(n *node) error {
		l.waited = append(l.waited, n)
		return nil
	})
}

// eachNode calls fn for the frames whose headers stand behind the keys of a kind.
func (l *Log) eachNode(kind byte, fn func(n *node) error) error {
	return l.eachKey(kind, func(key, val []byte) error {
		var h Header
		if err := dagcbor.DecodeTrusted(val, &h); err != nil {
			return err
		}
		n := newNode(hashOf(key), h)
		n.noKey = !l.canOpen(h.Epoch)
		return fn(n)
	})
}

// canOpen reports whether the key of an epoch is here. A log without keys needs none.
func (l *Log) canOpen(epoch uint32) bool {
	if l.keys == nil {
		return true
	}
	_, ok := l.keys.FrameKey(epoch)
	return ok
}

func put(b *pebble.Batch, key []byte, v any) { b.Set(key, dagcbor.Encode(v), nil) }
