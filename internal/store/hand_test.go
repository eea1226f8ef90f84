package store

import (
	"errors"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// hand hands the n-th batch, and does not settle it.
func hand(t *testing.T, s *Store, n int) Commit {
	t.Helper()
	c, err := s.Hand(entry(t, s, n, 0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What was handed is not in the database at once, and is as soon as somebody asks for it.
func TestHand(t *testing.T) {
	s := mustOpen(t, "home", vfs.NewCrashableMem())
	hand(t, s, 1)
	if _, _, err := s.db.Get(key(1)); err == nil {
		t.Fatal("the batch was applied at once")
	}
	if _, closer, err := s.DB().Get(key(1)); err != nil {
		t.Fatal("what was handed is not seen:", err)
	} else {
		closer.Close()
	}
	hand(t, s, 2)
	put(t, s, 3, Applied, 0)
	if n := history(t, s); n != 3 {
		t.Fatalf("%d batches are there, want 3", n)
	}
	mustClose(t, s)
}

// What was handed and never applied survives a crash as any commit does, as does what a close finds unsettled.
func TestHandedSurvives(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "home", fs)
	hand(t, s, 1)
	if err := hand(t, s, 2).Wait(OnDisk); err != nil {
		t.Fatal(err)
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	hand(t, s, 3)
	mustClose(t, s)
	for want, disk := range map[int]*vfs.MemFS{2: after, 3: fs} {
		s := mustOpen(t, "home", disk)
		if n := history(t, s); n != want {
			t.Errorf("%d batches are there, want %d", n, want)
		}
		mustClose(t, s)
	}
}

// A log that had to be mended has everything that was handed before.
func TestMendWithHanded(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "home", fs)
	put(t, s, 1, OnDisk, 0)
	hand(t, s, 2)
	s.syncMu.Lock()
	err := s.mendHeld(s.cur, errors.New("the disk failed"))
	s.syncMu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	after := mustOpen(t, "home", fs.CrashClone(vfs.CrashCloneCfg{}))
	if n := history(t, after); n != 2 {
		t.Errorf("%d batches are there, want 2", n)
	}
	mustClose(t, after)
	mustClose(t, s)
}

// handLarge hands a batch that waits for another segment, which is not made before s.wal.mu is free.
func handLarge(t *testing.T, s *Store, n int) <-chan error {
	s.wal.mu.Lock()
	done := make(chan error, 1)
	b := entry(t, s, n, smallSegment)
	go func() {
		_, err := s.Hand(b)
		done <- err
	}()
	for waits := false; !waits; runtime.Gosched() {
		s.mu.Lock()
		waits = s.starved
		s.mu.Unlock()
	}
	return done
}

// What is handed while another batch waits for room in the log is applied, too.
func TestHandWhileAnotherWaitsForRoom(t *testing.T) {
	s := mustOpen(t, "home", vfs.NewCrashableMem())
	hand(t, s, 1)
	large := handLarge(t, s, 3)
	hand(t, s, 2)
	s.wal.mu.Unlock()
	if err := <-large; err != nil {
		t.Fatal(err)
	}
	if n := history(t, s); n != 3 {
		t.Errorf("%d batches are there, want 3", n)
	}
	mustClose(t, s)
}

// Nobody waits for room in a log that is being closed: closing may wait for them.
func TestCloseWhileSomebodyWaitsForRoom(t *testing.T) {
	s := mustOpen(t, "home", vfs.NewCrashableMem())
	hand(t, s, 1)
	large := handLarge(t, s, 2)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	if err := <-large; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	s.wal.mu.Unlock()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
