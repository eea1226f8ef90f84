package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
)

const (
	lookEvery = 30 * time.Second // at the disk
	tidyEvery = 10 * time.Minute
	// tidyGrowth is how much the segments must have grown since the last time to be worth another.
	tidyGrowth  = 32 << 20
	tidyAnyway  = 24 * time.Hour // so old history goes even if nothing new comes
	tidySoon    = time.Hour      // and on a machine that never runs for a day, so long after a start
	segmentsDir = "segments"

	// So many times as long as they work retention and a checkpoint rest while programs call. Nobody waits for a checkpoint.
	retireRests     = 3
	checkpointRests = 9

	// What collecting reads and writes a second at most: while programs call, and else.
	busyRate = 16 << 20
	idleRate = 64 << 20
)

// A tidier keeps history within its retention and gives space back.
type tidier struct {
	d     *daemon
	left  []time.Duration    // historyLeft, but in tests
	space func() store.Space // of the store's disk
	now   func() time.Time   // time.Now, but in tests
	mu    sync.Mutex         // one run at a time
	hurry atomic.Int32       // how many persons wait for one
	calls atomic.Uint64

	said  sync.Mutex
	floor time.Time // what was before it had to go because the disk was nearly full; zero: nothing had
}

// run tidies now and then: if enough was written since the last time, or a day has passed, or the disk is nearly full; while the clock is
// believed.
func (t *tidier) run(ctx context.Context) error {
	var size int64 // of the segments when they were last collected
	last := time.Now().Add(tidySoon - tidyAnyway)
	var looked, made time.Time
	clock := belief{d: t.d, now: time.Now}
	for sleep(ctx, lookEvery) {
		if ok, err := clock.right(); err != nil {
			t.d.log.Warn("look at the clock", "err", err)
			continue
		} else if !ok {
			continue
		}
		if space := t.space(); space.Low {
			if space.Free == 0 || time.Since(made) > tidyEvery {
				t.makeRoom(ctx)
				made = time.Now()
			}
			continue
		}
		if time.Since(looked) < tidyEvery {
			continue
		}
		looked = time.Now()
		now, err := storeSize(t.d.st.Path(segmentsDir))
		if err != nil {
			t.d.log.Warn("collect garbage", "err", err)
		}
		if now-size < tidyGrowth && time.Since(last) < tidyAnyway {
			continue
		}
		did, err := t.tidy(ctx, false)
		if ctx.Err() != nil {
			return nil
		}
		t.tell(did, err)
		size, last = now-did.Freed, time.Now()
	}
	return nil
}

// gone reports whether anything went that retention keeps no longer.
func gone(did control.GCAnswer) bool { return did.Versions > 0 || did.Records > 0 || did.Frames > 0 }

func (t *tidier) tell(did control.GCAnswer, err error) {
	if err != nil {
		t.d.log.Error("collect garbage", "err", err)
	} else if did.Freed > 0 || gone(did) {
		t.d.log.Info("collected garbage", "bytes", did.Freed, "versions", did.Versions, "records", did.Records, "frames", did.Frames)
	}
}

// historyLeft is how much history is left, in turn, when the disk is nearly full.
var historyLeft = []time.Duration{365 * 24 * time.Hour, 90 * 24 * time.Hour, 30 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour, time.Hour}

// makeRoom gives up history, the oldest first, until the disk is no longer nearly full, or only an hour of it is left.
func (t *tidier) makeRoom(ctx context.Context) {
	if t.space().Free == 0 { // what goes is noted first
		t.d.st.GiveUpReserve()
	}
	for n, left := range t.left {
		floor := t.now().Add(-left)
		did, err := t.retire(ctx, floor, false)
		if err == nil && (n == 0 || gone(did)) {
			did, err = t.collect(ctx, did, t.d.fs.CollectHard)
		}
		if ctx.Err() != nil {
			return
		}
		t.tell(did, err)
		if gone(did) {
			t.d.log.Warn("the disk is nearly full: history is given up", "before", floor)
			t.said.Lock()
			t.floor = floor
			t.said.Unlock()
		}
		// If the disk is full, there may be no room to gather what lives in segments that are dead in part; more of history leaves more of them dead.
		if err != nil && !errors.Is(err, store.ErrNoSpace) || !t.space().Low {
			return
		}
	}
}

// gaveUp is the time before which history had to go, zero if none had.
func (t *tidier) gaveUp() time.Time {
	t.said.Lock()
	defer t.said.Unlock()
	return t.floor
}

// tidy applies retention, then it collects garbage. If dry, it only tells what would go.
func (t *tidier) tidy(ctx context.Context, dry bool) (control.GCAnswer, error) {
	a, err := t.retire(ctx, time.Time{}, dry)
	if err != nil {
		return a, err
	}
	if dry {
		a.Garbage, err = t.d.fs.Garbage(ctx)
		return a, err
	}
	return t.collect(ctx, a, t.d.fs.Collect)
}

// retire applies retention, and what is before floor goes whatever retention says. If dry, it only tells what would go.
func (t *tidier) retire(ctx context.Context, floor time.Time, dry bool) (a control.GCAnswer, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.newPacer(ctx, retireRests)
	r, err := t.d.fs.Retire(floor, dry, p.rest)
	a.Versions, a.VersionBytes, a.Records, a.RecordBytes = r.Versions, r.Bytes, r.History.Facts, r.History.Bytes
	for _, i := range t.d.all() {
		if err != nil {
			break
		}
		var s eventlog.Shortened
		s, err = i.shorten(ctx, t.now(), floor, dry, p.rest)
		a.Frames += s.Frames
		a.FrameBytes += s.Bytes
	}
	if err != nil {
		return a, fmt.Errorf("retention: %w", err)
	}
	return a, nil
}

// collect completes the answer by what a collection of garbage frees.
func (t *tidier) collect(ctx context.Context, a control.GCAnswer, how func(context.Context) (int64, error)) (control.GCAnswer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	a.Freed, err = how(ctx)
	return a, err
}

// gc answers the command line: somebody waits, so it does not give way.
func (t *tidier) gc(ctx context.Context, q control.GCRequest) (control.GCAnswer, error) {
	t.hurry.Add(1)
	defer t.hurry.Add(-1)
	return t.tidy(ctx, q.Dry)
}

// pace makes a collection wait when it has read or written so many bytes.
func (t *tidier) pace(ctx context.Context, bytes int) error {
	if t.hurry.Load() > 0 {
		return ctx.Err()
	}
	rate := idleRate
	if t.busy() {
		rate = busyRate
	}
	if !sleep(ctx, time.Duration(bytes)*time.Second/time.Duration(rate)) {
		return ctx.Err()
	}
	return nil
}

// busy reports whether programs have called since it was asked the last time.
func (t *tidier) busy() bool {
	now := t.d.fs.Calls()
	return t.calls.Swap(now) != now
}

// A pacer has work rest so many times as long as it worked while programs call.
type pacer struct {
	t      *tidier
	ctx    context.Context
	times  int
	since  time.Time     // when the work went on
	worked time.Duration // before that, without rests
}

// newPacer is for work that begins now.
func (t *tidier) newPacer(ctx context.Context, times int) *pacer {
	return &pacer{t: t, ctx: ctx, times: times, since: time.Now()}
}

func (p *pacer) rest() error {
	worked := time.Since(p.since)
	p.worked += worked
	if p.t.hurry.Load() == 0 && p.t.busy() {
		sleep(p.ctx, min(time.Duration(p.times)*worked, 100*time.Millisecond))
	}
	p.since = time.Now()
	return p.ctx.Err()
}
