package daemon

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// While a daemon serves a store, verify finds a flipped bit also in the files that are being written.
func TestVerifyNamesWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), "store")
	d := opened(t, home)
	notes := volume(t, d, "notes")
	write(t, d, notes, "closed", make([]byte, 5000))
	openEdit(t, d, notes, "open", 400_000)
	look := func() *report.Report {
		t.Helper()
		r := report.New(t.Context(), nil)
		if err := d.st.VerifyOpen(r); err != nil {
			t.Fatal(err)
		}
		if err := d.fs.VerifyUnsealed(r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := look()
	if found, _ := r.Findings(); len(found) > 0 {
		t.Fatalf("nothing is damaged: %+v", found)
	}
	for kind, pattern := range map[report.Kind]string{report.WAL: "wal/*.wal", report.Manifest: "db/MANIFEST-*", report.Spill: "spill/*.spill"} {
		if r.Counts()[kind] == 0 {
			t.Errorf("nothing of kind %s was checked", kind)
		}
		path, size := theFile(t, home, pattern)
		at := min(60, size/2)
		flipBit(t, path, at, 3)
		found, _ := look().Findings()
		flipBit(t, path, at, 3)
		if !slices.ContainsFunc(damaged(found), func(f report.Finding) bool { return f.Kind == kind }) {
			t.Errorf("a bit of %s is flipped, and what is found is %+v", path, found)
		}
	}
	if found, _ := look().Findings(); len(found) > 0 {
		t.Errorf("nothing is damaged any more: %+v", found)
	}
}
