package fs

import (
	"context"
	"errors"
	"testing"
)

// After SealAll nothing holds an event back: neither what was closed nor what is still open.
func TestSealAll(t *testing.T) {
	r := newRig(t)
	big := pattern(3<<20, 1)
	r.put(r.vol, "closed", big)
	open := r.create(r.vol, "open")
	r.write(open, 0, pattern(400_000, 2))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.fs.Run(ctx) }()
	r.must(r.fs.SealAll(ctx))
	held, err := r.volume().log.Held()
	if err != nil || len(held) > 0 {
		t.Errorf("%d events are held: %v", len(held), err)
	}
	if n := len(r.fs.table.edits()); n > 0 {
		t.Errorf("%d edits go on", n)
	}
	r.write(open, 400_000, []byte("and more"))
	r.done(open)
	stop()
	r.must(<-done)

	// With nobody who seals it ends with its context, not before.
	r.put(r.vol, "later", big[1:])
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.fs.SealAll(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing was sealed: %v", err)
	}
	r.seal()
	r.expect(r.vol, "closed", big)
	r.expect(r.vol, "open", append(pattern(400_000, 2), "and more"...))
	r.settled()
}
