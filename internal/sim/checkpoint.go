package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// restoredAtMost is how many of a replica's kept checkpoints are gone on from in the end.
const restoredAtMost = 2

func noPause() error { return nil }

// keepsCheckpoints keeps a checkpoint now and then while this life lasts, when nothing is on its way. Like makesSnapshots it draws from
// randomness of its own.
func (r *replica) keepsCheckpoints() {
	life, rnd := r.life, rand.New(rand.NewPCG(uint64(r.n), uint64(r.life)+1000))
	var again func()
	again = func() {
		if r.life != life {
			return
		}
		_, err := r.log.Keep(context.Background(), r.blocks, r.w.sealer, time.Unix(0, r.w.clock()), noPause)
		if !errors.Is(err, eventlog.ErrUnsettled) {
			r.w.must(r.name+" keeps a checkpoint", err)
		}
		r.settle()
		r.w.after(time.Duration(200+rnd.IntN(2000))*time.Millisecond, again)
	}
	r.w.after(time.Duration(rnd.IntN(2000))*time.Millisecond, again)
}

// checkRestored goes on from checkpoints that replicas keep, with the frames that were committed after: that leads to what all have, and the history up to
// the checkpoint is the replica's.
func (w *world) checkRestored() {
	n := 0
	for _, r := range w.replicas {
		kept, err := r.log.Kept()
		w.must("kept checkpoints", err)
		var moments []eventlog.Moment
		for _, k := range kept {
			moments = append(moments, k.Until)
		}
		for len(kept) > restoredAtMost {
			i := len(kept) / 2 // neither the first nor the last
			kept = append(kept[:i:i], kept[i+1:]...)
		}
		for _, k := range kept {
			w.must(fmt.Sprintf("go on from %s's checkpoint at %d", r.name, k.Index), r.checkRestored(k, moments))
			n++
		}
	}
	w.tell("%d checkpoints lead to the same", n)
}

func (r *replica) checkRestored(k eventlog.Kept, moments []eventlog.Moment) (err error) {
	w := r.w
	history, err := r.log.History(context.Background(), k, r.blocks, w.sealer, noPause)
	if err != nil {
		return err
	}
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	o := eventlog.Options{
		Store: st, Volume: w.volume, Feed: r.feed(), Sign: r.keyring.Sign, Keys: w.keys,
		Member:  func(d identity.DeviceID) bool { return w.members[d] },
		Reducer: tree.New(), Rand: rand.NewChaCha8([32]byte{}),
	}
	if err := eventlog.Restore(o, r.blocks, k, &history); err != nil {
		return err
	}
	l, err := eventlog.Open(o)
	if err != nil {
		return err
	}
	past := l.Now()
	var entries []eventlog.Ordered
	var failed error
	err = r.log.CommittedFrames(k.Index, func(i eventlog.Index, h eventlog.FrameHash) bool {
		if n := len(entries); n == 0 || entries[n-1].Index != i {
			entries = append(entries, eventlog.Ordered{Index: i})
		}
		f, err := r.log.Frame(h)
		if failed = err; err == nil {
			e := &entries[len(entries)-1]
			e.Frames = append(e.Frames, f.Raw)
		}
		return failed == nil
	})
	for _, e := range entries {
		err = errors.Join(err, l.Commit(e.Index, e.Frames...))
	}
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	s := newState()
	if err := l.Snapshot(s.take); err != nil {
		return err
	}
	if d := s.differ(r.dump()); d != "" {
		return fmt.Errorf("the state differs: %s", d)
	}
	if past != k.Until {
		return fmt.Errorf("its last moment is %v, and restored %v", k.Until, past)
	}
	for _, m := range moments {
		if m.Compare(k.Until) > 0 {
			break
		}
		was, is := "", ""
		err = errors.Join(r.log.At(m, func(s eventlog.Reader) { was = shown(s) }), l.At(m, func(s eventlog.Reader) { is = shown(s) }))
		if err != nil {
			return err
		}
		if was != is {
			return fmt.Errorf("at %v the replica showed\n%sand the restored one\n%s", m, was, is)
		}
	}
	_, hash := l.Committed()
	if _, want := r.log.Committed(); hash != want {
		return fmt.Errorf("the order hash is %x, want %x", hash[:8], want[:8])
	}
	if a, b := fmt.Sprint(l.Heads()), fmt.Sprint(r.log.Heads()); a != b {
		return fmt.Errorf("the heads are %s, want %s", a, b)
	}
	return nil
}

// shown is a tree as programs see it.
func shown(s eventlog.Reader) string {
	var b strings.Builder
	tree.Walk(s, tree.RootID, func(path [][]byte, e tree.Dirent) bool {
		ino, _ := tree.GetInode(s, e.ID)
		fmt.Fprintf(&b, "%q %+v\n", path, ino)
		return true
	})
	return b.String()
}
