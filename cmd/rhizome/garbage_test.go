package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestGarbagePercent(t *testing.T) {
	for _, c := range []struct {
		lives uint64
		want  int
	}{{0, 50}, {64 << 20, 50}, {128 << 20, 50}, {256 << 20, 25}, {1 << 30, 20}} {
		if got := garbagePercent(c.lives); got != c.want {
			t.Errorf("%d MiB live: %d %%, want %d", c.lives>>20, got, c.want)
		}
	}
}

// When much lives, less garbage may stand beside it, and more again when that has gone.
func TestGarbageIsLimited(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	limitGarbage()
	much := make([]byte, 400<<20)
	if p := settled(t, 20); p != 20 {
		t.Errorf("%d %% beside %d MiB", p, len(much)>>20)
	}
	runtime.KeepAlive(much)
	if p := settled(t, 50); p != 50 {
		t.Errorf("%d %% when they have gone", p)
	}
}

// settled collects until the percentage is as wanted, or for a while.
func settled(t *testing.T, want int) (percent int) {
	t.Helper()
	for range 100 {
		runtime.GC()
		now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(now)
		if percent = int(now[0].Value.Uint64()); percent == want {
			break
		}
		runtime.Gosched()
	}
	return percent
}
