package mount

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel was told to keep for an hour is forgotten when we say so.
func TestNotify(t *testing.T) {
	c := serve(t, withEnv("_TTL", "long"))
	tell := func(words ...string) {
		t.Helper()
		if got := c.tell(words...); got != "ok" {
			t.Fatalf("%v: %s", words, got)
		}
	}
	c.wantFile("f", c.put("f", "old"))
	tell("change", "f", "new-and-longer")
	c.wantFile("f", "new-and-longer")
	tell("change", "f", "same-in-length")
	c.wantFile("f", "same-in-length")

	if _, err := os.Stat(c.path("g")); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatalf("g: %v", err)
	}
	tell("rename", "f", "g")
	c.wantFile("g", "same-in-length")
	if _, err := os.Stat(c.path("f")); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatalf("the old name: %v", err)
	}

	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, c.path("g"), unix.IN_DELETE_SELF); err != nil {
		t.Fatal(err)
	}
	tell("delete", "g")
	if _, err := os.Stat(c.path("g")); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatalf("the deleted name: %v", err)
	}
	if n, err := unix.Read(fd, make([]byte, 1000)); n < unix.SizeofInotifyEvent {
		t.Errorf("a watcher of the deleted file saw nothing (%v)", err)
	}
}

// Handlers may notify of the very file and directory whose request they handle: the kernel's locks are then held.
func TestNotifyFromHandlers(t *testing.T) {
	c := serve(t, withEnv("_NOTIFY", "1"), withEnv("_TTL", "long"))
	var all sync.WaitGroup
	for p := range 8 {
		all.Go(func() {
			for i := range 100 {
				name := fmt.Sprintf("f-%d-%d", p, i)
				if err := os.WriteFile(c.path(name), []byte(name), 0o666); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(c.path(name)); err != nil || string(got) != name {
					t.Errorf("%s holds %q, %v", name, got, err)
				}
				if err := os.Remove(c.path(name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := c.tell("unmount"); got != "ok" {
		t.Fatalf("unmount: %s", got)
	}
}

// After the end notifications go nowhere, and nobody waits for them.
func TestNotifyAfterTheEnd(t *testing.T) {
	n := newNotifier(-1, (&Options{}).logger())
	c := &Conn{notes: n, done: make(chan struct{})}
	c.InvalEntry(1, "never sent")
	n.stop()
	n.run()
	c.InvalEntry(1, "never sent")
	if err := c.Notified(context.Background()); err != nil {
		t.Fatal(err)
	}
}
