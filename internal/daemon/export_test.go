package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/leakcheck"
	"github.com/rhizome-fs/rhizome/ipld"
)

// sealedTo exports a path, and returns what was told.
func sealedTo(t testing.TB, d *daemon, path, at, file string) (res control.ExportResult) {
	t.Helper()
	q := control.ExportRequest{Path: control.Name("/mnt/" + path), At: at, File: control.Name(file), Sealed: true}
	err := d.export(t.Context(), "/mnt", q, func(e control.ExportEvent) error {
		if e.Result != nil {
			res = *e.Result
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// A sealed export is read with its link alone, and by nobody without; the same tree gives the same file.
func TestSealedExport(t *testing.T) {
	t.Parallel()
	d := opened(t, t.TempDir())
	liveALittle(t, d)
	dir := t.TempDir()
	first, second, then := filepath.Join(dir, "1.car"), filepath.Join(dir, "2.car"), filepath.Join(dir, "3.car")
	res := sealedTo(t, d, "me/notes", "", first)
	if res.MissedCount != 0 || res.Files != 29 {
		t.Fatalf("%+v", res)
	}
	at := time.Now().UTC().Format(time.RFC3339Nano)
	if _, err := d.fs.CreateSnapshot(t.Context(), d.all()[0].keys.VolumeID("notes", 1), "first", 0, nil); err != nil {
		t.Fatal(err)
	}
	committed(t, d)
	if again := sealedTo(t, d, "me/notes", "", second); again.Link != res.Link || !bytes.Equal(read(t, first), read(t, second)) {
		t.Error("the same tree gave another file")
	}
	write(t, d, volume(t, d, "notes"), "more", []byte("more"))
	if later := sealedTo(t, d, "me/notes", "", second); later.Root == res.Root {
		t.Error("another tree has the same root")
	}
	if again := sealedTo(t, d, "me/notes", "first", then); again.Link != res.Link {
		t.Error("the snapshot has another tree")
	}
	if again := sealedTo(t, d, "me/notes", at, then); again.Link != res.Link || !bytes.Equal(read(t, first), read(t, then)) {
		t.Error("the tree of that time gave another file")
	}

	data := read(t, first)
	for _, s := range []string{"renamed", "user.colour", "version 4", "letter 17"} {
		if err := leakcheck.Find(data, append([]byte(s), make([]byte, max(0, leakcheck.MinSecret-len(s)))...)); err != nil {
			t.Error(err)
		}
	}
	st := ipld.NewMemory()
	root, err := ipld.ParseLink(res.Link)
	if err != nil {
		t.Fatal(err)
	}
	off, n := int64(0), 0
	for off = firstBlock(root.CID); off < int64(len(data)); n++ {
		b, next, err := ipld.ReadCARAt(bytes.NewReader(data), off, int64(len(data)))
		if err != nil || n == 0 && b.CID != root.CID {
			t.Fatalf("block %d: %v", n, err)
		}
		if err := st.Put(b); err != nil {
			t.Fatal(err)
		}
		off = next
	}
	s, err := snapshot.Open(st, root)
	if err != nil {
		t.Fatal(err)
	}
	for k := range 30 {
		if k == 3 || k == 4 || k == 20 {
			continue
		}
		ino, err := s.Find([][]byte{fmt.Append(nil, "file ", k)})
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte{byte(k)}, k*k*100)
		if len(want) == 0 {
			continue
		}
		heads, err := s.Heads(ino)
		if err != nil || len(heads) != 1 {
			t.Fatalf("file %d: %v", k, err)
		}
		got := make([]byte, len(want))
		if _, err := s.Content(heads[0]).ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("file %d: %v", k, err)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 3 {
		t.Errorf("%v %v", names, err)
	}
	wantUnpacked(t, res, first, dir)
	refused := control.ExportRequest{Path: "/mnt/me", File: control.Name(filepath.Join(dir, "x")), Sealed: true}
	if err := d.export(t.Context(), "/mnt", refused, func(control.ExportEvent) error { return nil }); control.CodeOf(err) != control.Usage ||
		!strings.Contains(err.Error(), "mail, notes") {
		t.Errorf("volumes in it: %v", err)
	}
	q := control.ExportRequest{Path: "/mnt/me/notes/nothing", File: control.Name(filepath.Join(dir, "x")), Sealed: true}
	if err := d.export(t.Context(), "/mnt", q, nil); control.CodeOf(err) != control.NotFound {
		t.Errorf("%v", err)
	}
}

// wantUnpacked fails unless a file is unpacked with its link, and refused, without leaving anything, when a bit of it is another one.
func wantUnpacked(t testing.TB, res control.ExportResult, file, dir string) {
	t.Helper()
	tell := func(control.Progress) {}
	to := filepath.Join(dir, "unpacked")
	got, err := Unpack(t.Context(), file, res.Link, to, tell)
	if err != nil || got.MissedCount > 0 || got.Bytes != res.Bytes {
		t.Errorf("%+v %v", got, err)
	}
	if b := read(t, filepath.Join(to, "file 29")); !bytes.Equal(b, bytes.Repeat([]byte{29}, 29*29*100)) {
		t.Errorf("file 29 has %d bytes", len(b))
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	whole := read(t, file)
	bad := filepath.Join(dir, "bad")
	for _, at := range []int{3, 70, len(whole) / 2, len(whole) - 1} {
		b := bytes.Clone(whole)
		b[at] ^= 4
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(t.Context(), bad, res.Link, to, tell); err == nil {
			t.Errorf("a bit of byte %d of %d is another one, and nothing was said", at, len(b))
		}
		if _, err := os.Stat(to); err == nil {
			t.Error("something is left")
		}
	}
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
}

// firstBlock is where the first block of a CAR with one root begins.
func firstBlock(root ipld.CID) int64 {
	var b bytes.Buffer
	if _, err := ipld.NewCARWriter(&b, root); err != nil {
		panic(errors.Join(err))
	}
	return int64(b.Len())
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
