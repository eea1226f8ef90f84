package daemon

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// When the disk is nearly full, history goes, the oldest first, until there is room; what is shown stays, and status says so.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	d := opened(t, t.TempDir())
	v := volume(t, d, "notes")
	random := rand.New(rand.NewPCG(1, 1))
	noise := func() []byte {
		b := make([]byte, 2<<20)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	var last []byte
	var made []time.Time // when each version was there
	for range 3 {
		last = noise()
		if err := d.fs.Unlink(v, "a"); len(made) > 0 && err != nil {
			t.Fatal(err)
		}
		write(t, d, v, "a", last)
		committed(t, d)
		made = append(made, time.Now())
		time.Sleep(20 * time.Millisecond) // the clock that versions are told by moves on
	}
	size := func() int64 {
		t.Helper()
		n, err := storeSize(d.st.Path(segmentsDir))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	full := size()
	// Steps that leave all, then the last two, then nothing of history.
	now := time.Now()
	d.tidier.now = func() time.Time { return now } // however long what follows takes
	d.tidier.left = []time.Duration{time.Hour, now.Sub(made[1]), 0}
	asked := 0
	d.tidier.space = func() store.Space {
		asked++
		return store.Space{Total: 1 << 40, Free: 1 << 30, Low: size() > full-1<<20}
	}
	d.tidier.makeRoom(t.Context())
	if got := size(); got > full-1<<20 || got < full-3<<20 {
		t.Errorf("the segments had %d bytes and have %d: more or less went than the oldest file", full, got)
	}
	if d.tidier.gaveUp().IsZero() {
		t.Error("nobody is told")
	}
	found := d.health(store.Space{Total: 1 << 40, Free: 1 << 30, Low: true})
	if len(found) != 1 || !strings.Contains(found[0].What, "was given up") || found[0].Grade != control.Warn {
		t.Errorf("status finds %+v", found)
	}
	e, err := d.fs.Lookup(v, "a")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(last)+1)
	if err := d.fs.Open(e.Node, false, false); err != nil {
		t.Fatal(err)
	}
	if n, err := d.fs.Read(e.Node, got, 0); err != nil || !bytes.Equal(got[:n], last) {
		t.Errorf("what is shown has changed: %d bytes, %v", n, err)
	}
	d.fs.Release(e.Node, false)
	d.fs.Forget(e.Node, 1)
}
