package backup

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/ipld"
)

// copyLog copies the frames of a volume and their places, as far as the packs don't have them, and the blocks that they need.
func (r *run) copyLog(l *eventlog.Log) error {
	old, _ := r.old.volume(l.Volume())
	v := volume{ID: old.ID, Index: old.Index, Last: old.Last}
	// What is committed meanwhile is then in both lists, never in none.
	unplaced := l.Unplaced()
	waited, placed := map[eventlog.FrameHash]bool{}, map[eventlog.FrameHash]bool{}
	for _, h := range old.Unplaced {
		waited[h] = true
	}
	origin, err := r.origin(l, old.Index)
	if err != nil {
		return err
	}
	var failed error
	err = l.CommittedFrames(old.Index, func(i eventlog.Index, h eventlog.FrameHash) bool {
		item := Item{Volume: v.ID, Index: i, Hash: h}
		switch {
		case i <= origin: // the checkpoint has it
		case waited[h]:
			failed = r.putItem(item)
		default:
			failed = r.copyFrame(l, item)
		}
		placed[h] = true
		v.Index, v.Last = i, h
		return failed == nil
	})
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	for _, h := range old.Unplaced { // frames that the store has lost meanwhile, too
		if !placed[h] {
			v.Unplaced = append(v.Unplaced, h)
		}
	}
	for _, h := range unplaced {
		if placed[h] || waited[h] {
			continue
		}
		if err := r.copyFrame(l, Item{Volume: v.ID, Hash: h}); err != nil {
			return err
		}
		v.Unplaced = append(v.Unplaced, h)
	}
	r.next.Volumes = append(r.next.Volumes, v)
	return nil
}

// origin copies a checkpoint, and what is kept with it, if frames are gone from the log that the packs, which have those up to an Index, lack.
// It returns the checkpoint's Index, if it is a new one.
func (r *run) origin(l *eventlog.Log, have eventlog.Index) (eventlog.Index, error) {
	is, ok := r.old.origin(l.Volume())
	base, err := l.Base()
	if err != nil || base <= have && (!ok || r.mend == nil) {
		if ok {
			r.next.Origins = append(r.next.Origins, is)
		}
		return 0, err
	}
	o, err := r.src.Origin(l)
	if err != nil {
		return 0, err
	}
	for _, root := range o.Roots {
		if err := r.copyContent(root, r.mend != nil); err != nil {
			return 0, err
		}
		if _, lacks := r.lacking[root]; lacks {
			return 0, fmt.Errorf("checkpoint of volume %v: block %v or one below it: %w", o.Volume, root, ipld.ErrNotFound)
		}
	}
	if err := r.copyTwice(o.Roots); err != nil {
		return 0, err
	}
	err = r.src.Contents(l, func(root ipld.CID) error { return r.copyContent(root, false) })
	r.next.Origins = append(r.next.Origins, o)
	return o.Index, err
}

// copyTwice copies the blocks below some roots once more, to packs of their own, unless the packs have them twice: without one of them the whole
// volume would be lost.
func (r *run) copyTwice(roots []ipld.CID) error {
	if err := r.finishBlocks(); err != nil {
		return err
	}
	for stack := slices.Clone(roots); len(stack) > 0; {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := r.ctx.Err(); err != nil {
			return err
		}
		b, err := r.src.Blocks.Get(c)
		if err != nil {
			return err
		}
		if _, ok := r.twice[nameOf(c)]; !ok {
			if err := r.putBlock(b); err != nil {
				return err
			}
			r.twice[nameOf(c)] = struct{}{}
		}
		children, err := ipld.Children(b)
		if err != nil {
			return err
		}
		stack = append(stack, children...)
	}
	return r.finishBlocks()
}

// copyFrame copies a frame, and behind it what it needs.
func (r *run) copyFrame(l *eventlog.Log, item Item) error {
	f, err := l.Frame(item.Hash)
	if err != nil {
		return err
	}
	item.Frame = f.Raw
	if err := r.putItem(item); err != nil {
		return err
	}
	r.res.Frames++
	for _, root := range f.Needs {
		if err := r.copyContent(root, false); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) putItem(item Item) (err error) {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.log != nil && r.log.size >= packBytes {
		if err := r.finishLog(); err != nil {
			return err
		}
	}
	if r.log == nil {
		if r.log, err = createPack(r.fs, r.dir, packName(r.number(), logSuffix)); err != nil {
			return err
		}
	}
	r.buf = appendItem(r.buf[:0], item)
	_, err = r.log.Write(r.buf)
	r.wrote(len(r.buf))
	return err
}

// number returns that of the next pack.
func (r *run) number() uint64 {
	r.next.Next++
	return r.next.Next - 1
}

// copyContent copies the blocks below a root that the packs don't have: parents first, depth first. What is below a block that they have
// is there too, unless again says that it was not complete. A block that can't be read leaves the root lacking.
func (r *run) copyContent(root ipld.CID, again bool) error {
	whole := true
	stack := []ipld.CID{root}
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		_, have := r.have[nameOf(c)]
		if have && (!again || c.Codec() == ipld.Raw) {
			continue
		}
		if err := r.ctx.Err(); err != nil {
			return err
		}
		b, err := r.src.Blocks.Get(c)
		if errors.Is(err, ipld.ErrNotFound) || errors.Is(err, ipld.ErrDamaged) {
			whole = false
			continue
		}
		if err != nil {
			return err
		}
		if !have {
			if err := r.putBlock(b); err != nil {
				return err
			}
		}
		children, err := ipld.Children(b)
		if err != nil {
			whole = false
			continue
		}
		slices.Reverse(children)
		stack = append(stack, children...)
	}
	if !whole {
		r.lacking[root] = struct{}{}
	}
	return nil
}

func (r *run) putBlock(b ipld.Block) (err error) {
	if r.blocks != nil && r.blocks.car.Size() >= packBytes {
		if err := r.finishBlocks(); err != nil {
			return err
		}
	}
	if r.blocks == nil {
		if r.blocks, err = createBlockPack(r.fs, r.dir, r.number()); err != nil {
			return err
		}
	}
	if err := r.blocks.put(b); err != nil {
		return fmt.Errorf("write %s: %w", r.blocks.blocks.name, err)
	}
	r.have[nameOf(b.CID)] = struct{}{}
	r.res.Blocks++
	r.wrote(len(b.Data))
	return nil
}

// tellEvery is how often progress is told.
const tellEvery = 100 * time.Millisecond

func (r *run) wrote(n int) {
	r.res.Bytes += int64(n)
	if r.res.Total > 0 {
		r.res.Total = max(r.res.Total, r.res.Bytes)
	}
	r.told(r.res.Progress)
}

// told tells how far the run is, unless it has just been told.
func (r *run) told(p Progress) {
	if now := time.Now(); now.Sub(r.last) >= tellEvery && r.tell != nil {
		r.last = now
		r.tell(p)
	}
}

func (r *run) finishPacks() error { return errors.Join(r.finishLog(), r.finishBlocks()) }

func (r *run) finishLog() error {
	if r.log == nil {
		return nil
	}
	p, err := r.log.finish()
	r.log = nil
	r.next.Packs = append(r.next.Packs, p)
	return err
}

func (r *run) finishBlocks() error {
	if r.blocks == nil {
		return nil
	}
	ps, err := r.blocks.finish()
	r.blocks = nil
	r.next.Packs = append(r.next.Packs, ps...)
	return err
}
