package eventlog

import (
	"errors"
	"fmt"

	"github.com/rhizome-fs/rhizome/identity"
)

// ErrNotHere says that a log does not hold a frame.
var ErrNotHere = errors.New("frame is not here")

// Receive takes a frame from anywhere: it is checked, stored, put into the tentative order, and applied. A frame that
// names others that are not here waits for them, and so does one whose key is not here. Receive reports whether the frame is new. What is
// visible when it returns is on disk only after the store's Sync.
//
// Errors: ErrBadFrame, ErrTooBig and ErrVersion (see ParseFrame), ErrRefused, and the database's.
func (l *Log) Receive(frame []byte) (isNew bool, err error) {
	n, err := l.ReceiveAll([][]byte{frame})
	return n == 1, err
}

// ReceiveAll is Receive for many frames at the price of one rebase. It returns how many were new. If one of them is
// bad, none is taken.
func (l *Log) ReceiveAll(frames [][]byte) (isNew int, err error) {
	fs := make([]*Frame, len(frames))
	for i, raw := range frames {
		if fs[i], err = l.verify(raw); err != nil {
			return 0, fmt.Errorf("receive: %w", err)
		}
	}
	err = l.rearrange(func(c *change) error {
		isNew = 0
		for _, f := range fs {
			fresh, err := c.receive(f)
			if err != nil {
				return err
			}
			if fresh {
				isNew++
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("receive: %w", err)
	}
	return isNew, nil
}

// verify reads a frame, and checks that it is of this volume and signed by a member.
func (l *Log) verify(raw []byte) (*Frame, error) {
	f, err := ParseFrame(raw)
	switch {
	case err != nil:
		return nil, err
	case f.Volume != l.volume:
		return nil, fmt.Errorf("frame %x: of volume %v: %w", f.Hash[:4], f.Volume, ErrRefused)
	case !l.member(f.Device):
		return nil, fmt.Errorf("frame %x: %v is no member: %w", f.Hash[:4], f.Device, ErrRefused)
	case !f.Verify():
		return nil, fmt.Errorf("frame %x: signature is wrong: %w", f.Hash[:4], ErrRefused)
	}
	return f, nil
}

// An Ordered is an entry of the sequencer: frames, and the place that they got.
type Ordered struct {
	Index  Index
	Frames [][]byte
}

// Commit is the sequencer's word that these frames have place i. A frame is committed if all that it names is, and it
// is not yet; else, and if it is bad, it is passed over: alike on every device. Commit does nothing for an index that the log
// has passed. It does not wait for the disk.
//
// If a frame is sealed with a key that is not here, Commit fails with identity.ErrNoKey, changes nothing, and
// is to be called again when the log was opened with that key.
func (l *Log) Commit(i Index, frames ...[]byte) error {
	return l.CommitAll([]Ordered{{i, frames}})
}

// CommitAll is Commit for several entries, in order, at the price of one rebase.
func (l *Log) CommitAll(entries []Ordered) error {
	type placed struct {
		i  Index
		fs []*Frame
	}
	ps := make([]placed, 0, len(entries))
	for _, e := range entries {
		p := placed{i: e.Index}
		for _, raw := range e.Frames {
			f, err := l.verify(raw)
			if err != nil {
				l.logger.Warn("frame in the committed order is passed over", "index", e.Index, "err", err)
				continue
			}
			if !l.canOpen(f.Epoch) {
				return fmt.Errorf("commit %d: frame %x: %w", e.Index, f.Hash[:4], identity.ErrNoKey)
			}
			p.fs = append(p.fs, f)
		}
		ps = append(ps, p)
	}
	err := l.rearrange(func(c *change) error {
		for _, p := range ps {
			if p.i <= c.marks.Index {
				continue
			}
			c.marks.Index = p.i
			for _, f := range p.fs {
				if _, err := c.receive(f); err != nil {
					return err
				}
				if err := c.commit(p.i, f.Hash); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// rearrange is arrange for those who don't hold order. It tells the listeners.
func (l *Log) rearrange(work func(c *change) error) error {
	l.order.Lock()
	changed, err := l.arrange(work)
	listeners := l.onChange
	l.order.Unlock()
	if len(changed) > 0 {
		for _, fn := range listeners {
			fn(changed)
		}
	}
	return err
}

// OnChange has fn called, without locks, after state keys changed by anything but this device's Update: by a frame that
// came, or by a rebase. fn must not keep the slice that holds the keys.
func (l *Log) OnChange(fn func(keys [][]byte)) {
	l.order.Lock()
	defer l.order.Unlock()
	l.onChange = append(l.onChange[:len(l.onChange):len(l.onChange)], fn)
}
