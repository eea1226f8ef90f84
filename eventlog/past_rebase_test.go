package eventlog

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A pausing reducer calls a function when it is about to apply an event, once.
type pausing struct {
	register
	at   byte // the value of that event
	then *func()
}

func (p pausing) Apply(s State, a Author, e Event) {
	if fn := *p.then; fn != nil && len(e.Body) > 2 && e.Body[2] == p.at {
		*p.then = nil
		fn()
	}
	p.register.Apply(s, a, e)
}

// What this device does while a rebase is computed becomes history behind the rebase, as if that had come at once: at the moment of each
// change the state is what all events up to it lead to.
func TestPastDuringRebase(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		pastDuringRebase(t, seed)
	}
}

func pastDuringRebase(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 9))
	const signal = 255
	ops := []byte{opSet, opMix, opDel, opCopy, opCount, opFirst}
	some := func() Event {
		return event(ops[rng.IntN(len(ops))], byte(rng.IntN(4)), byte(rng.IntN(4)), byte(rng.IntN(200)))
	}
	several := func() (es []Event) {
		for range 1 + rng.IntN(4) {
			es = append(es, some())
		}
		return es
	}
	v := newVolume(t, 2)
	var then func()
	r := openReplica(t, vfs.NewMem(), v, 0, func(o *Options) { o.Reducer = pausing{at: signal, then: &then} })
	r.few = LocalSeq(rng.IntN(3))
	other := openReplica(t, vfs.NewMem(), v, 1, nil)
	defer func() { other.st.Close(); r.st.Close() }()
	r.append(t, several()...)
	if rng.IntN(2) == 0 {
		r.cut(t)
	}
	other.append(t, append(several(), event(opMix, byte(rng.IntN(4)), signal))...)
	f := other.cut(t)

	type change struct {
		at     Moment
		events int
	}
	var during []change
	then = func() {
		for range 1 + rng.IntN(4) {
			es := several()
			r.append(t, es...)
			during = append(during, change{r.Now(), len(es)})
		}
	}
	if rng.IntN(2) == 0 {
		r.receive(t, f)
	} else {
		r.commit(t, 1, f)
	}
	if then != nil || len(during) == 0 {
		t.Fatalf("seed %d: nothing was done during the rebase", seed)
	}
	var all []Entry
	if err := r.Entries(Position{}, func(e Entry) bool { all = append(all, e); return true }); err != nil {
		t.Fatal(err)
	}
	upTo := func(n int) string {
		o := newOverlay(emptyBase{})
		for _, e := range all[:n] {
			register{}.Apply(o, e.Author, e.Event)
		}
		return dumpOverlay(o)
	}
	n := len(all)
	for i := len(during) - 1; i >= 0; i-- {
		at := during[i].at
		if got, want := r.dumpAt(t, at), upTo(n); got != want {
			t.Fatalf("seed %d: at change %d of %d the state is\n%swant\n%s", seed, i, len(during), got, want)
		}
		n -= during[i].events
		if got, want := r.dumpAt(t, Moment{at.Era, at.Time - 1}), upTo(n); got != want {
			t.Fatalf("seed %d: before change %d of %d the state is\n%swant\n%s", seed, i, len(during), got, want)
		}
	}
}
