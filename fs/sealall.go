package fs

import (
	"context"
	"errors"
	"time"
)

// sealLook is how often SealAll looks whether sealing has come to its end.
const sealLook = 10 * time.Millisecond

// EndEdits ends the edits that go on, as a quiet second would.
func (f *FS) EndEdits() error {
	var failed error
	for _, n := range f.table.edits() {
		if err := f.endEdit(n, false); err != nil && !errors.Is(err, ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// SealAll ends the edits that go on, as EndEdits does, and returns when the bytes of all that was closed before are in the
// block store, and their events may leave. Run must be at work. What can't be sealed (see letGo) is not waited for: Damaged
// lists it. It returns ctx's error, or what keeps an edit from ending.
func (f *FS) SealAll(ctx context.Context) error {
	if err := f.EndEdits(); err != nil {
		return err
	}
	var waits []*pending
	for _, v := range f.allVolumes() {
		v.mu.Lock()
		for _, p := range v.pending {
			if !p.rec.Local {
				waits = append(waits, p)
			}
		}
		v.mu.Unlock()
	}
	tick := time.NewTicker(sealLook)
	defer tick.Stop()
	for {
		for len(waits) > 0 && !waits[0].holdsBack() {
			waits = waits[1:]
		}
		if len(waits) == 0 {
			return nil
		}
		f.seal.hurry()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// holdsBack reports whether p's event may not leave yet: what is sealed is no longer pending, and what went without its bytes is not
// waited for.
func (p *pending) holdsBack() bool {
	p.vol.mu.Lock()
	defer p.vol.mu.Unlock()
	_, waits := p.vol.pending[p.id]
	return waits && !p.kept.Load() && !p.rec.Kept
}

// hurry has what waits sealed at once.
func (q *sealQueue) hurry() {
	select {
	case q.full <- struct{}{}:
	default:
	}
}
