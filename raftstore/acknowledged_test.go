package raftstore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What the only voter has applied, everybody has. Of a second server nothing is known.
func TestAcknowledged(t *testing.T) {
	d := open(t, vfs.NewMem(), "home")
	defer d.close()
	d.propose("a")
	d.propose("b")
	if got := d.seq.Acknowledged(); got != d.last || got == 0 {
		t.Errorf("acknowledged up to %d, applied %d", got, d.last)
	}
	if err := d.seq.raft.AddNonvoter("other", "other", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	if got := d.seq.Acknowledged(); got != 0 {
		t.Errorf("with a server of which nothing is known, all have acknowledged %d", got)
	}
}
