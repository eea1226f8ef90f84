package fs

import (
	"testing"
	"time"
)

// relatime: the first read after a change counts, and the first of a day. It is no event, and is there after a restart.
func TestAtime(t *testing.T) {
	r := newRig(t)
	r.fs.SetAtime(Atime{})
	r.put(r.vol, "f", []byte("x"))
	n, err := r.lookup(r.vol, "f")
	r.must(err)
	events := r.volume().log.Stats().UnframedEvents
	read := func(want bool) {
		t.Helper()
		r.clock.forward(time.Minute)
		before := r.attr(n)
		if due := r.fs.AtimeDue(n); due != want {
			t.Errorf("due: %v", due)
		}
		r.fs.Accessed(n, false)
		after := r.attr(n)
		if changed := after.Atime != before.Atime; changed != want || after.Atime < before.Atime {
			t.Errorf("atime %d, before %d, want a change: %v", after.Atime, before.Atime, want)
		}
		if after.Ctime != before.Ctime || after.Mtime != before.Mtime {
			t.Errorf("reading changed %+v to %+v", before, after)
		}
	}
	read(true)
	read(false)
	r.clock.forward(24 * time.Hour)
	read(true)
	read(false)
	mode := uint32(0o600)
	_, err = r.fs.SetAttr(n, Changes{Mode: &mode}, false)
	r.must(err)
	events++
	read(true)
	want := r.attr(n).Atime
	r.fs.Forget(n, 1) // the node waits until its atime is stored
	r.must(r.fs.saveAtimes())
	if got := r.volume().log.Stats().UnframedEvents; got != events {
		t.Errorf("%d events for reading", got-events)
	}
	r.reopen()
	if got := r.stat(r.vol, "f").Atime; got != want {
		t.Errorf("after a restart %d, want %d", got, want)
	}

	r.fs.SetAtime(Atime{Always: true, NeverDir: true})
	n, err = r.lookup(r.vol, "f")
	r.must(err)
	read(true)
	read(true)
	before := r.attr(r.vol).Atime
	r.fs.Accessed(r.vol, true)
	if r.attr(r.vol).Atime != before {
		t.Error("nodiratime")
	}
	r.fs.SetAtime(Atime{Never: true})
	read(false)
}
