package eventlog

import (
	"sync"
	"sync/atomic"
	"time"
)

// A brake slows those down who append while a rebase catches up with them: none begins sooner than a while after the one
// before. It is the only thing here that looks at a clock, and decides nothing but when. The zero brake is off.
type brake struct {
	pause atomic.Int64 // ns
	mu    sync.Mutex   // held by the one that waits
}

// mostPause is how long one is held up at most, beside those before it.
const mostPause = 5 * time.Millisecond

func (b *brake) on(pause time.Duration) { b.pause.Store(int64(min(pause, mostPause))) }
func (b *brake) off()                   { b.pause.Store(0) }

// wait returns when the caller may append.
func (b *brake) wait() {
	if b.pause.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	time.Sleep(time.Duration(b.pause.Load()))
}
