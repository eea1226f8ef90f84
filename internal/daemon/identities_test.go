package daemon

import (
	"testing"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/internal/control"
)

// A keyring that was saved and never brought to work keeps its name, and at the next start no identity hides another.
func TestIdentitiesHaveNamesOfTheirOwn(t *testing.T) {
	home := t.TempDir()
	d := opened(t, home)
	write(t, d, volume(t, d, "notes"), "a", []byte("a"))
	if _, err := d.newKeyring("work"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]control.Code{"me": control.InUse, "work": control.InUse, "a/b": control.Usage} {
		if got := control.CodeOf(d.freeName(name)); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if err := d.freeName("other"); err != nil {
		t.Error(err)
	}
	if _, err := d.newKeyring("me"); err != nil { // what an earlier version let happen
		t.Fatal(err)
	}
	shut(t, d)
	for range 2 { // the new name is kept
		d = opened(t, home)
		for _, name := range []string{"me", "me 2", "work"} {
			if _, err := d.fs.Lookup(fs.Root, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		shut(t, d)
	}
}
