package fs

import (
	"context"
	"testing"
	"time"
)

// Sealing rests while programs call, at once goes on when they don't, and rests no longer in all than it may.
func TestMannersRest(t *testing.T) {
	r := newRig(t)
	m := r.fs.newManners(context.Background())
	work := func() time.Duration {
		m.since = time.Now().Add(-time.Second) // it has worked for so long
		left := m.left
		m.rest()
		return left - m.left
	}
	if d := work(); d != 0 {
		t.Errorf("it rested %v though nobody called", d)
	}
	r.fs.Settle()
	if d := work(); d != maxRest {
		t.Errorf("it rested %v while a program called, want %v", d, maxRest)
	}
	if d := work(); d != 0 {
		t.Errorf("it rested %v again, and nobody had called since", d)
	}
	m.left = time.Millisecond
	r.fs.Settle()
	if d := work(); d != time.Millisecond {
		t.Errorf("it rested %v, and was to rest no more than a millisecond", d)
	}
	r.fs.Settle()
	if d := work(); d != 0 {
		t.Errorf("it rested %v more than it may", d)
	}
}
