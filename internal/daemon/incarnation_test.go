package daemon

import (
	"os"
	"testing"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
)

// A store that was copied and meets what the other copy did goes on in a new incarnation, in all of its volumes, and stays
// in it over restarts; its order goes on too.
func TestNewIncarnationLasts(t *testing.T) {
	home, other := t.TempDir(), t.TempDir()
	d := opened(t, home)
	notes := volume(t, d, "notes")
	write(t, d, notes, "before", []byte("before"))
	write(t, d, volume(t, d, "mail"), "before", []byte("before"))
	committed(t, d)
	shut(t, d)
	if err := os.CopyFS(other, os.DirFS(home)); err != nil {
		t.Fatal(err)
	}

	d = opened(t, home)
	write(t, d, volume(t, d, "notes"), "here", []byte("here"))
	committed(t, d)
	id := d.all()[0]
	notesID := id.keys.VolumeID("notes", 1)
	frames := lastFrames(t, id, notesID)
	shut(t, d)

	d = opened(t, other)
	notes = volume(t, d, "notes")
	was := incarnationOf(t, d)
	write(t, d, notes, "there", []byte("there"))
	committed(t, d)
	l, _ := d.all()[0].log(notesID)
	if _, err := l.ReceiveAll(frames); err != nil || !l.Forked() {
		t.Fatalf("%v; forked %v", err, l.Forked())
	}
	write(t, d, notes, "behind", []byte("behind"))
	committed(t, d)
	now := incarnationOf(t, d)
	if now == was {
		t.Fatal("the keyring on the disk has the old incarnation")
	}
	for _, again := range []string{"once", "twice"} {
		shut(t, d)
		d = opened(t, other)
		write(t, d, volume(t, d, "notes"), again, []byte(again))
		write(t, d, volume(t, d, "mail"), again, []byte(again))
		committed(t, d)
		if got := incarnationOf(t, d); got != now {
			t.Errorf("incarnation %x after a restart, was %x", got, now)
		}
		checkNewest(t, d, now)
	}
	for _, name := range []string{"before", "here", "there", "behind", "once", "twice"} {
		if _, err := d.fs.Lookup(volume(t, d, "notes"), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// lastFrames are the frames of a volume that the copy lacks.
func lastFrames(t *testing.T, id *ident, v identity.VolumeID) (raws [][]byte) {
	t.Helper()
	if _, err := id.openVolume(v); err != nil {
		t.Fatal(err)
	}
	l, _ := id.log(v)
	feed := id.feed(v).ID()
	for _, h := range l.Heads() {
		err := l.Frames(feed, h.Last, func(f *eventlog.Frame) bool {
			raws = append(raws, f.Raw)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(raws) == 0 {
		t.Fatal("no frames")
	}
	return raws
}

// incarnationOf reads the keyring's file.
func incarnationOf(t *testing.T, d *daemon) uint64 {
	t.Helper()
	rings, err := identity.LoadKeyrings(d.st.FS(), d.st.Path(keyringDir))
	if err != nil {
		t.Fatal(err)
	}
	return rings[0].Incarnation()
}

// checkNewest looks for the volumes' newest frames: they are of this incarnation.
func checkNewest(t *testing.T, d *daemon, incarnation uint64) {
	t.Helper()
	id := d.all()[0]
	for _, name := range []string{"notes", "mail"} {
		l, ok := id.log(id.keys.VolumeID(name, 1))
		if !ok {
			t.Fatalf("%s is not open", name)
		}
		var newest eventlog.Head
		for _, h := range l.Heads() {
			if h.Depth > newest.Depth {
				newest = h
			}
		}
		if newest.Feed.Incarnation != incarnation {
			t.Errorf("%s goes on in incarnation %x", name, newest.Feed.Incarnation)
		}
	}
}
