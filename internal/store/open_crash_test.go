package store

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crashAt opens fs's home and cuts the power before the n-th change to the file system. It returns the
// disk that is left, or nil if there were fewer changes.
func crashAt(t *testing.T, fs *vfs.MemFS, n int64) *vfs.MemFS {
	t.Helper()
	var left atomic.Pointer[vfs.MemFS]
	var changes atomic.Int64
	s := mustOpen(t, "home", errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && changes.Add(1) == n {
			left.Store(fs.CrashClone(vfs.CrashCloneCfg{}))
		}
		return nil
	})))
	mustClose(t, s)
	return left.Load()
}

// A start may be interrupted anywhere, the very first one too, and the next one goes on.
func TestCrashWhileOpening(t *testing.T) {
	for n := int64(1); ; n++ {
		left := crashAt(t, vfs.NewCrashableMem(), n)
		if left == nil {
			if n < 10 {
				t.Fatal("hardly anything was interrupted")
			}
			break
		}
		s := mustOpen(t, "home", left)
		put(t, s, 1, OnDisk, 10)
		mustClose(t, s)
	}
	// A store that was cut off in the middle of writing.
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "home", fs)
	for n := range 20 {
		put(t, s, n+1, OnDisk, smallSegment/5)
	}
	torn := fs.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s)
	for n := int64(1); ; n++ {
		left := crashAt(t, torn.CrashClone(vfs.CrashCloneCfg{}), n)
		if left == nil {
			break
		}
		s := mustOpen(t, "home", left)
		if got := history(t, s); got != 20 {
			t.Fatalf("change %d: %d of 20 batches survived", n, got)
		}
		mustClose(t, s)
	}
}

// Batches beyond the size of a table in memory, and of a segment.
func TestLargeBatches(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "home", fs)
	for n := 1; n <= 4; n++ {
		put(t, s, n, Handed, 12<<20*(n%2)+1)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	clone := fs.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s)
	for range 2 {
		s = mustOpen(t, "home", clone)
		if n := history(t, s); n != 4 {
			t.Fatal(n)
		}
		val, closer, err := s.DB().Get(key(3))
		if err != nil || len(val) != 12<<20+9 {
			t.Fatal(len(val), err)
		}
		closer.Close()
		mustClose(t, s)
	}
}

// What nobody asks for reaches the disk by itself, its files first.
func TestFlushEvery(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, err := Open("home", Options{FS: fs, FlushEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 100)
	s.OnFlush(func() error {
		if s.synced.Load() != 0 {
			flushed <- fmt.Errorf("the log was synced first")
		}
		flushed <- nil
		return nil
	})
	put(t, s, 1, Applied, 10)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	s.keeper.stop() // after it, that flush is over
	if s.synced.Load() != 1 {
		t.Fatal("not synced")
	}
	if err := s.release(false); err != nil {
		t.Fatal(err)
	}
}

// A file that can't be made durable keeps nothing else from the disk.
func TestFlushEveryWithAFileThatFails(t *testing.T) {
	s, err := Open("home", Options{FS: vfs.NewCrashableMem(), FlushEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	flushed := make(chan bool, 100)
	s.OnFlush(func() error {
		flushed <- true
		return errors.New("the file fails")
	})
	put(t, s, 1, Applied, 10)
	<-flushed
	s.keeper.stop()
	if s.synced.Load() != 1 || s.trouble.of(partPeriodic) == nil {
		t.Fatal("synced:", s.synced.Load(), "trouble:", s.Health())
	}
	if err := s.release(false); err != nil {
		t.Fatal(err)
	}
}
