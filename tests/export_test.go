package tests

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// TestExport copies a directory out to ordinary files and to a CAR: as it is, as it was, with a daemon and without, and always the same.
func TestExport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	notes := r.me("notes")
	if err := os.Mkdir(notes, 0o755); err != nil {
		t.Fatal(err)
	}
	plantKinds(t, notes)
	before := pictureOf(t, notes)
	out := func(name string) string { return filepath.Join(r.user, name) }
	export := func(args ...string) (res control.ExportResult) {
		t.Helper()
		got := r.rhizome(append([]string{"export", "--json"}, args...)...)
		if got.code != 0 {
			t.Fatalf("%q: %s", args, got.stderr)
		}
		if err := json.Unmarshal([]byte(got.stdout), &res); err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := export(notes, "--dir", out("now")); res.MissedCount != 0 || res.Files < 300 {
		t.Errorf("%+v", res)
	}
	wantPicture(t, pictureOf(t, out("now")), before)
	var st unix.Stat_t
	if err := unix.Stat(out("now/sparse"), &st); err != nil || st.Blocks*512 > 1<<20 {
		t.Errorf("a sparse file has %d blocks: %v", st.Blocks, err)
	}
	then := time.Now().Format(time.RFC3339Nano) // by a clock that is some ms ahead of that of what is written
	plain := export(notes, "--plain", "-o", out("first.car"))
	if plain.Root == "" || plain.MissedCount != 2 { // a fifo, and a name that is not UTF-8
		t.Errorf("%+v", plain)
	}

	wantMode(t, out("first.car"), 0o666&^umask())

	write(t, filepath.Join(notes, "later"), []byte("not there yet"))
	if err := os.Remove(filepath.Join(notes, "small")); err != nil {
		t.Fatal(err)
	}
	export(notes, "--dir", out("then"), "--at", then)
	wantPicture(t, pictureOf(t, out("then")), before)
	again := export(notes, "--plain", "-o", out("second.car"), "--at", then)
	if a, b := readFile(t, out("first.car")), readFile(t, out("second.car")); again.Root != plain.Root || !bytes.Equal(a, b) {
		t.Errorf("one tree gave two files: %s of %d bytes, %s of %d bytes", plain.Root, len(a), again.Root, len(b))
	}
	export(r.me(), "--dir", out("all"))
	wantPicture(t, pictureOf(t, out("all/notes")), pictureOf(t, notes))
	export(filepath.Join(notes, "large"), "--dir", out("one"))
	if a, b := readFile(t, out("one/large")), readFile(t, filepath.Join(notes, "large")); !bytes.Equal(a, b) {
		t.Error("a single file is another one")
	}

	key := out("key")
	if res := export(notes, "-o", out("sealed.car"), "--key-file", key); res.Link != "" || res.Root == "" ||
		!strings.HasPrefix(string(readFile(t, key)), res.Root+".") {
		t.Errorf("%+v", res)
	}
	if got := r.rhizome("unpack", out("sealed.car"), "--key-file", key, "--dir", out("unpacked")); got.code != 0 {
		t.Errorf("unpack: %s", got.stderr)
	}
	wantPicture(t, pictureOf(t, out("unpacked")), pictureOf(t, notes))
	other := export(filepath.Join(notes, "large"), "-o", out("other.car"))
	write(t, out("otherkey"), []byte(other.Link))
	if got := r.rhizome("unpack", out("sealed.car"), "--key-file", out("otherkey"), "--dir", out("x")); got.code != 2 {
		t.Errorf("with the link of another file: %d %s", got.code, got.stderr)
	}
	wantMode(t, key, 0o600)
	wantMode(t, out("sealed.car"), 0o600)

	full := out("now")
	for _, args := range [][]string{
		{notes, "--dir", full}, {notes, "--dir", filepath.Join(notes, "inside")}, {notes, "--plain"}, {notes},
		{notes, "-o", out("x"), "--dir", out("x")}, {notes, "--dir", out("x"), "--key-file", out("x")},
		{filepath.Join(notes, "nothing"), "--dir", out("nothing")}, {notes, "--dir", out("x"), "--at", "2001-01-01"},
		{filepath.Join(notes, "fifo"), "--plain", "-o", out("x")}, {r.user, "--dir", out("x")},
	} {
		if got := r.rhizome(append([]string{"export"}, args...)...); got.code == 0 || got.stderr == "" {
			t.Errorf("%q: %d %s", args, got.code, got.stderr)
		}
	}
	r.stop()
	export("me/notes", "--dir", out("offline"), "--at", then)
	wantPicture(t, pictureOf(t, out("offline")), before)
	wantNoneUnfinished(t, r.user)
	if _, err := os.Lstat(out("x")); err == nil {
		t.Error("a refused export left something")
	}
}

// umask is what new files are not allowed.
func umask() os.FileMode {
	status, _ := os.ReadFile("/proc/self/status") // setting it would be seen by other tests
	_, mask, _ := strings.Cut(string(status), "\nUmask:\t")
	n, _ := strconv.ParseUint(strings.SplitN(mask, "\n", 2)[0], 8, 32)
	return os.FileMode(n)
}

func wantMode(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
		t.Errorf("%s: %v %v, want %v", path, info, err, mode)
	}
}

// wantNoneUnfinished fails if a directory has what an export did not finish.
func wantNoneUnfinished(t testing.TB, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		if strings.HasPrefix(e.Name(), ".rhizome-export-") {
			t.Errorf("%s is left", e.Name())
		}
	}
}
