package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/raftstore"
)

const (
	// idle is for how long nothing must have been sent for an event to go at once.
	idle = 100 * time.Millisecond
	// gather is how long events are gathered otherwise.
	gather = 200 * time.Millisecond
	// gatherLong is how long, at most, while a crowd of them comes: so many in the time of gather.
	gatherLong = time.Second
	crowd      = 256
	// maxEvents is how many events a frame gathers at most.
	maxEvents = 4096
	// maxEntry is about how many bytes of frames one entry of the order holds.
	maxEntry = 1 << 20
	// afterFault is how long framing waits for a disk that fails.
	afterFault = 2 * time.Second
)

// partFraming is what the store calls the trouble of framing.
const partFraming store.Part = "framing"

// poke says that there may be events to frame; soon is false for the making of a file whose first edit is about to
// follow. It never blocks.
func (i *ident) poke(soon bool) {
	if soon {
		kick(i.soon)
	} else {
		kick(i.wake)
	}
}

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// frame turns unframed events into frames: at once if nothing was sent for a while, else gathered.
func (i *ident) frame(ctx context.Context) error {
	var last time.Time
	kick(i.propose) // what an earlier run left
	for {
		if !i.waitForEvents(ctx) {
			return nil
		}
		if since := time.Since(last); since < idle {
			if !i.gather(ctx, gather-since) {
				return nil
			}
		}
		n, err := i.cutAll()
		if err != nil && !store.Passing(err) {
			return err
		}
		i.d.st.Report(partFraming, err)
		if err != nil { // it stays in the log, unframed
			if !sleep(ctx, afterFault) {
				return nil
			}
			kick(i.soon)
			continue
		}
		if n > 0 {
			last = time.Now()
			kick(i.propose)
		}
	}
}

// gather waits for that long, and on while a crowd of events comes, whose author needs the processor more. It returns false if
// ctx is done.
func (i *ident) gather(ctx context.Context, d time.Duration) bool {
	end := time.Now().Add(gatherLong)
	for before := i.pending(); ; before = i.pending() {
		if !sleep(ctx, d) {
			return false
		}
		if i.pending()-before < crowd || time.Now().After(end) {
			return true
		}
		d = gather
	}
}

// pending counts the events that could be framed.
func (i *ident) pending() (n int) {
	for _, l := range i.allLogs() {
		unframed, _ := l.Pending()
		n += unframed
	}
	return n
}

// waitForEvents returns when there is something to frame: false if ctx is done.
func (i *ident) waitForEvents(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-i.soon:
		return true
	case <-i.wake:
	}
	t := time.NewTimer(gather)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-i.soon:
	case <-t.C:
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// cutAll frames what every volume has. Nothing leaves the device before it is on its disk.
func (i *ident) cutAll() (int, error) {
	n := 0
	for _, l := range i.allLogs() {
		for {
			if unframed, held := l.Pending(); unframed == 0 || unframed == held {
				break
			}
			f, err := l.Cut(maxEvents)
			if errors.Is(err, eventlog.ErrForked) {
				if err = i.newIncarnation(); err == nil {
					continue
				}
			}
			if err != nil {
				return n, fmt.Errorf("frame events: %w", err)
			}
			if f == nil {
				break
			}
			n++
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, i.d.st.Sync()
}

// newIncarnation goes on in other feeds, in all volumes: a feed of this store has two branches. The keyring has the new incarnation
// on disk before any log uses it, or a restart would go back to the forked feed. After a crash in between, a log takes
// it up when it is opened.
func (i *ident) newIncarnation() error {
	n, err := identity.NewIncarnation(rand.Reader)
	if err != nil {
		return fmt.Errorf("begin a new incarnation: %w", err)
	}
	i.d.log.Warn("this store runs elsewhere too, or was restored from a copy: going on as a new incarnation")
	logs, err := i.saveIncarnation(n)
	if err != nil {
		return fmt.Errorf("begin a new incarnation: %w", err)
	}
	for _, l := range logs {
		if err := l.NewIncarnation(i.feed(l.Volume())); err != nil {
			return err
		}
	}
	return nil
}

// saveIncarnation writes the keyring, and returns the logs that were opened before.
func (i *ident) saveIncarnation(n uint64) ([]*eventlog.Log, error) {
	i.d.naming.Lock() // who saves a keyring
	defer i.d.naming.Unlock()
	i.mu.Lock() // no log is opened meanwhile
	defer i.mu.Unlock()
	was := i.keys.Incarnation()
	i.keys.SetIncarnation(n)
	if err := i.d.saveKeys(i.keys); err != nil {
		i.keys.SetIncarnation(was)
		return nil, err
	}
	return i.logsLocked(), nil
}

// An entry of the order is a list of whole frames, of any of the identity's volumes.
type entry [][]byte

// proposeAll proposes what is tentative, in its order, until there is nothing left.
func (i *ident) proposeAll(ctx context.Context) error {
	var last []byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-i.propose:
		}
		for {
			e, err := i.nextEntry()
			if err != nil {
				return err
			}
			if len(e) == 0 {
				break
			}
			data := dagcbor.Encode(e)
			if bytes.Equal(data, last) { // it was passed over: what it builds on must come first
				i.d.log.Warn("an entry of the order was passed over, and is proposed again", "frames", len(e))
				if !sleep(ctx, idle) {
					return nil
				}
			}
			last = data
			err = i.seq.Propose(ctx, data)
			if ctx.Err() != nil || errors.Is(err, raftstore.ErrStopped) {
				return nil
			}
			if err != nil {
				// Unknown: if it was committed it is no longer tentative, and else it is proposed again.
				i.d.log.Warn("propose", "err", err)
				if !sleep(ctx, idle) {
					return nil
				}
			}
		}
	}
}

// nextEntry gathers tentative frames.
func (i *ident) nextEntry() (entry, error) {
	var e entry
	size := 0
	for _, l := range i.allLogs() {
		err := l.Uncommitted(func(f *eventlog.Frame) bool {
			if size > 0 && size+len(f.Raw) > maxEntry {
				return false
			}
			e = append(e, f.Raw)
			size += len(f.Raw)
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("gather frames: %w", err)
		}
	}
	return e, nil
}

// checkEntry says what is wrong with the form of an entry of the order.
func checkEntry(data []byte) error {
	if _, _, ok := parseCheckpoint(data); ok {
		return nil
	}
	var e entry
	if err := dagcbor.Decode(data, &e); err != nil {
		return fmt.Errorf("it is neither a list of frames nor tells of a checkpoint: %w", err)
	}
	return nil
}

// apply takes an entry that has its place in the order.
func (i *ident) apply(idx eventlog.Index, data []byte) error {
	if e, b, ok := parseCheckpoint(data); ok {
		i.compare(idx, e, b)
		return nil
	}
	var e entry
	if err := dagcbor.Decode(data, &e); err != nil {
		i.d.log.Warn("entry of the order is passed over", "index", idx, "err", err)
		return nil
	}
	byVolume := map[identity.VolumeID][][]byte{}
	var order []identity.VolumeID
	for _, raw := range e {
		f, err := eventlog.ParseFrame(raw)
		if err != nil {
			i.d.log.Warn("frame in the order is passed over", "index", idx, "err", err)
			continue
		}
		if byVolume[f.Volume] == nil {
			order = append(order, f.Volume)
		}
		byVolume[f.Volume] = append(byVolume[f.Volume], raw)
	}
	for _, v := range order {
		o, err := i.openVolume(v)
		if err != nil {
			return fmt.Errorf("apply %d: %w", idx, err)
		}
		if err := o.Log.Commit(idx, byVolume[v]...); err != nil {
			return fmt.Errorf("apply %d: %w", idx, err)
		}
	}
	return nil
}
