package fs

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

const (
	// While programs call, sealing rests so many times as long as it worked, at most maxRest at a time and maxRests in all
	// for a batch: they need the processors and the disk more, but it must come to its end.
	restFactor = 9
	minWork    = time.Millisecond / 2
	maxRest    = 100 * time.Millisecond
	maxRests   = 4 * time.Second
)

// Calls returns a number that moves while programs call.
func (f *FS) Calls() uint64 { return f.calls.Load() }

// manners has one batch of sealing give way to programs. It is used by one goroutine.
type manners struct {
	ctx   context.Context
	calls *atomic.Uint64 // moves while programs call
	seen  uint64
	since time.Time     // when the work went on
	left  time.Duration // for how long it may rest yet
}

func (f *FS) newManners(ctx context.Context) *manners {
	return &manners{ctx: ctx, calls: &f.calls, seen: f.calls.Load(), since: time.Now(), left: maxRests}
}

// newLongManners is newManners for work that nobody waits for: it rests for as long as programs call.
func (f *FS) newLongManners(ctx context.Context) *manners {
	m := f.newManners(ctx)
	m.left = math.MaxInt64
	return m
}

// rest rests if programs have called since the last time, and it is due.
func (m *manners) rest() {
	worked := time.Since(m.since)
	if worked < minWork {
		return
	}
	if calls := m.calls.Load(); calls != m.seen && m.left > 0 {
		d := min(restFactor*worked, maxRest, m.left)
		m.left -= d
		pause(m.ctx, d)
	}
	m.seen, m.since = m.calls.Load(), time.Now()
}

// pause waits; false if ctx is done before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// A politeReader rests between the parts of a content that is being sealed.
type politeReader struct {
	*layered
	m *manners
}

func (r politeReader) ReadAt(b []byte, off int64) (int, error) {
	r.m.rest()
	return r.layered.ReadAt(b, off)
}
