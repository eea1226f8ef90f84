package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/compaction"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/ipld/table"
	"github.com/rhizome-fs/rhizome/raftstore"
)

const (
	// lookForDue is how often the model is asked.
	lookForDue = time.Second
	// tryAgain is when a checkpoint is tried again that could not be made.
	tryAgain = 10 * time.Second
	// What the order's log may take, of the whole disk, and what in any case.
	logShare   = 100
	logAtLeast = 64 << 20
	logAtMost  = 1 << 30

	// Until something was measured.
	guessPerEvent  = 60 * time.Microsecond
	guessPerRecord = 1500 * time.Nanosecond
	guessRecords   = 3 // of an event
)

// errNoCheckpoint says that there is nothing to make one of.
var errNoCheckpoint = errors.New("nothing was ordered yet")

// memo is what the next checkpoint knows of the last.
type memo struct {
	sync.Mutex
	of   map[identity.VolumeID]*table.Memo
	next map[identity.VolumeID]*table.Memo // of the one that is being made

	worked time.Duration // for the last one, without rests
	anew   time.Duration // of it, for sealing and storing what is new in it
}

// A compactor makes an identity's checkpoints when the model says that they are due.
type compactor struct {
	i     *ident
	model compaction.Model
	base  uint64 // events that the last checkpoint has

	mu     sync.Mutex
	last   control.Checkpoint // the last that was made in this run
	worked time.Duration      // for it, without rests
	anew   time.Duration      // of it, for what is new in it
	count  uint64             // records that it went over
}

func (c *compactor) run(ctx context.Context) error {
	b, err := c.i.newest()
	if err != nil { // the next one is put in its place
		c.i.d.log.Warn("the last checkpoint is of no use", "err", err)
	}
	for _, v := range b.Volumes {
		c.base += v.Events
		c.count += v.Records
	}
	var failed time.Time
	for sleep(ctx, lookForDue) {
		load := c.load()
		why := c.model.Look(time.Now(), c.targets(), c.rates(load), load)
		if why == "" || time.Since(failed) < tryAgain {
			continue
		}
		err := c.make(ctx, why)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failed = time.Now()
			if !errors.Is(err, eventlog.ErrUnsettled) && !errors.Is(err, errNoCheckpoint) {
				c.i.d.log.Warn("no checkpoint was made", "err", err)
			}
		}
	}
	return nil
}

// load is what was ordered since the last checkpoint.
func (c *compactor) load() compaction.Load {
	return compaction.Load{Events: max(c.events(), c.base) - c.base, Bytes: c.i.seq.Stats().Bytes}
}

func (c *compactor) events() (n uint64) {
	for _, l := range c.i.allLogs() {
		n += l.Stats().CommittedEvents
	}
	return n
}

func (c *compactor) targets() compaction.Targets {
	share := uint64(c.i.d.fs.Space().Total) / logShare
	return compaction.DefaultTargets(min(max(share, logAtLeast), logAtMost))
}

// rates are measured, as far as anything was.
func (c *compactor) rates(l compaction.Load) compaction.Rates {
	r := compaction.Rates{PerEvent: guessPerEvent}
	for _, l := range c.i.allLogs() {
		if is := l.Stats().Replay; is > 0 {
			r.PerEvent = is
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	again := c.worked - c.anew
	if c.worked == 0 {
		again = time.Duration(c.count) * guessPerRecord
	}
	r.Make = grown(again, c.base, c.base+l.Events)
	return r
}

// grown is what going over all records costs when so many events have been ordered, by what it cost when the last checkpoint had some of them; that
// had none if there was none.
func grown(cost time.Duration, had, has uint64) time.Duration {
	if had == 0 {
		return time.Duration(has) * guessRecords * guessPerRecord
	}
	return time.Duration(float64(cost) * float64(has) / float64(had))
}

// make makes a checkpoint, and has the order tell of it.
func (c *compactor) make(ctx context.Context, why compaction.Reason) error {
	start := time.Now()
	if err := c.i.seq.Compact(); err != nil {
		return err
	}
	idx, data, err := c.i.seq.Newest()
	if err != nil {
		return err
	}
	_, b, ok := parseCheckpoint(data)
	if !ok {
		return errNoCheckpoint
	}
	c.i.memo.Lock()
	c.i.memo.of, c.i.memo.next = c.i.memo.next, nil
	worked, anew := c.i.memo.worked, c.i.memo.anew
	c.i.memo.Unlock()
	c.base, c.count = 0, 0
	for _, v := range b.Volumes {
		c.base += v.Events
		c.count += v.Records
	}
	c.model.Made(c.load())
	c.mu.Lock()
	c.worked, c.anew = worked, anew
	c.last = control.Checkpoint{
		Identity: c.i.keys.Name(), Time: start.UTC(), Index: uint64(idx), Events: c.base, Records: c.count, Why: string(why),
		Took: time.Since(start).Seconds(),
	}
	c.mu.Unlock()
	c.i.d.log.Debug("checkpoint", "index", idx, "events", c.base, "took", time.Since(start), "worked", worked, "why", why)
	if err := c.i.seq.Propose(ctx, data); err != nil && ctx.Err() == nil && !errors.Is(err, raftstore.ErrStopped) {
		c.i.d.log.Warn("propose a checkpoint", "err", err)
	}
	return nil
}

// told is the last checkpoint, for status: of an earlier run no more than what it has.
func (c *compactor) told() (control.Checkpoint, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.Index > 0 {
		return c.last, true
	}
	idx, _, err := c.i.seq.Newest()
	if err != nil || idx == 0 {
		return control.Checkpoint{}, false
	}
	b, err := c.i.newest()
	if err != nil || len(b.Volumes) == 0 {
		return control.Checkpoint{}, false
	}
	t := control.Checkpoint{Identity: c.i.keys.Name(), Index: uint64(idx)}
	for _, v := range b.Volumes {
		t.Events += v.Events
		t.Records += v.Records
	}
	return t, true
}
