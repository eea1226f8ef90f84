package eventlog

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// Writers, readers, a cutter, a receiver and a sequencer work at once; under the race detector, above all.
func TestConcurrentUse(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	const rounds = 60
	var incoming []*Frame
	for i := range byte(rounds) {
		b.append(t, event(opMix, i%8, i), event(opCount, i%8, i%5))
		incoming = append(incoming, b.cut(t))
	}
	var wg sync.WaitGroup
	start := func(fn func(i int) error) {
		wg.Go(func() {
			for i := range rounds {
				if err := fn(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var mine []*Frame // of the cutter
	start(func(i int) error {
		c, err := a.Update(func(tx *Tx) error { tx.Append(event(opMix, byte(i%8), 'a')); return nil })
		if err != nil {
			return err
		}
		return c.Wait(store.Handed)
	})
	start(func(i int) error {
		return a.View(func(r Reader) {
			r.Get(registerKey(byte(i % 8)))
			r.Scan([]byte{'r'}, nil, func(_, _ []byte) bool { return true })
		})
	})
	start(func(i int) error {
		f, err := a.Cut(3)
		if f != nil {
			mine = append(mine, f)
		}
		a.Stats()
		return err
	})
	start(func(i int) error { _, err := a.Receive(incoming[len(incoming)-1-i].Raw); return err })
	start(func(i int) error { return a.Commit(Index(i+1), incoming[i].Raw) })
	st := newMemBlocks()
	start(func(i int) error {
		_, err := a.Keep(context.Background(), st, testSealer(), time.Unix(int64(i), 0), noPause)
		if errors.Is(err, ErrUnsettled) {
			err = nil
		}
		kept, e := a.Kept()
		if err = errors.Join(err, e); err == nil && len(kept) > 1 {
			_, err = a.Shorten(kept[0].Index, st, false, noPause)
		}
		return err
	})
	start(func(i int) error {
		return errors.Join(a.Entries(Position{}, func(Entry) bool { return true }), a.EntriesBefore(LastPosition(), func(Entry) bool { return true }))
	})
	wg.Wait()
	for f := a.cut(t); f != nil; f = a.cut(t) {
		mine = append(mine, f)
	}
	for i, f := range mine {
		a.commit(t, Index(rounds+1+i), f)
	}
	a.wantSound(t, st)
	for i, f := range append(incoming, mine...) {
		b.commit(t, Index(i+1), f)
	}
	if got, want := b.dump(), a.dump(); got != want {
		t.Errorf("state\n%s, the other has\n%s", got, want)
	}
}
