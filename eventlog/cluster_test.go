package eventlog

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// A meddler is a reducer that lets a test do something in the middle of a rebase.
type meddler struct {
	register
	hook func()
	busy bool
}

func (m *meddler) Apply(s State, a Author, e Event) {
	if hook := m.hook; hook != nil && !m.busy {
		m.busy = true // writing runs the reducer too
		hook()
		m.busy = false
	}
	m.register.Apply(s, a, e)
}

// A cluster is devices of two identities that write one volume, a pretended sequencer, and every frame there is.
type cluster struct {
	t        *rapid.T
	replicas []*replica
	meddlers []*meddler
	frames   []*Frame
	once     byte       // the last id of a record that is written once
	order    [][]*Frame // by Index-1: what the sequencer ordered
	hashes   map[Index][32]byte
}

func newCluster(t *rapid.T, devices int) *cluster {
	c := &cluster{t: t, hashes: make(map[Index][32]byte)}
	v := newVolume(t, devices)
	for i := range devices {
		m := &meddler{}
		c.meddlers = append(c.meddlers, m)
		c.replicas = append(c.replicas, openReplica(t, vfs.NewMem(), v, i, func(o *Options) { o.Reducer = m }))
	}
	return c
}

func (c *cluster) close() {
	for _, r := range c.replicas {
		r.st.Close()
	}
}

func (c *cluster) device() *replica { return rapid.SampledFrom(c.replicas).Draw(c.t, "device") }

func (c *cluster) write(r *replica) {
	es := rapid.SliceOfN(genEvent(), 1, 3).Draw(c.t, "events")
	held := rapid.IntRange(0, 7).Draw(c.t, "held") == 0
	_, err := r.Update(func(tx *Tx) error {
		for _, e := range es {
			tx.Append(e)
		}
		if held {
			c.once++
			tx.AppendHeld(event(opOnce, c.once, 'p'))
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// release amends the held events.
func (c *cluster) release(r *replica) {
	held, err := r.Held()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range held {
		id := h.Event.Body[1]
		_, err := r.Update(func(tx *Tx) error {
			return tx.Amend(h.Seq, event(opOnce, id, 'q').Body, func(s State) {
				if v, ok := s.Get([]byte{'o', id}); ok {
					s.Set([]byte{'o', id}, append([]byte{'q'}, v[1:]...))
				}
			})
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) cut(r *replica, most int) {
	f, err := r.Cut(most)
	if err != nil {
		c.t.Fatal(err)
	}
	if f != nil {
		c.frames = append(c.frames, f)
	}
}

// meddle lets a device write in the middle of its next rebase, whose readers must see the old state.
func (c *cluster) meddle(r *replica) func() {
	for i := range c.replicas {
		if c.replicas[i] == r {
			m, before := c.meddlers[i], r.dump()
			r.few = LocalSeq(rapid.IntRange(0, 4).Draw(c.t, "few"))
			again := rapid.IntRange(0, 3).Draw(c.t, "again")
			m.hook = func() {
				if !r.mu.TryLock() {
					return // the rebase is catching up for the last time
				}
				r.mu.Unlock()
				if got := r.dump(); got != before {
					c.t.Fatalf("in the middle of a rebase the state is\n%s, was\n%s", got, before)
				}
				for range rapid.IntRange(1, 4).Draw(c.t, "writes") {
					c.write(r)
				}
				if rapid.Bool().Draw(c.t, "release") {
					c.release(r)
				}
				before = r.dump()
				if again--; again < 0 {
					m.hook = nil
				}
			}
			return func() { m.hook = nil }
		}
	}
	return nil
}

func (c *cluster) receive(r *replica, fs []*Frame) {
	var raws [][]byte
	for _, f := range fs {
		raws = append(raws, f.Raw)
	}
	if _, err := r.ReceiveAll(raws); err != nil {
		c.t.Fatal(err)
	}
}

// follow tells a device the next n entries of the order.
func (c *cluster) follow(r *replica, n int) {
	at, _ := r.Committed()
	var entries []Ordered
	for ; n > 0 && int(at) < len(c.order); n-- {
		at++
		e := Ordered{Index: at}
		for _, f := range c.order[at-1] {
			e.Frames = append(e.Frames, f.Raw)
		}
		entries = append(entries, e)
	}
	if err := r.CommitAll(entries); err != nil {
		c.t.Fatal(err)
	}
	i, h := r.Committed()
	if was, ok := c.hashes[i]; ok && was != h {
		c.t.Fatalf("order hashes at %d differ: %x %x", i, was, h)
	}
	c.hashes[i] = h
}

func (c *cluster) someFrames() []*Frame {
	if len(c.frames) == 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.SampledFrom(c.frames), 1, 3).Draw(c.t, "frames")
}

func (c *cluster) step() {
	r := c.device()
	action := rapid.IntRange(0, 9).Draw(c.t, "action")
	if action >= 4 && rapid.Bool().Draw(c.t, "meddle") {
		defer c.meddle(r)()
	}
	switch action {
	case 0, 1, 2:
		c.write(r)
	case 3:
		c.release(r)
	case 4, 5:
		c.cut(r, rapid.IntRange(1, 5).Draw(c.t, "most"))
	case 6, 7:
		c.receive(r, c.someFrames())
	case 8:
		c.order = append(c.order, c.someFrames())
	case 9:
		c.follow(r, rapid.IntRange(1, 3).Draw(c.t, "entries"))
	}
	if got, want := r.dump(), foldRapid(c.t, r); got != want {
		c.t.Fatalf("after action %d the state is\n%s, the entries lead to\n%s", action, got, want)
	}
}

func foldRapid(t *rapid.T, r *replica) string {
	o := newOverlay(emptyBase{})
	err := r.Entries(Position{}, func(e Entry) bool {
		register{}.Apply(o, e.Author, e.Event)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return dumpOverlay(o)
}

// reopen restarts one device.
func (c *cluster) reopen(i int) {
	before := c.replicas[i].dump()
	stats := c.replicas[i].Stats()
	c.replicas[i] = c.replicas[i].reopen(c.t)
	if got := c.replicas[i].dump(); got != before {
		c.t.Fatalf("after a restart the state is\n%s, was\n%s", got, before)
	}
	if got := c.replicas[i].Stats(); got != stats {
		c.t.Fatalf("after a restart %+v, was %+v", got, stats)
	}
}

// finish brings everything everywhere, each device in an order of its own.
func (c *cluster) finish() {
	for _, r := range c.replicas {
		c.release(r)
		for range 100 {
			c.cut(r, 3)
		}
	}
	for _, r := range c.replicas {
		c.receive(r, rapid.Permutation(c.frames).Draw(c.t, "arrival"))
		c.follow(r, len(c.order))
		for i := range c.replicas {
			if c.replicas[i] == r && rapid.Bool().Draw(c.t, "restart") {
				c.reopen(i)
			}
		}
	}
	first := c.replicas[0]
	c.copyOut(first)
	for i, r := range c.replicas {
		if got, want := r.dump(), first.dump(); got != want {
			c.t.Fatalf("device %d has\n%s, device 0 has\n%s", i, got, want)
		}
		if got, want := r.dump(), foldRapid(c.t, r); got != want {
			c.t.Fatalf("device %d has\n%s, its entries lead to\n%s", i, got, want)
		}
		if s := r.Stats(); s.WaitingFrames != 0 || s.UnframedEvents != 0 {
			c.t.Fatalf("device %d: %+v", i, s)
		}
	}
}

// A device that writes while others' frames are put before its own sees what its log leads to.
func TestWritesDuringRebase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, 2)
		defer c.close()
		a, b := c.replicas[0], c.replicas[1]
		for range rapid.IntRange(1, 10).Draw(t, "rounds") {
			for range rapid.IntRange(0, 3).Draw(t, "writes") {
				c.write(a)
			}
			if rapid.IntRange(0, 3).Draw(t, "cut mine") == 0 {
				c.cut(a, 10)
			}
			n := len(c.frames)
			c.write(b)
			c.release(b)
			c.cut(b, 10)
			if rapid.Bool().Draw(t, "tell b") {
				c.receive(b, c.frames[:n])
			}
			stop := c.meddle(a)
			c.order = append(c.order, c.frames[n:])
			c.follow(a, 1)
			stop()
			if got, want := a.dump(), foldRapid(t, a); got != want {
				t.Fatalf("state\n%s, the entries lead to\n%s", got, want)
			}
		}
	})
}

// The same frames and the same order give the same state to the byte, in whatever order and interleaving they come,
// whatever the devices write meanwhile, and whenever they restart.
func TestSameFramesSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, 3)
		defer func() { c.close() }()
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			c.step()
		}
		c.finish()
	})
}
