package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Verify opens what snapshots reach, and says which one is damaged.
func TestVerifySnapshot(t *testing.T) {
	home := t.TempDir()
	d := opened(t, home)
	v := volume(t, d, "v")
	for i := range 20 {
		write(t, d, v, fmt.Sprint(i), make([]byte, 1000*i))
	}
	committed(t, d)
	vol, _, _, _, _ := d.fs.Where([]string{firstIdentity, "v"})
	s, err := d.fs.CreateSnapshot(context.Background(), vol, "here", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.fs.CreateSnapshot(context.Background(), vol, s.Name, 0, nil); err == nil {
		t.Error("made twice")
	}
	shut(t, d)
	if rep := verified(t, VerifyOptions{Home: home}); len(rep.Findings) > 0 {
		t.Fatalf("nothing is damaged: %+v", rep.Findings)
	}
	segments, err := filepath.Glob(filepath.Join(home, "segments", "*.car"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no segment: %v", err)
	}
	flipped := false
	for _, name := range segments {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, s.Root.CID[:])
		if at < 0 {
			continue
		}
		b[at+len(s.Root.CID)+20] ^= 4 // in the snapshot's root
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		flipped = true
	}
	if !flipped {
		t.Fatal("the root is in no segment")
	}
	told := false
	for _, f := range verified(t, VerifyOptions{Home: home}).Findings {
		told = told || strings.Contains(fmt.Sprint(f), "snapshot here")
	}
	if !told {
		t.Error("nobody tells that the snapshot is damaged")
	}
}
