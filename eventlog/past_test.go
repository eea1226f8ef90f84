package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// dumpAt is dump of the state as it was.
func (r *replica) dumpAt(t testing.TB, m Moment) string {
	t.Helper()
	var b bytes.Buffer
	err := r.At(m, func(s Reader) {
		s.Scan(nil, nil, func(k, v []byte) bool {
			fmt.Fprintf(&b, "%x=%x\n", k, v)
			if got, ok := s.Get(k); !ok || !bytes.Equal(got, v) {
				t.Fatalf("at %v: Get(%x) is %x, %t; Scan says %x", m, k, got, ok, v)
			}
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A jumpyClock goes forward, and now and then is set.
type jumpyClock struct {
	rng *rand.Rand
	now time.Time
}

func (c *jumpyClock) Now() time.Time {
	switch c.rng.IntN(40) {
	case 0:
		c.now = c.now.Add(-time.Hour)
	case 1:
		c.now = c.now.Add(30 * time.Minute)
	case 2, 3, 4:
		c.now = c.now.Add(-time.Microsecond)
	default:
		c.now = c.now.Add(time.Duration(c.rng.IntN(1e6)))
	}
	return c.now
}

// The state at each moment is what it was then, whatever came, was rebased, framed and committed since; over restarts and
// clocks that are set.
func TestPast(t *testing.T) {
	for seed := range uint64(30) {
		pastOnce(t, seed)
	}
}

func pastOnce(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	clock := &jumpyClock{rng, time.Unix(1e9, 0)}
	v := newVolume(t, 2)
	r := openReplica(t, vfs.NewMem(), v, 0, func(o *Options) { o.Now = clock.Now })
	other := openReplica(t, vfs.NewMem(), v, 1, nil)
	defer func() { other.st.Close(); r.st.Close() }()
	var frames []*Frame
	index := Index(0)
	type seen struct {
		at    Moment
		state string
	}
	var history []seen
	some := func() Event {
		return event(byte(rng.IntN(opCount_)), byte(rng.IntN(6)), byte(rng.IntN(6)), byte(rng.IntN(256)))
	}
	for range 80 {
		switch rng.IntN(7) {
		case 0, 1:
			r.append(t, some())
		case 2:
			r.append(t, some(), some(), some())
		case 3:
			if f := r.cut(t); f != nil {
				frames = append(frames, f)
				other.receive(t, f)
			}
		case 4:
			other.append(t, some(), some())
			if f := other.cut(t); f != nil {
				frames = append(frames, f)
				if rng.IntN(3) > 0 {
					r.receive(t, f)
				}
			}
		case 5:
			if len(frames) > 0 {
				index++
				r.commit(t, index, frames[rng.IntN(len(frames))])
			}
		case 6:
			if rng.IntN(4) == 0 {
				r = r.reopen(t)
			}
		}
		history = append(history, seen{r.Now(), r.dump()})
	}
	for i, h := range history {
		if i > 0 && history[i-1].at.Compare(h.at) > 0 {
			t.Fatalf("seed %d: moment %d is %v, after %v", seed, i, h.at, history[i-1].at)
		}
		if got := r.dumpAt(t, h.at); got != h.state {
			t.Fatalf("seed %d: at moment %d of %d the state is\n%swant\n%s", seed, i, len(history), got, h.state)
		}
	}
	r.sameFacts(t)
}

// sameFacts checks that FormerBelow tells of each key what Former does.
func (r *replica) sameFacts(t *testing.T) {
	t.Helper()
	facts := map[string][]string{}
	fact := func(f Fact) string { return fmt.Sprint(f) }
	last := []byte{}
	err := r.FormerBelow(nil, func(key []byte, f Fact) bool {
		if bytes.Compare(last, key) > 0 {
			t.Fatalf("key %x comes after %x", key, last)
		}
		last = bytes.Clone(key)
		facts[string(key)] = append(facts[string(key)], fact(f))
		return true
	})
	if err != nil || len(facts) == 0 {
		t.Fatalf("%d keys have facts: %v", len(facts), err)
	}
	for key, want := range facts {
		n := len(want)
		if err := r.Former([]byte(key), func(f Fact) bool {
			n--
			return n >= 0 && fact(f) == want[n]
		}); err != nil || n != 0 {
			t.Fatalf("key %x: Former and FormerBelow differ at %d: %v", key, n, err)
		}
	}
}

// A scan of the past agrees with the whole of it, whatever the prefix and the beginning, on keys that contain zeros and each other.
func TestPastScan(t *testing.T) {
	v := newVolume(t, 1)
	r := openReplica(t, vfs.NewMem(), v, 0, func(o *Options) { o.Reducer = anyKey{} })
	defer r.st.Close()
	rng := rand.New(rand.NewPCG(3, 3))
	key := func() []byte {
		k := make([]byte, 1+rng.IntN(4))
		for i := range k {
			k[i] = []byte{0, 1, 0xfe, 0xff}[rng.IntN(4)]
		}
		return k
	}
	var at Moment
	for i := range 600 {
		r.append(t, Event{Body: append([]byte{byte(rng.IntN(2))}, key()...)})
		if i == 200 {
			at = r.Now()
		}
	}
	err := r.At(at, func(s Reader) {
		var keys [][]byte
		s.Scan(nil, nil, func(k, _ []byte) bool { keys = append(keys, bytes.Clone(k)); return true })
		for range 500 {
			prefix, from := key()[:1], key()
			var got, want [][]byte
			s.Scan(prefix, from, func(k, _ []byte) bool { got = append(got, bytes.Clone(k)); return true })
			for _, k := range keys {
				if bytes.HasPrefix(k, prefix) && bytes.Compare(k, from) >= 0 {
					want = append(want, k)
				}
			}
			if fmt.Sprintf("%x", got) != fmt.Sprintf("%x", want) {
				t.Fatalf("scan of %x from %x: %x, want %x", prefix, from, got, want)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// anyKey is a reducer whose events set or delete the key that they are.
type anyKey struct{ register }

func (anyKey) Apply(s State, _ Author, e Event) {
	if e.Body[0] == 0 {
		s.Set(e.Body[1:], e.Body)
	} else {
		s.Delete(e.Body[1:])
	}
}

func (anyKey) Coalesce(es []Event) []Event { return es }

// Former values come newest first, and a log has no history of what was before it.
func TestFormer(t *testing.T) {
	v := newVolume(t, 1)
	now := time.Unix(1000, 0)
	r := openReplica(t, vfs.NewMem(), v, 0, func(o *Options) {
		o.Now = func() time.Time { now = now.Add(time.Second); return now }
	})
	defer r.st.Close()
	for i := range byte(3) {
		r.append(t, event(opFirst, 7, i))
		r.append(t, event(opDel, 7))
	}
	var got []string
	err := r.Former(registerKey(7), func(f Fact) bool {
		got = append(got, fmt.Sprintf("%d %x %t", f.Until.Time/1e9-1000, f.Val, f.Had))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "[6 02 true 5  false 4 01 true 3  false 2 00 true 1  false]"; fmt.Sprint(got) != want {
		t.Errorf("former values are %v, want %v", got, want)
	}
	if m, err := r.MomentAt(time.Unix(1, 0)); err != nil || r.dumpAt(t, m) != "" {
		t.Errorf("before the first event: %v, %v", m, err)
	}
}

// A log that a version without history has written has one from now on, and says so of what was before.
func TestHistoryBegins(t *testing.T) {
	v := newVolume(t, 1)
	r := openReplica(t, vfs.NewMem(), v, 0, nil)
	r.append(t, event(opSet, 1, 1))
	b := r.db().NewBatch()
	for _, kind := range []byte{kindEra, kindFact} {
		if err := b.DeleteRange(r.ks.kind(kind), after(r.ks.kind(kind)), nil); err != nil {
			t.Fatal(err)
		}
	}
	u, err := r.undoOf(r.db(), r.ks.local(kindUndo, 1))
	if err != nil {
		t.Fatal(err)
	}
	u.moment = Moment{}
	b.Set(r.ks.local(kindUndo, 1), u.encode(nil), nil)
	if _, err := r.st.Begin(b); err != nil {
		t.Fatal(err)
	}
	r = r.reopen(t)
	defer func() { r.st.Close() }()
	if _, err := r.MomentAt(time.Now().Add(-time.Minute)); !errors.Is(err, ErrNoHistory) {
		t.Errorf("a minute ago: %v, want %v", err, ErrNoHistory)
	}
	r.append(t, event(opSet, 1, 2))
	at, state := r.Now(), r.dump()
	r.append(t, event(opSet, 1, 3))
	r = r.reopen(t)
	if got := r.dumpAt(t, at); got != state {
		t.Errorf("state is\n%swant\n%s", got, state)
	}
	if err := r.At(Moment{1, 1}, func(Reader) {}); !errors.Is(err, ErrNoHistory) {
		t.Errorf("at the beginning of time: %v, want %v", err, ErrNoHistory)
	}
}

// That the record of an era is lost changes nothing in those behind it.
func TestLostEra(t *testing.T) {
	now := time.Unix(100000, 0)
	v := newVolume(t, 1)
	r := openReplica(t, vfs.NewMem(), v, 0, func(o *Options) { o.Now = func() time.Time { return now } })
	defer func() { r.st.Close() }()
	for i := range byte(3) {
		r.append(t, event(opSet, 1, i))
		now = now.Add(-time.Hour)
	}
	state, when := r.dump(), now.Add(time.Hour)
	b := r.db().NewBatch()
	b.Delete(r.ks.era(2), nil)
	if _, err := r.st.Begin(b); err != nil {
		t.Fatal(err)
	}
	r = r.reopen(t)
	now = now.Add(2 * time.Hour)
	r.append(t, event(opSet, 1, 9))
	m, err := r.MomentAt(when)
	if err != nil || m.Era != 3 {
		t.Fatalf("%v, %v", m, err)
	}
	if got := r.dumpAt(t, m); got != state {
		t.Errorf("the state is\n%swant\n%s", got, state)
	}
}

// What thinned history while the clock was ahead does not thin what comes after it was set back.
func TestThinWhileClockIsAhead(t *testing.T) {
	const years = 4 * 365 * 24 * time.Hour
	now := time.Unix(100000000, 0)
	v := newVolume(t, 1)
	r := openReplica(t, vfs.NewMem(), v, 0, func(o *Options) { o.Now = func() time.Time { return now } })
	defer func() { r.st.Close() }()
	thin := func() {
		grid := GridOf(now, Age{24 * time.Hour, time.Hour}, Age{10 * 24 * time.Hour, 7 * 24 * time.Hour})
		if _, err := r.Thin(grid, nil, false, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	r.append(t, event(opMix, 1, 1))
	now = now.Add(years)
	r.append(t, event(opMix, 1, 2))
	thin()
	now = now.Add(-years)
	states := map[time.Time]string{}
	for i := range byte(40) {
		now = now.Add(time.Minute)
		r.append(t, event(opMix, 1, i))
		states[now] = r.dump()
	}
	thin()
	r = r.reopen(t)
	thin()
	for when, want := range states {
		m, err := r.MomentAt(when)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.dumpAt(t, m); got != want {
			t.Fatalf("at %v, which is %v, the state is\n%swant\n%s", when, m, got, want)
		}
	}
}

// Thinning drops facts, and changes nothing at the moments that are left.
func TestThin(t *testing.T) {
	for seed := range *seeds {
		thinOnce(t, seed)
	}
}

func thinOnce(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 5))
	now := time.Unix(1000800, 0)
	v := newVolume(t, 1)
	r := openReplica(t, vfs.NewMem(), v, 0, func(o *Options) { o.Now = func() time.Time { return now } })
	defer func() { r.st.Close() }()
	var pins []Moment
	states := map[Moment]string{}
	for range 200 {
		now = now.Add(time.Duration(rng.IntN(40)) * time.Minute)
		if rng.IntN(60) == 0 {
			now = now.Add(-5 * time.Hour)
		}
		r.append(t, event(opMix, byte(rng.IntN(6)), byte(rng.IntN(256))))
		states[r.Now()] = r.dump()
		if rng.IntN(40) == 0 {
			pins = append(pins, r.Now())
		}
	}
	// What is to be had of any time, before.
	at := func(when time.Time) (Moment, string) {
		m, err := r.MomentAt(when)
		if errors.Is(err, ErrNoHistory) {
			return m, "none"
		}
		if err != nil {
			t.Fatal(err)
		}
		return m, r.dumpAt(t, m)
	}
	was := map[int64]string{}
	for h := range int64(80 * 6) {
		when := time.Unix(1000800+h*600, 0)
		_, was[when.UnixNano()] = at(when)
	}
	total, compared := 0, 0
	for _, age := range []time.Duration{30 * time.Hour, 10 * time.Hour} {
		grid := GridOf(now, Age{age, time.Hour}, Age{2 * age, 6 * time.Hour}, Age{4 * age, 0})
		would, err := r.Thin(grid, pins, true, func() error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		did, err := r.Thin(grid, pins, false, func() error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if did != would {
			t.Fatalf("seed %d: thinned %+v, said %+v", seed, did, would)
		}
		total += did.Facts
		if rng.IntN(2) == 0 {
			r = r.reopen(t)
		}
		starts := r.time.starts()
		for h := range int64(80 * 6) {
			when := time.Unix(1000800+h*600, 0)
			m, got := at(when)
			want, ok := was[m.Time]
			if got == "none" || starts[m.Era] == m.Time || !ok {
				continue
			}
			if m.Era != r.Now().Era {
				continue
			}
			if compared++; got != want {
				t.Fatalf("seed %d: at %v, which is %v, the state is\n%swant\n%s", seed, when, m, got, want)
			}
		}
		for _, p := range pins {
			if got := r.dumpAt(t, p); got != states[p] {
				t.Fatalf("seed %d: at the pin %v the state is\n%swant\n%s", seed, p, got, states[p])
			}
		}
	}
	if (compared == 0 || total == 0) && r.Now().Era == 1 {
		t.Errorf("seed %d: %d facts went, %d moments were compared", seed, total, compared)
	}
	again, err := r.Thin(nil, pins, false, func() error { return nil })
	if err != nil || again.Facts != 0 {
		t.Errorf("seed %d: after %d facts, again %+v, %v", seed, total, again, err)
	}
}

func TestGrid(t *testing.T) {
	step := func(before, every int64) Step { return Step{Before: before, Every: every} }
	g := Grid{step(1000, 10), step(500, 100), step(200, 0)}
	for _, c := range []struct {
		t, want int64
		ok      bool
	}{{2000, 2000, true}, {1000, 1000, true}, {999, 990, true}, {505, 500, true}, {499, 400, true}, {250, 200, true}, {199, 0, false}} {
		if got, ok := g.Floor(c.t); got != c.want || ok != c.ok {
			t.Errorf("Floor(%d) = %d, %t, want %d, %t", c.t, got, ok, c.want, c.ok)
		}
	}
	if g.Keeps(991, 1000) || !g.Keeps(990, 991) || g.Keeps(0, 200) || !g.Keeps(0, 201) {
		t.Error("Keeps is wrong")
	}
	later := g.With(Grid{step(2000, 10), step(400, 0)})
	if want := (Grid{step(500, 100), step(2000, 10), step(400, 0)}); fmt.Sprint(later) != fmt.Sprint(want) {
		t.Errorf("With: %v, want %v", later, want)
	}
}
