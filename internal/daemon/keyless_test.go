package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A process that has the membership log and no key lists, checks and forwards every frame of a real store, in their order,
// and walks every block that they name.
func TestWithoutKeys(t *testing.T) {
	d := opened(t, t.TempDir())
	v := volume(t, d, "notes")
	big := bytes.Repeat([]byte("0123456789abcdef"), 40<<10)
	for i := range 30 {
		write(t, d, v, fmt.Sprintf("f%d", i), big[:10<<10*(i%7)+i])
	}
	committed(t, d)
	members, err := identity.FoldMembership([][]byte{d.all()[0].keys.Genesis()})
	if err != nil {
		t.Fatal(err)
	}
	other, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	blocks := 0
	for _, from := range d.all()[0].allLogs() {
		to, err := eventlog.Open(eventlog.Options{Store: other, Volume: from.Volume(), Member: members.Allows})
		if err != nil {
			t.Fatal(err)
		}
		for _, feed := range from.Feeds() {
			err := from.Frames(feed.ID(), 0, func(f *eventlog.Frame) bool {
				if again, err := eventlog.ParseFrame(f.Raw); err != nil || !again.Verify() {
					t.Errorf("frame at %d does not verify: %v", f.First, err)
				}
				if isNew, err := to.Receive(f.Raw); err != nil || !isNew {
					t.Errorf("forward frame at %d: %v, %v", f.First, isNew, err)
				}
				for _, root := range f.Needs {
					err := ipld.WalkClear(d.blocks, root, func(c ipld.CID) error {
						blocks++
						_, err := d.blocks.Get(c) // it is what its CID says
						return err
					})
					if err != nil {
						t.Errorf("walk %v: %v", root, err)
					}
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, want := to.Heads(), from.Heads(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("heads %v, want %v", got, want)
		}
		if err := to.Entries(eventlog.Position{}, func(eventlog.Entry) bool { return true }); !errors.Is(err, eventlog.ErrNoKeys) {
			t.Errorf("read events without keys: %v", err)
		}
	}
	if blocks == 0 {
		t.Error("no block was walked")
	}
}
