package ipld

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// maxSweep bounds how many segments one pass over the index remembers the blocks of.
const maxSweep = 1024

// Collect drops the blocks that nothing needs and gives their space back. It calls reachable, which
// yields every block that is needed, or the roots of what is: Collect walks below what it is given, by
// the links in the clear. Blocks that are put, or found to be there by Put, while it runs or under a
// Hold are kept. It returns how many bytes the disk got back.
//
// A segment that is more than half dead is rewritten: what is alive is appended like new blocks and
// made durable, then the index forgets the rest, then the file goes. A crash at any point loses nothing,
// and what it leaves undone is done by the next start or the next collection. Nothing is dropped if
// reachable fails, or if a block whose children should be marked is damaged. A block that is not here
// needs nothing.
//
// One collection runs at a time; Get, Put and Sync go on meanwhile.
func (s *Segments) Collect(ctx context.Context, reachable func(yield func(CID) error) error) (freed int64, err error) {
	return s.collect(ctx, reachable, 2)
}

// CollectHard is Collect for a disk that is nearly full: it rewrites every segment of which a sixteenth is dead. It needs room for a
// segment's copy.
func (s *Segments) CollectHard(ctx context.Context, reachable func(yield func(CID) error) error) (freed int64, err error) {
	return s.collect(ctx, reachable, 16)
}

func (s *Segments) collect(ctx context.Context, reachable func(yield func(CID) error) error, part int64) (freed int64, err error) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	defer s.hold((*young).beginOldest)()
	c := &collection{s: s, ctx: ctx, part: part, marked: map[uint64]struct{}{}, skipped: map[segmentNumber]bool{}}
	if err := reachable(c.mark); err != nil {
		return 0, fmt.Errorf("collect blocks: mark: %w", err)
	}
	if err := s.Sync(); err != nil { // from here on the index knows everything that is old
		return 0, fmt.Errorf("collect blocks: %w", err)
	}
	if err := c.sweep(); err != nil {
		return c.freed, fmt.Errorf("collect blocks: %w", explain(err))
	}
	return c.freed, nil
}

// Garbage returns how many bytes of blocks nothing needs, of those that Collect would look for. It drops nothing.
func (s *Segments) Garbage(ctx context.Context, reachable func(yield func(CID) error) error) (dead int64, err error) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	defer s.hold((*young).beginOldest)()
	c := &collection{s: s, ctx: ctx, marked: map[uint64]struct{}{}}
	if err := reachable(c.mark); err != nil {
		return 0, fmt.Errorf("look for garbage: mark: %w", err)
	}
	err = s.eachIndexed(func(cid CID, l location) error {
		if !c.alive(cid) {
			dead += l.end() - l.off
		}
		return ctx.Err()
	})
	if err != nil {
		return 0, fmt.Errorf("look for garbage: %w", explain(err))
	}
	return dead, nil
}

// A collection is one run of Collect.
type collection struct {
	s       *Segments
	ctx     context.Context
	part    int64                  // a segment is rewritten if more than one part of so many is dead
	marked  map[uint64]struct{}    // by the digest's beginning: who shares it with a live block lives
	skipped map[segmentNumber]bool // hold a damaged block that is needed
	freed   int64
}

func fingerprint(c CID) uint64 { return binary.BigEndian.Uint64(c[cidPrefixLen:]) }

// mark marks c and everything below it.
func (c *collection) mark(root CID) error {
	stack := []CID{root}
	for len(stack) > 0 {
		cid := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if _, ok := c.marked[fingerprint(cid)]; ok || cid.IsZero() {
			continue
		}
		c.marked[fingerprint(cid)] = struct{}{}
		if cid.Codec() == Raw {
			continue
		}
		b, err := c.s.Get(cid)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil {
			err = c.s.opts.Pace(c.ctx, len(b.Data))
		}
		if err != nil {
			return err
		}
		children, err := Children(b)
		if err != nil {
			return err
		}
		stack = append(stack, children...)
	}
	return nil
}

// alive reports whether a block must be kept.
func (c *collection) alive(cid CID) bool {
	if _, ok := c.marked[fingerprint(cid)]; ok {
		return true
	}
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	return c.s.young.has(cid)
}

// sweep rewrites and drops segments until none is left that is worth it.
func (c *collection) sweep() error {
	for {
		doomed, more, err := c.survey()
		if err != nil || len(doomed) == 0 {
			return err
		}
		entries, err := c.retire(doomed)
		if err != nil {
			return err
		}
		for _, n := range doomed {
			if err := c.empty(n, entries[n]); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// retire lets segments grow no more, and returns the blocks that they have, in their order.
func (c *collection) retire(doomed []segmentNumber) (map[segmentNumber][]located, error) {
	s := c.s
	s.appending.Lock()
	var err error
	if s.tail != nil && slices.Contains(doomed, s.tail.num) {
		err = s.closeTail()
	}
	s.appending.Unlock()
	if err := errors.Join(err, s.Sync()); err != nil { // now all that they have is in the index
		return nil, err
	}
	entries := make(map[segmentNumber][]located, len(doomed))
	for _, n := range doomed {
		entries[n] = nil
	}
	err = s.eachIndexed(func(cid CID, l location) error {
		if of, ok := entries[l.segment]; ok {
			entries[l.segment] = append(of, located{cid, l})
		}
		return c.ctx.Err()
	})
	for _, of := range entries {
		slices.SortFunc(of, func(a, b located) int { return cmp.Compare(a.off, b.off) })
	}
	return entries, err
}

// A located is a block and where it is.
type located struct {
	cid CID
	location
}

// survey finds segments that are worth rewriting, the emptiest first, and whether there are more.
func (c *collection) survey() (doomed []segmentNumber, more bool, err error) {
	live := map[segmentNumber]int64{}
	if err := c.s.eachIndexed(func(cid CID, l location) error {
		if c.alive(cid) {
			live[l.segment] += l.end() - l.off
		}
		return c.ctx.Err()
	}); err != nil {
		return nil, false, err
	}
	c.s.mu.RLock()
	for n, seg := range c.s.segments {
		behind := seg.size - seg.mark // put since, so alive
		switch {
		case c.skipped[n]:
		case seg.wrong != "" && live[n] == 0, // nothing that is needed was lost
			seg.wrong == "" && seg.size > int64(len(carHeader)) && c.part*(seg.size-live[n]-behind) > seg.size:
			doomed = append(doomed, n)
		}
	}
	c.s.mu.RUnlock()
	slices.SortFunc(doomed, func(a, b segmentNumber) int {
		return cmp.Or(cmp.Compare(live[a], live[b]), cmp.Compare(a, b))
	})
	if len(doomed) > maxSweep {
		return doomed[:maxSweep], true, nil
	}
	return doomed, false, nil
}

// empty copies what is alive out of a retired segment, and drops it.
func (c *collection) empty(n segmentNumber, entries []located) error {
	var alive []located
	for _, e := range entries {
		if c.alive(e.cid) {
			alive = append(alive, e)
		}
	}
	for {
		ok, err := c.copyOut(n, alive)
		if err != nil || !ok {
			return err
		}
		// Copying took its time: a Put may have found a block here that was dead.
		if alive, err = c.drop(n, entries); err != nil || len(alive) == 0 {
			return err
		}
	}
}

// copyOut appends blocks of a segment anew, and makes them durable. It reports false if one of them is
// damaged: then the segment stays as it is, for whoever can mend it.
func (c *collection) copyOut(n segmentNumber, blocks []located) (bool, error) {
	var batch []Block
	bytes := 0
	flush := func() error {
		_, _, err := c.s.put(batch, true)
		if err == nil {
			err = c.s.opts.Pace(c.ctx, 2*bytes) // read and written
		}
		c.freed -= int64(bytes)
		batch, bytes = batch[:0], 0
		return err
	}
	for _, e := range blocks {
		if err := c.ctx.Err(); err != nil {
			return false, err
		}
		b, err := c.s.read(e.cid, e.location)
		if err == nil {
			err = b.Verify()
		}
		if err != nil {
			c.s.noteDamaged(e.cid)
			c.s.log.Error("segment not collected", "segment", n.String(), "err", err)
			c.skipped[n] = true
			return false, errors.Join(flush(), c.s.Sync())
		}
		batch = append(batch, b)
		bytes += int(e.end() - e.off)
		if bytes >= appendBytes {
			if err := flush(); err != nil {
				return false, err
			}
		}
	}
	if err := flush(); err != nil {
		return false, err
	}
	return true, c.s.Sync()
}

// drop forgets a segment whose live blocks are elsewhere, unless there are some that Put found meanwhile:
// those it returns, and drops nothing.
func (c *collection) drop(n segmentNumber, entries []located) (revived []located, err error) {
	s := c.s
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.appending.Lock() // from here on nobody finds a block to be there
	defer s.appending.Unlock()
	b := s.st.DB().NewBatch()
	for _, e := range entries {
		l, ok, err := s.find(e.cid)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		if !ok || l != e.location {
			continue
		}
		if c.alive(e.cid) {
			revived = append(revived, e)
		} else if err := b.Delete(blockKey(e.cid), nil); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	if len(revived) > 0 {
		return revived, b.Close()
	}
	if err := setRecord(b, n, segmentRecord{Dropped: true}); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	// On disk before the file goes: else a crash could bring back an index that needs the file.
	if err := s.st.Commit(b, store.OnDisk); err != nil {
		return nil, err
	}
	s.mu.Lock()
	seg := s.segments[n]
	delete(s.segments, n)
	s.mu.Unlock()
	there := seg.wrong == "" || seg.size > 0
	if err := s.removeFile(n, there); err != nil {
		return nil, err
	}
	c.freed += seg.size
	return nil, nil
}

// WithoutCollection runs fn while no collection does: for who looks at what was needed a moment ago. It waits for one that runs.
func (s *Segments) WithoutCollection(ctx context.Context, fn func() error) error {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn()
}
