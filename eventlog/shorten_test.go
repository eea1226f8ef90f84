package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A memBlocks is a block store from which nothing is collected.
type memBlocks struct{ *ipld.Memory }

func (memBlocks) Sync() error  { return nil }
func (memBlocks) Hold() func() { return func() {} }

func newMemBlocks() memBlocks { return memBlocks{ipld.NewMemory()} }

// tryKeep keeps a checkpoint, unless something is not committed.
func (r *replica) tryKeep(t testing.TB, st BlockStore) (Kept, bool) {
	t.Helper()
	k, err := r.Keep(context.Background(), st, testSealer(), time.Unix(77, 0), noPause)
	if err != nil && !errors.Is(err, ErrUnsettled) {
		t.Fatal(err)
	}
	return k, err == nil
}

// wantSound fails if a deep verify finds anything, or can't do its work.
func (r *replica) wantSound(t testing.TB, st ipld.Store) {
	t.Helper()
	rep := report.New(context.Background(), func(int64) error { return nil })
	look := Look{DB: r.db(), Volume: r.volume, Name: "log", Member: r.o.Member, Keys: r.o.Keys, Reducer: register{}, Report: rep, Blocks: st}
	if err := look.Verify(); err != nil {
		t.Fatal(err)
	}
	if err := r.st.Scratch(func(db *pebble.DB) error { return look.Replay(db) }); err != nil {
		t.Fatal(err)
	}
	if all, _ := rep.Findings(); len(all) > 0 {
		t.Fatalf("verify finds %+v", all)
	}
}

// wantFrames fails unless all frames behind the base are here, and none before it.
func (r *replica) wantFrames(t testing.TB) (base Index) {
	t.Helper()
	base, err := r.Base()
	if err != nil {
		t.Fatal(err)
	}
	err = r.CommittedFrames(0, func(i Index, h FrameHash) bool {
		if _, err := r.Frame(h); (err == nil) != (i > base) {
			t.Errorf("the base is %d, and frame %x at %d: %v", base, h[:4], i, err)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// A log without its first frames is, whatever comes, as one that has all: state, past, order, heads, and the checkpoints that it makes. And so is one
// that was restored from what it keeps, over restarts of both.
func TestShortenedEqualsWhole(t *testing.T) {
	t.Parallel()
	for seed := range *seeds / 2 {
		shortenOnce(t, seed)
	}
}

func shortenOnce(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 11))
	v := newVolume(t, 5)
	writers := []*replica{memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)}
	full := memReplica(t, v, 2, nil)
	short := openReplica(t, vfs.NewMem(), v, 3, nil)
	defer func() { short.st.Close() }()
	var late *replica // restored from what short keeps
	defer func() {
		if late != nil {
			late.st.Close()
		}
	}()
	all := func() []*replica {
		rs := append([]*replica{full, short}, writers...)
		if late != nil {
			rs = append(rs, late)
		}
		return rs
	}
	st := newMemBlocks()
	var frames []*Frame
	var index Index
	type past struct {
		at    Moment
		state string
	}
	var seen []past
	for step := range 200 {
		w := writers[rng.IntN(len(writers))]
		switch rng.IntN(9) {
		case 0, 1, 2:
			w.append(t, event(byte(rng.IntN(opCount_)), byte(rng.IntN(6)), byte(rng.IntN(6)), byte(rng.IntN(256))))
		case 3, 4:
			if f := w.cut(t); f != nil {
				frames = append(frames, f)
			}
		case 5, 6:
			if len(frames) == 0 {
				break
			}
			index++
			var e []*Frame
			for range 1 + rng.IntN(4) {
				e = append(e, frames[rng.IntN(len(frames))])
			}
			for _, r := range all() {
				r.commit(t, index, e...)
			}
			seen = append(seen, past{short.Now(), short.dump()})
		case 7:
			if rng.IntN(4) == 0 { // an event of its own, which is committed last
				short.append(t, event(opMix, 1, byte(step)))
				frames = append(frames, short.cut(t))
				break
			}
			k, ok := short.tryKeep(t, st)
			if !ok {
				break
			}
			if want, err := full.tryCheckpoint(st, nil); err != nil || want != k.Checkpoint {
				t.Fatalf("seed %d: keeps %+v, and one that has all makes %+v, %v", seed, k.Checkpoint, want, err)
			}
			if late != nil || rng.IntN(2) == 0 {
				break
			}
			h, err := short.History(context.Background(), k, st, testSealer(), noPause)
			if err != nil {
				t.Fatal(err)
			}
			late = restored(t, v, 4, st, k, &h)
			for _, p := range seen {
				if got := late.dumpAt(t, p.at); got != p.state {
					t.Fatalf("seed %d: at %v the restored one had\n%swant\n%s", seed, p.at, got, p.state)
				}
			}
		case 8:
			kept, err := short.Kept()
			if err != nil {
				t.Fatal(err)
			}
			if len(kept) == 0 {
				break
			}
			to := kept[rng.IntN(len(kept))].Index
			dry, err := short.Shorten(to, st, true, noPause)
			if err != nil {
				t.Fatal(err)
			}
			if did, err := short.Shorten(to, st, false, noPause); err != nil || did != dry {
				t.Fatalf("seed %d: shortened by %+v, %v; foretold was %+v", seed, did, err, dry)
			}
			if base := short.wantFrames(t); base != to {
				t.Fatalf("seed %d: the base is %d, want %d", seed, base, to)
			}
			short.wantSound(t, st)
			if rng.IntN(3) == 0 {
				short = short.reopen(t)
			}
		}
	}
	for i := range 10 {
		if i == 5 && late != nil {
			late = late.reopen(t)
		}
		for _, w := range writers {
			if f := w.cut(t); f != nil {
				frames = append(frames, f)
			}
		}
		for _, r := range all() {
			r.receive(t, frames...)
		}
		short.append(t, event(opMix, 2, byte(i)))
		frames = append(frames, short.cut(t))
	}
	for i := 0; i < len(frames); i += 7 {
		index++
		for _, r := range all() {
			r.commit(t, index, frames[i:min(i+7, len(frames))]...)
		}
	}
	want := full.tellAll(t, st)
	for _, r := range all()[1:] {
		if got := r.tellAll(t, st); got != want {
			t.Fatalf("seed %d: the log is\n%s\nwant\n%s", seed, got, want)
		}
		r.wantSound(t, st)
	}
	for _, p := range seen {
		if got := short.dumpAt(t, p.at); got != p.state {
			t.Fatalf("seed %d: at %v it had\n%swant\n%s", seed, p.at, got, p.state)
		}
	}
	for _, back := range []bool{false, true} {
		base, n := short.wantFrames(t), 0
		show := func(e Entry) bool {
			if n++; e.Position.Stage == StageCommitted && e.Position.Index <= base {
				t.Errorf("seed %d: an event at %d is shown, the base is %d", seed, e.Position.Index, base)
			}
			return true
		}
		var err error
		if back {
			err = short.EntriesBefore(LastPosition(), show)
		} else {
			err = short.Entries(Position{}, show)
		}
		if err != nil || n == 0 {
			t.Errorf("seed %d: %d entries, %v", seed, n, err)
		}
	}
}

// tellAll is what two logs that have committed the same must agree in.
func (r *replica) tellAll(t testing.TB, st ipld.Store) string {
	t.Helper()
	i, h := r.Committed()
	c, err := r.tryCheckpoint(st, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Stats()
	return fmt.Sprintf("%d %x %d %d %d\n%v\n%+v\n%s", i, h, s.CommittedFrames, s.CommittedEvents, s.WaitingFrames, r.Heads(), c, r.dump())
}

// fewFrames is enough for several batches of Shorten.
const fewFrames = 2*shortenChunk + 50

// framesAtOnce have one Index, so that batches would end in the midst of one.
const framesAtOnce = 30

// shortReplica has fewFrames frames, some at each Index, and keeps a checkpoint of all but the last Index.
func shortReplica(t testing.TB, fs vfs.FS, v *volume, st BlockStore) (*replica, Kept) {
	t.Helper()
	r := openReplica(t, fs, v, 0, nil)
	var frames []*Frame
	for i := range fewFrames / framesAtOnce * framesAtOnce {
		r.append(t, event(opMix, byte(i%8), byte(i)))
		if frames = append(frames, r.cut(t)); len(frames) < framesAtOnce {
			continue
		}
		r.commit(t, Index(i+1), frames...)
		frames = nil
	}
	k, ok := r.tryKeep(t, st)
	if !ok {
		t.Fatal("nothing is kept")
	}
	for i := range byte(fewFrames % framesAtOnce) {
		r.append(t, event(opMix, i, i))
		r.commit(t, Index(fewFrames+i), r.cut(t))
	}
	return r, k
}

// A power cut at any point leaves a log that is sound, and can be shortened to the end.
func TestShortenCrash(t *testing.T) {
	t.Parallel()
	v, st := newVolume(t, 1), newMemBlocks()
	fs := vfs.NewCrashableMem()
	r, k := shortReplica(t, fs, v, st)
	want := r.tellAll(t, st)
	if err := r.st.Sync(); err != nil {
		t.Fatal(err)
	}
	var crashed []*vfs.MemFS
	crash := func() error {
		for _, percent := range []int{0, 50, 100} {
			rng := rand.New(rand.NewPCG(uint64(len(crashed)), 1))
			crashed = append(crashed, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
		}
		return nil
	}
	_, err := r.Shorten(k.Index, st, false, crash)
	if err := errors.Join(err, crash(), r.st.Close()); err != nil {
		t.Fatal(err)
	}
	bases := map[Index]bool{}
	for n, disk := range crashed {
		again := (&replica{fs: disk, o: v.options(nil, 0)}).open(t)
		base := again.wantFrames(t)
		bases[base] = true
		again.wantSound(t, st)
		if got := again.tellAll(t, st); got != want {
			t.Fatalf("crash %d: the log is\n%s\nwant\n%s", n, got, want)
		}
		if _, err := again.Shorten(k.Index, st, false, noPause); err != nil {
			t.Fatal(err)
		}
		if base := again.wantFrames(t); base != k.Index {
			t.Errorf("crash %d: the base is %d, want %d", n, base, k.Index)
		}
		again.wantSound(t, st)
		again.st.Close()
	}
	if len(bases) < 3 {
		t.Errorf("only crashes with the bases %v were tried", bases)
	}
}

// Nothing goes for which no checkpoint is kept, or one that can't be read as a whole.
func TestShortenRefuses(t *testing.T) {
	t.Parallel()
	v, st := newVolume(t, 1), newMemBlocks()
	r, k := shortReplica(t, vfs.NewMem(), v, st)
	defer r.st.Close()
	refused := func(what string, to Index, why error) {
		t.Helper()
		if did, err := r.Shorten(to, st, false, noPause); !errors.Is(err, why) || did != (Shortened{}) {
			t.Errorf("%s: %+v, %v", what, did, err)
		}
		if base := r.wantFrames(t); base != 0 {
			t.Errorf("%s: the base is %d", what, base)
		}
	}
	refused("where none is kept", k.Index-1, ErrNotKept)
	if did, err := r.Shorten(k.Index, st, true, noPause); err != nil || did.Frames != fewFrames/framesAtOnce*framesAtOnce || did.Bytes == 0 {
		t.Errorf("dry: %+v, %v", did, err)
	}
	var blocks []ipld.Block
	err := st.Keys(func(c ipld.CID) error {
		b, err := st.Get(c)
		blocks = append(blocks, b)
		return err
	})
	if err != nil || len(blocks) < 2 {
		t.Fatal(len(blocks), err)
	}
	r = r.reopen(t)
	for _, b := range blocks {
		st.Delete(b.CID)
		refused("with a block missing", k.Index, ipld.ErrNotFound)
		if err := st.Put(b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Shorten(k.Index, st, false, noPause); err != nil {
		t.Error(err)
	}
	if kept, err := r.Kept(); err != nil || len(kept) != 1 || kept[0] != k {
		t.Errorf("%+v, %v", kept, err)
	}
	r.append(t, event(opSet, 1))
	if _, ok := r.tryKeep(t, st); ok {
		t.Error("a checkpoint is kept of what is shown and not committed")
	}
}
