package fs

import (
	"context"
	"sync"
	"time"
)

// sealQueue is what waits for being sealed, oldest first.
type sealQueue struct {
	mu    sync.Mutex
	list  []*pending
	bytes int64 // in list
	busy  bool
	wake  chan struct{} // there is something
	full  chan struct{} // there is a batch's worth
	wrong error         // why the last batch was not sealed
}

func (q *sealQueue) put(p *pending) {
	q.mu.Lock()
	q.list = append(q.list, p)
	q.bytes += p.rec.Size
	full := q.bytes >= sealBatchBytes
	q.mu.Unlock()
	if full {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

const (
	// What is closed after a while of silence is sealed at once. Else it is gathered: each batch costs a sync, and while
	// many files are written, whoever writes them needs the processor more: a crowd is waited for till it has passed, for a while.
	sealIdle   = 100 * time.Millisecond
	sealGather = 200 * time.Millisecond
	sealLong   = time.Second
	sealCrowd  = 32 // so many in sealIdle

	sealBatch      = 2048
	sealBatchBytes = 16 << 20
)

// wait returns when there is something to seal: false if ctx is done before.
func (q *sealQueue) wait(ctx context.Context) bool {
	for q.len() == 0 {
		select {
		case <-ctx.Done():
			return false
		case <-q.wake:
		}
	}
	return true
}

// gather waits for that long, and on while many come, or until there is a batch's worth.
func (q *sealQueue) gather(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for end, before := time.Now().Add(sealLong), q.len(); !q.isFull(); before = q.len() {
		select {
		case <-ctx.Done():
			return
		case <-q.full:
			return
		case <-t.C:
		}
		if q.len()-before < sealCrowd || time.Now().After(end) {
			return
		}
		t.Reset(sealIdle)
	}
}

func (q *sealQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

func (q *sealQueue) isFull() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes >= sealBatchBytes
}

// take returns the next few that one sync of the segments can serve.
func (q *sealQueue) take() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, int64(0)
	for n < len(q.list) && n < sealBatch && (n == 0 || bytes+q.list[n].rec.Size <= sealBatchBytes) {
		bytes += q.list[n].rec.Size
		n++
	}
	batch := q.list[:n:n]
	q.list = q.list[n:]
	q.bytes -= bytes
	q.busy = n > 0
	return batch
}

// sealed says that the batch that was taken is done with, or why it is not.
func (q *sealQueue) sealed(err error) {
	q.mu.Lock()
	q.busy, q.wrong = false, err
	q.mu.Unlock()
}

// trouble returns why the last batch could not be sealed.
func (q *sealQueue) trouble() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wrong
}

// back returns what could not be sealed to the head of the queue.
func (q *sealQueue) back(batch []*pending) {
	q.mu.Lock()
	q.list = append(batch, q.list...)
	for _, p := range batch {
		q.bytes += p.rec.Size
	}
	q.mu.Unlock()
}

// Unsealed counts the closed versions whose bytes are not in the block store yet.
func (f *FS) Unsealed() int {
	f.seal.mu.Lock()
	defer f.seal.mu.Unlock()
	n := len(f.seal.list)
	if f.seal.busy {
		n++
	}
	return n
}
