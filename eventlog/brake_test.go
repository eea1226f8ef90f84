package eventlog

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"sync/atomic"
	"testing"
)

// slowChase applies slowly, but for the program that writes: nobody could catch up with it if it were not held up.
type slowChase struct {
	register
	writing *atomic.Bool
}

func (s slowChase) Apply(st State, a Author, e Event) {
	if !s.writing.Load() {
		sum := sha256.Sum256(e.Body)
		for range 500 {
			sum = sha256.Sum256(sum[:])
		}
	}
	s.register.Apply(st, a, e)
}

// behind keeps what a rebase says of itself: how many events it caught up with under the lock.
type behind struct {
	slog.Handler
	most *atomic.Uint64
}

func (behind) Enabled(context.Context, slog.Level) bool { return true }

func (h behind) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "behind" {
			h.most.Store(max(h.most.Load(), a.Value.Uint64()))
		}
		return true
	})
	return nil
}

// However fast a program writes, a rebase catches up with it, and has few of its events left for the lock.
func TestRebaseCatchesUpWithAFastWriter(t *testing.T) {
	var writing atomic.Bool
	var most atomic.Uint64
	v := newVolume(t, 2)
	mine := memReplica(t, v, 0, func(o *Options) {
		o.Reducer, o.Logger = slowChase{writing: &writing}, slog.New(behind{slog.DiscardHandler, &most})
	})
	other := memReplica(t, v, 1, nil)
	var order [][]byte
	for range 100 {
		mine.append(t, event(opMix, 7, 1))
		other.append(t, event(opMix, 7, 2))
		order = append(order, other.cut(t).Raw)
	}
	done := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		<-begun
		done <- mine.Commit(1, order...)
	}()
	for n := 0; ; n++ {
		writing.Store(true)
		mine.append(t, event(opMix, 7, 3))
		writing.Store(false)
		if n == 0 {
			close(begun)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if got, want := mine.dump(), mine.folded(t); got != want {
				t.Errorf("state\n%s\nwant\n%s", got, want)
			}
			if most.Load() > fewEvents {
				t.Errorf("%d events were left for the lock", most.Load())
			}
			t.Logf("%d events were written meanwhile, %d left for the lock", n, most.Load())
			return
		default:
		}
	}
}
