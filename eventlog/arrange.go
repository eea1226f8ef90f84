package eventlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// A change is one change of the order while it is being made: the batch that will hold all of it, and what memory
// must know when the batch is applied.
type change struct {
	l         *Log
	batch     *pebble.Batch
	marks     marks
	frames    map[FrameHash]*Frame // new ones
	committed []*node
	newFeed   Feed // of this device from now on
	own       bool // a frame of this device arrives that this log did not cut
}

// arrange makes one change of the order: work says what arrives and what is committed; arrange brings the
// state into the new order, and makes everything visible at once. It returns the state keys that changed. l.order is held.
func (l *Log) arrange(work func(c *change) error) (changed [][]byte, err error) {
	if err := l.reload(); err != nil {
		return nil, err
	}
	c := &change{l: l, batch: l.db().NewBatch(), marks: l.marks, frames: make(map[FrameHash]*Frame), newFeed: l.feed}
	defer func() {
		clear(l.graph.recent)
		if c.batch != nil {
			c.batch.Close()
		}
		if err != nil { // what is in memory may be ahead of the disk
			l.stale = true
			err = errors.Join(err, l.reload())
		}
	}()
	old := slices.Clone(l.graph.tentative)
	waited := l.waited
	l.waited = nil
	for _, n := range waited {
		l.graph.waiting[n.hash] = n
		if err := c.place(n); err != nil {
			return nil, err
		}
	}
	if err := work(c); err != nil {
		return nil, err
	}
	c.drop(old)
	return c.swap(old, append(slices.Clone(c.committed), l.graph.tentative...))
}

// reload brings memory back to what the disk says, if a change failed half-way.
func (l *Log) reload() error {
	if !l.stale {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	l.stale = false
	return nil
}

// receive takes a frame that was verified. It reports whether the frame is new.
func (c *change) receive(f *Frame) (bool, error) {
	if _, known, err := c.l.meta(f.Hash); err != nil || known || c.frames[f.Hash] != nil {
		return false, err
	}
	n := newNode(f.Hash, f.Header)
	n.noKey = !c.l.canOpen(f.Epoch)
	c.frames[f.Hash] = f
	c.batch.Set(c.l.ks.frame(n.feed, f.First, f.Hash), f.Raw, nil)
	put(c.batch, c.l.ks.hash(kindMeta, f.Hash), n.meta(0))
	return true, c.place(n)
}

// place puts a frame into the graph, and notes what follows from it.
func (c *change) place(n *node) error {
	as, err := c.l.graph.add(n)
	if err != nil {
		return err
	}
	for _, a := range as {
		key := c.l.ks.hash(kindWaiting, a.n.hash)
		if a.waits {
			put(c.batch, key, &a.n.header)
			continue
		}
		if a.waited {
			c.batch.Delete(key, nil)
		}
		if a.invalid {
			c.forget(a.n)
			continue
		}
		put(c.batch, c.l.ks.tentative(a.n.header.Depth, a.n.feed, a.n.hash), &a.n.header)
		c.own = c.own || a.n.author.Device == c.l.feed.Device
		c.moveHeads(a)
	}
	return nil
}

func (c *change) moveHeads(a arrival) {
	for _, h := range a.headOff {
		c.batch.Delete(c.l.ks.head(a.n.feed, h), nil)
	}
	for _, h := range a.headOn {
		put(c.batch, c.l.ks.head(h.Feed.ID(), h.Hash), &headRecord{
			Device: h.Feed.Device, Incarnation: h.Feed.Incarnation, Last: h.Last, Depth: h.Depth, Named: h.Named,
		})
	}
}

// forget drops a frame that turned out to be impossible when the ones it names came.
func (c *change) forget(n *node) {
	c.l.logger.Warn("frame contradicts the frames that it names", "frame", fmt.Sprintf("%x", n.hash[:4]),
		"device", n.author.Device)
	delete(c.frames, n.hash)
	c.batch.Delete(c.l.ks.frame(n.feed, n.header.First, n.hash), nil)
	c.batch.Delete(c.l.ks.hash(kindMeta, n.hash), nil)
}

// commit is the commit rule: frame h has its place at index i, or is passed over.
func (c *change) commit(i Index, h FrameHash) error {
	n, err := c.l.graph.commit(h)
	if err != nil || n == nil {
		return err
	}
	place := 0
	for k := len(c.committed); k > 0 && c.committed[k-1].index == i; k-- {
		place++
	}
	n.index = i
	c.committed = append(c.committed, n)
	c.marks.OrderHash = nextOrderHash(c.marks.OrderHash, i, h)
	c.marks.Frames++
	c.marks.Events += n.header.Count
	c.batch.Set(c.l.ks.committed(i, uint32(place)), h[:], nil)
	c.batch.Delete(c.l.ks.tentative(n.header.Depth, n.feed, h), nil)
	put(c.batch, c.l.ks.hash(kindMeta, h), n.meta(i))
	return nil
}

// nextOrderHash continues the running hash of the order by a frame that was committed.
func nextOrderHash(before [32]byte, i Index, h FrameHash) [32]byte {
	b := append(make([]byte, 0, 72), before[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(i))
	return sha256.Sum256(append(b, h[:]...))
}

// drop deletes the undo records of what is committed now.
func (c *change) drop(old []*node) {
	for _, n := range c.committed {
		if _, was := slices.BinarySearchFunc(old, n, compareNodes); was {
			c.batch.Delete(c.l.ks.hash(kindFrameUndo, n.hash), nil)
		}
	}
}

// swap brings the state from the order old to the order new, and makes the change visible.
func (c *change) swap(old, new []*node) ([][]byte, error) {
	l := c.l
	c.marks.Device, c.marks.Incarnation = c.newFeed.Device, c.newFeed.Incarnation
	same := 0
	for same < len(old) && same < len(new) && old[same] == new[same] {
		same++
	}
	if l.keys != nil && (same < len(old) || same < len(new) || c.newFeed != l.feed) {
		return c.rebase(old[same:], new[same:])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return nil, c.apply()
}

// apply commits the batch and moves the marks. l.mu is held.
func (c *change) apply() error {
	l := c.l
	c.marks.First = l.marks.First
	if c.own {
		c.marks.Plain = l.next
	}
	put(c.batch, l.ks.kind(kindMarks), &c.marks)
	if l.time.last.Era != 0 {
		l.time.put(c.batch, l.ks, l.time.last)
	}
	b := c.batch
	c.batch = nil
	done, err := l.store.Begin(b)
	if err != nil {
		return err
	}
	l.time.saved = l.time.last.Era != 0
	l.marks, l.feed, l.self = c.marks, c.newFeed, Author{c.newFeed.ID(), c.newFeed.Device}
	return done.Wait(store.Applied)
}

// eventsOf returns what a frame says to the reducer. A frame that does not open though its key is here says
// nothing, on every device alike.
func (c *change) eventsOf(db pebble.Reader, n *node) ([]Event, error) {
	f := c.frames[n.hash]
	if f == nil {
		var err error
		if f, err = c.l.frame(db, n.hash, n.meta(0)); err != nil {
			return nil, err
		}
	}
	es, err := c.l.openFrame(f)
	if errors.Is(err, identity.ErrNoKey) {
		return nil, err
	}
	if err != nil {
		c.l.logger.Warn("frame does not open; its events count for nothing", "err", err, "device", n.author.Device)
		return nil, nil
	}
	return es, nil
}
