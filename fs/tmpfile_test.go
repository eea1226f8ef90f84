package fs

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A file without a name makes no event and is gone after a crash, fsync or not. Linked and fsynced it survives one, whole.
func TestTmpfile(t *testing.T) {
	for _, size := range []int{0, 100, 100_000, 700_000} {
		disk := vfs.NewCrashableMem()
		r := rigOn(t, disk)
		after := func() *rig {
			c := &rig{tb: r.tb, disk: disk.CrashClone(vfs.CrashCloneCfg{}), keys: r.keys, clock: r.clock, boot: "another"}
			c.open()
			return c
		}
		r.must(r.st.Sync())
		events := r.volume().log.Stats().UnframedEvents
		want := bytes.Repeat([]byte("tmp "), size/4)

		e, err := r.fs.Tmpfile(r.vol, 0o4640, false, me)
		r.must(err)
		r.write(e.Node, 0, want)
		r.must(r.fs.SetXattr(e.Node, "user.a", []byte("b"), 0))
		r.must(r.fs.Flush(e.Node))
		r.quiet(quietAfter)
		r.must(r.fs.Fsync(e.Node))
		if got := r.volume().log.Stats().UnframedEvents; got != events {
			t.Errorf("%d bytes: %d events for a file without a name", size, got-events)
		}
		r.same("before it has a name", r.bytesOf(e.Node), want)
		crashed := after()
		if names := crashed.names(crashed.vol); len(names) > 0 {
			t.Errorf("%d bytes: after a crash there is %q", size, names)
		}
		crashed.close()

		l, err := r.fs.Link(e.Node, r.vol, "named")
		r.must(err)
		if l.Node != e.Node || l.Attr.Nlink != 1 || l.Attr.Mode != ModeRegular|0o4640 {
			t.Errorf("%d bytes: linked: %+v", size, l)
		}
		r.must(r.fs.Fsync(r.vol))
		crashed = after()
		crashed.expect(crashed.vol, "named", want)
		if a := crashed.stat(crashed.vol, "named"); a.Mode != ModeRegular|0o4640 {
			t.Errorf("%d bytes: after a crash %+v", size, a)
		}
		crashed.close()

		_, err = r.fs.Link(e.Node, r.vol, "named")
		r.wants(err, ErrExist)
		r.fs.Release(e.Node, true)
		r.fs.Forget(e.Node, 2)
		r.expect(r.vol, "named", want)
		r.seal()
		r.commit()
		r.reopen()
		r.expect(r.vol, "named", want)
		r.check()
		r.close()
	}
}

func TestTmpfileWithoutALink(t *testing.T) {
	r := newRig(t)
	e, err := r.fs.Tmpfile(r.vol, 0o600, true, me)
	r.must(err)
	_, err = r.fs.Link(e.Node, r.vol, "x")
	r.wants(err, ErrNotExist)
	r.write(e.Node, 0, make([]byte, 400_000))
	r.fs.Release(e.Node, true)
	r.fs.Forget(e.Node, 1)
	if _, err := r.fs.GetAttr(e.Node); err == nil {
		t.Error("it is still known")
	}
}
