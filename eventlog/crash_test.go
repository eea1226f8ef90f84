package eventlog

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// A power cut at any point leaves a state that was, no older than what was acknowledged, and a log that leads to it.
func TestCrashLeavesAPrefix(t *testing.T) {
	for seed := range uint64(40) {
		crashOnce(t, seed)
	}
}

func crashOnce(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	v := newVolume(t, 2)
	fs := vfs.NewCrashableMem()
	mine, other := openReplica(t, fs, v, 0, nil), openReplica(t, vfs.NewMem(), v, 1, nil)
	defer other.st.Close()
	history := []string{""} // every state that was visible
	safe := 0               // the last of them that was acknowledged as on disk
	index := Index(0)
	var frames []*Frame
	note := func() {
		if now := mine.dump(); now != history[len(history)-1] {
			history = append(history, now)
		}
	}
	for range 30 {
		switch rng.IntN(6) {
		case 0, 1:
			mine.append(t, event(byte(rng.IntN(opCount_)), byte(rng.IntN(4)), byte(rng.IntN(4)), byte(rng.IntN(256))))
		case 2:
			if f := mine.cut(t); f != nil {
				frames = append(frames, f)
			}
		case 3:
			other.append(t, event(opMix, byte(rng.IntN(4)), byte(rng.IntN(256))))
			if f := other.cut(t); f != nil {
				frames = append(frames, f)
				mine.receive(t, f)
			}
		case 4:
			if len(frames) > 0 {
				index++
				mine.commit(t, index, frames[rng.IntN(len(frames))])
			}
		case 5:
			if err := mine.st.Sync(); err != nil {
				t.Fatal(err)
			}
			note()
			safe = len(history) - 1
		}
		note()
	}
	cut := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	mine.st.Close()
	st, err := store.Open("home", store.Options{FS: cut, FlushEvery: -1})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	defer st.Close()
	o := mine.o
	o.Store = st
	l, err := Open(o)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	r := &replica{Log: l, st: st, fs: cut, o: o}
	got := r.dump()
	if want := r.folded(t); got != want {
		t.Fatalf("seed %d: state\n%s, its log leads to\n%s", seed, got, want)
	}
	for _, was := range history[safe:] {
		if got == was {
			return
		}
	}
	t.Fatalf("seed %d: state\n%s, is none of\n%s", seed, got, strings.Join(history[safe:], "\n--\n"))
}

// A disk that refuses a write refuses the change, and the log goes on when it takes writes again.
func TestFailedRearrangementIsLoadedAnew(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	b.append(t, event(opMix, 1, 1))
	f := b.cut(t)
	a.append(t, event(opMix, 1, 2))
	boom := errors.New("boom")
	if err := a.rearrange(func(c *change) error {
		if _, err := c.receive(f); err != nil {
			return err
		}
		return boom
	}); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if s := a.Stats(); s.TentativeFrames != 0 {
		t.Errorf("%+v", s)
	}
	a.receive(t, f)
	if got, want := a.dump(), a.folded(t); got != want {
		t.Errorf("state\n%s, folded\n%s", got, want)
	}
	if s := a.Stats(); s.TentativeFrames != 1 || s.UnframedEvents != 1 {
		t.Errorf("%+v", s)
	}
}
