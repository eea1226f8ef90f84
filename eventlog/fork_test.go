package eventlog

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// clone copies a closed store, as a backup does, and opens the copy.
func clone(t *testing.T, r *replica) *replica {
	t.Helper()
	to := vfs.NewMem()
	if err := r.st.Close(); err != nil {
		t.Fatal(err)
	}
	if ok, err := vfs.Clone(r.fs, to, "home", "home"); err != nil || !ok {
		t.Fatal(err)
	}
	*r = *openAgain(t, r.fs, r.o)
	copied := openAgain(t, to, r.o)
	t.Cleanup(func() { copied.st.Close() })
	return copied
}

func openAgain(t *testing.T, fs vfs.FS, o Options) *replica {
	t.Helper()
	r := &replica{fs: fs, o: o}
	return r.open(t)
}

// A restored backup meets the frames that it had sent before: they continue its feed, and it goes on behind them.
func TestOwnFramesAreTakenBack(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	a.append(t, event(opMix, 1, 1))
	b.receive(t, a.cut(t))
	backup := clone(t, a)
	a.append(t, event(opMix, 1, 2))
	lost := a.cut(t)
	b.receive(t, lost)

	backup.append(t, event(opMix, 1, 3))
	backup.receive(t, lost)
	if backup.Forked() {
		t.Fatal("a frame that continues the feed is no fork")
	}
	f := backup.cut(t)
	if f.Prev != lost.Hash || f.First != 3 {
		t.Fatalf("the next frame is %+v", f.Header)
	}
	b.receive(t, f)
	if got, want := b.dump(), backup.dump(); got != want {
		t.Errorf("state\n%s, backup has\n%s", got, want)
	}
}

// One store runs on two machines: both branches are kept and committed, and both go on as other feeds.
func TestForkedFeedKeepsBothBranches(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	a.append(t, event(opMix, 1, 1))
	root := a.cut(t)
	twin := clone(t, a)
	a.append(t, event(opMix, 1, 2))
	fa := a.cut(t)
	twin.append(t, event(opMix, 1, 3))
	ft := twin.cut(t)
	a.append(t, event(opSet, 2, 4)) // the outcome depends on the feed
	twin.receive(t, fa)
	a.receive(t, ft)
	for i, r := range []*replica{a, twin} {
		if !r.Forked() {
			t.Fatal("the fork is not seen")
		}
		if _, err := r.Cut(10); !errors.Is(err, ErrForked) {
			t.Fatalf("cut of a forked feed: %v", err)
		}
		feed := v.devices[0].feed
		feed.Incarnation = uint64(100 + i)
		if err := r.NewIncarnation(feed); err != nil {
			t.Fatal(err)
		}
		r.o.Feed = feed
		if r.Forked() {
			t.Error("the new incarnation is forked")
		}
	}
	if got, want := a.dump(), a.folded(t); got != want {
		t.Errorf("state in the new incarnation\n%s, folded\n%s", got, want)
	}
	tail := a.cut(t)
	if tail.First != 1 || len(tail.BuildsOn) != 2 || tail.Incarnation != 100 {
		t.Errorf("tail: %+v", tail.Header)
	}
	b.receive(t, tail, ft, root, fa)
	twin.receive(t, tail)
	for i, f := range []*Frame{root, ft, fa, tail} {
		for _, r := range []*replica{a, b, twin} {
			r.commit(t, Index(i+1), f)
		}
	}
	for _, r := range []*replica{a, b, twin} {
		if s := r.Stats(); s.CommittedFrames != 4 || s.TentativeFrames != 0 {
			t.Errorf("%+v", s)
		}
		if got, want := r.dump(), b.dump(); got != want {
			t.Errorf("state\n%s, want\n%s", got, want)
		}
	}
	*a = *a.reopen(t)
	a.append(t, event(opSet, 3, 4))
	if f := a.cut(t); f.Incarnation != 100 || f.First != 2 {
		t.Errorf("after a restart: %+v", f.Header)
	}
}

// Opening with another incarnation is beginning it.
func TestOpenWithAnotherIncarnation(t *testing.T) {
	v := newVolume(t, 1)
	a := memReplica(t, v, 0, nil)
	a.append(t, event(opSet, 1, 1))
	a.cut(t)
	a.append(t, event(opSet, 1, 2))
	a.o.Feed.Incarnation = 77
	*a = *a.reopen(t)
	if got, want := a.dump(), a.folded(t); got != want {
		t.Errorf("state\n%s, folded\n%s", got, want)
	}
	if f := a.cut(t); f.Incarnation != 77 || f.First != 1 || len(f.BuildsOn) != 1 {
		t.Errorf("%+v", f.Header)
	}
	if got, want := a.dump(), a.folded(t); got != want {
		t.Errorf("state\n%s, folded\n%s", got, want)
	}
}

// An onceReducer's event is an id, the id that it replaces, a key and a value: it sets the key, unless its id is known.
type onceReducer struct{ register }

func (onceReducer) Apply(s State, _ Author, e Event) {
	id := []byte{'i', e.Body[0]}
	if _, known := s.Get(id); !known {
		s.Delete([]byte{'i', e.Body[1]})
		s.Set(id, nil)
		s.Set([]byte{'k', e.Body[2]}, e.Body[3:])
	}
}

func (onceReducer) Coalesce(es []Event) (out []Event) {
	for _, e := range es {
		if n := len(out); n > 0 && out[n-1].Body[0] == e.Body[1] && out[n-1].Body[2] == e.Body[2] {
			out[n-1] = event(e.Body[0], out[n-1].Body[1], e.Body[2], e.Body[3])
			continue
		}
		out = append(out, e)
	}
	return out
}

// Events that a backup holds unframed, and that the store framed after it was made, come twice. What the backup then makes
// of them it tells the others as it is.
func TestEventsThatComeTwiceAreNotCoalesced(t *testing.T) {
	v := newVolume(t, 2)
	once := func(o *Options) { o.Reducer = onceReducer{} }
	a, b := memReplica(t, v, 0, once), memReplica(t, v, 1, once)
	a.append(t, event(10, 0, 9, 9))
	b.receive(t, a.cut(t))
	a.append(t, event(1, 0, 7, 1), event(2, 1, 7, 2))
	backup := clone(t, a)
	lost := a.cut(t)
	if lost.Count != 1 {
		t.Fatalf("%d events, want them coalesced", lost.Count)
	}
	b.receive(t, lost)
	backup.receive(t, lost)
	*backup = *backup.reopen(t)
	backup.append(t, event(3, 0, 8, 1), event(4, 3, 8, 2))
	first, second := backup.cut(t), backup.cut(t)
	if first.Count != 2 || second.Count != 1 {
		t.Errorf("frames of %d and %d events", first.Count, second.Count)
	}
	b.receive(t, first, second)
	if got, want := b.dump(), backup.dump(); got != want {
		t.Errorf("state\n%s, backup has\n%s", got, want)
	}
}
