package daemon

import (
	"flag"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/fs"
)

// opened is a daemon without a mount: everything below it runs.
func opened(t testing.TB, home string) *daemon {
	t.Helper()
	d := newDaemon(Options{Home: home})
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, d) })
	return d
}

// shut closes d, once.
func shut(t testing.TB, d *daemon) {
	t.Helper()
	if d.st == nil {
		return
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
	d.group, d.blocks, d.st = nil, nil, nil
}

// volume makes an app volume, or finds it.
func volume(t testing.TB, d *daemon, name string) fs.NodeID {
	t.Helper()
	me, err := d.fs.Lookup(fs.Root, firstIdentity)
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.fs.Lookup(me.Node, name)
	if err != nil {
		v, err = d.fs.Mkdir(me.Node, name, 0o755, fs.Cred{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return v.Node
}

// write makes a file as a program does: create, write, close.
func write(t testing.TB, d *daemon, dir fs.NodeID, name string, data []byte) {
	t.Helper()
	e, err := d.fs.Create(dir, name, 0o644, true, fs.Cred{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.fs.Write(e.Node, data, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.fs.Flush(e.Node); err != nil {
		t.Fatal(err)
	}
	d.fs.Release(e.Node, true)
	d.fs.Forget(e.Node, 1)
}

// committed waits until Raft has ordered everything.
func committed(t testing.TB, d *daemon) {
	t.Helper()
	for {
		left := d.fs.Unsealed()
		for _, i := range d.all() {
			for _, l := range i.allLogs() {
				s := l.Stats()
				left += int(s.TentativeEvents + s.UnframedEvents)
			}
		}
		if left == 0 {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%d events are not committed", left)
		case <-time.After(time.Millisecond):
		}
	}
}

var manyEvents = flag.Int("events", 3000, "how many events TestRestart makes")
