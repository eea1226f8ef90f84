package eventlog

import (
	"errors"
	"testing"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

func TestUpdateReadsItsOwnWrites(t *testing.T) {
	r := memReplica(t, newVolume(t, 1), 0, nil)
	_, err := r.Update(func(tx *Tx) error {
		tx.Append(event(opSet, 1, 'x'))
		if v, ok := tx.Get(registerKey(1)); !ok || string(v[4:]) != "x" {
			t.Errorf("state after Append: %q", v)
		}
		tx.SetLocal([]byte("k"), []byte("v"))
		if v, _ := tx.GetLocal([]byte("k")); string(v) != "v" {
			t.Errorf("local after SetLocal: %q", v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.View(func(s Reader) {
		if v, ok := s.Get(registerKey(1)); !ok || string(v[4:]) != "x" {
			t.Errorf("state: %q", v)
		}
	})
	r.Local(func(s Reader) {
		if v, _ := s.Get([]byte("k")); string(v) != "v" {
			t.Errorf("local: %q", v)
		}
	})
}

func TestFailedUpdateChangesNothing(t *testing.T) {
	r := memReplica(t, newVolume(t, 1), 0, nil)
	r.append(t, event(opSet, 1, 'a'))
	before := r.dump()
	boom := errors.New("boom")
	_, err := r.Update(func(tx *Tx) error {
		tx.Append(event(opSet, 1, 'b'))
		tx.AppendHeld(event(opSet, 2, 'b'))
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if got := r.dump(); got != before {
		t.Errorf("state is %s", got)
	}
	if s := r.Stats(); s.UnframedEvents != 1 || s.HeldEvents != 0 {
		t.Errorf("%+v", s)
	}
}

func TestHeldEventStopsTheCutUntilAmended(t *testing.T) {
	r := memReplica(t, newVolume(t, 1), 0, nil)
	r.append(t, event(opSet, 1, 'a'))
	var held LocalSeq
	if _, err := r.Update(func(tx *Tx) error { held = tx.AppendHeld(event(opFirst, 2, 'p')); return nil }); err != nil {
		t.Fatal(err)
	}
	r.append(t, event(opSet, 3, 'c'))
	if f := r.cut(t); f == nil || f.Count != 1 {
		t.Fatalf("first cut: %+v", f)
	}
	if f := r.cut(t); f != nil {
		t.Fatalf("cut past a held event: %+v", f.Header)
	}
	r = r.reopen(t)
	hs, err := r.Held()
	if err != nil || len(hs) != 1 || hs[0].Seq != held {
		t.Fatalf("held after restart: %v %v", hs, err)
	}
	_, err = r.Update(func(tx *Tx) error {
		return tx.Amend(held, event(opFirst, 2, 'q').Body, func(s State) { s.Set(registerKey(2), []byte("q")) })
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Update(func(tx *Tx) error { return tx.Amend(held, nil, nil) })
	if !errors.Is(err, ErrNotHeld) {
		t.Fatalf("amended twice: %v", err)
	}
	if f := r.cut(t); f == nil || f.Count != 2 || f.First != 2 {
		t.Fatalf("cut after Amend: %+v", f)
	}
	if got, want := r.dump(), r.folded(t); got != want {
		t.Errorf("state\n%s, folded\n%s", got, want)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	a.append(t, event(opSet, 1, 'a'))
	fa := a.cut(t)
	b.append(t, event(opMix, 1, 'b'), event(opSet, 2, 'b'))
	fb := b.cut(t)
	a.append(t, event(opMix, 1, 'c'))
	a.receive(t, fb)
	a.commit(t, 5, fb)
	a.append(t, event(opMix, 1, 'd'))
	before, stats := a.dump(), a.Stats()
	index, hash := a.Committed()
	a = a.reopen(t)
	if got := a.dump(); got != before {
		t.Errorf("state after restart\n%s, before\n%s", got, before)
	}
	if got := a.Stats(); got != stats {
		t.Errorf("%+v, before %+v", got, stats)
	}
	if i, h := a.Committed(); i != index || h != hash {
		t.Errorf("committed %d %x", i, h)
	}
	a.commit(t, 6, fa)
	if got, want := a.dump(), a.folded(t); got != want {
		t.Errorf("state\n%s, folded\n%s", got, want)
	}
}

func TestHolderWithoutKeys(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	holder := memReplica(t, v, 1, holdOnly)
	var frames []*Frame
	for i := range byte(5) {
		a.append(t, event(opMix, 1, i))
		f := a.cut(t)
		b.receive(t, f)
		b.append(t, event(opMix, 1, i, i))
		frames = append(frames, f, b.cut(t))
		a.receive(t, frames[len(frames)-1])
	}
	holder.receive(t, frames...)
	holder.commit(t, 1, frames[:4]...)
	holder = holder.reopen(t)
	if s := holder.Stats(); s.CommittedFrames != 4 || s.TentativeFrames != 6 {
		t.Errorf("%+v", s)
	}
	if _, err := holder.Update(func(*Tx) error { return nil }); !errors.Is(err, ErrNoKeys) {
		t.Errorf("update: %v", err)
	}
	if _, err := holder.Cut(1); !errors.Is(err, ErrNoKeys) {
		t.Errorf("cut: %v", err)
	}
	c := memReplica(t, v, 0, nil)
	forwarded := 0
	for _, feed := range holder.Feeds() {
		err := holder.Frames(feed.ID(), 0, func(f *Frame) bool {
			if !f.Verify() {
				t.Errorf("frame %x does not verify", f.Hash)
			}
			c.receive(t, f)
			forwarded++
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if forwarded != len(frames) {
		t.Errorf("%d frames of %d", forwarded, len(frames))
	}
	if got, want := c.dump(), a.dump(); got != want {
		t.Errorf("state from the holder's frames\n%s, want\n%s", got, want)
	}
}

func TestRefusedFrames(t *testing.T) {
	v := newVolume(t, 3)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	a.append(t, event(opSet, 1, 'a'))
	f := a.cut(t)
	for i := range f.Raw {
		raw := append([]byte(nil), f.Raw...)
		raw[i] ^= 1
		if isNew, err := b.Receive(raw); err == nil || isNew {
			t.Fatalf("a frame with byte %d flipped was taken", i)
		}
	}
	b.member = func(d identity.DeviceID) bool { return d != f.Device }
	if _, err := b.Receive(f.Raw); !errors.Is(err, ErrRefused) {
		t.Errorf("a frame of no member: %v", err)
	}
	if got := b.dump(); got != "" {
		t.Errorf("state is %s", got)
	}
	if err := b.Commit(1, f.Raw); err != nil {
		t.Errorf("the order must go on past a frame that is refused: %v", err)
	}
	if i, _ := b.Committed(); i != 1 || b.Stats().CommittedFrames != 0 {
		t.Errorf("committed %d, %+v", i, b.Stats())
	}
}

func TestUpdateIsOnDiskAfterWait(t *testing.T) {
	r := memReplica(t, newVolume(t, 1), 0, nil)
	c, err := r.Update(func(tx *Tx) error { tx.Append(event(opSet, 1)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(store.OnDisk); err != nil {
		t.Fatal(err)
	}
	if c, err = r.Update(func(*Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(store.OnDisk); err != nil {
		t.Errorf("an update that did nothing: %v", err)
	}
}

// A walk of the device-local keys sees at each read what was changed before it.
func TestLocalIsCurrent(t *testing.T) {
	r := memReplica(t, newVolume(t, 1), 0, nil)
	err := r.Local(func(s Reader) {
		if _, err := r.Update(func(tx *Tx) error {
			tx.SetLocal([]byte("k"), []byte("v"))
			return nil
		}); err != nil {
			t.Error(err)
		}
		if v, _ := s.Get([]byte("k")); string(v) != "v" {
			t.Errorf("the key is %q, as it was before a change that was acknowledged", v)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
