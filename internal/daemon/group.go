package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A group runs what a daemon does in the background, and tells of the first failure.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	broken chan struct{} // closed at the first failure

	mu  sync.Mutex
	err error
}

func newGroup(ctx context.Context) *group {
	g := &group{broken: make(chan struct{})}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// start runs fn until the group's context is done or fn fails.
func (g *group) start(name string, fn func(ctx context.Context) error) {
	g.wg.Go(func() {
		err := fn(g.ctx)
		if err == nil || errors.Is(err, context.Canceled) {
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.err == nil {
			g.err = fmt.Errorf("%s: %w", name, err)
			close(g.broken)
		}
	})
}

// failed is closed when something has failed.
func (g *group) failed() <-chan struct{} { return g.broken }

// end tells all to end, waits for them, and returns the first failure.
func (g *group) end() error {
	g.cancel()
	g.wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
