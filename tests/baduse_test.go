package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// refused fails unless a command ends with that exit code and one line of error that has all of want and says what to do.
func (r *rig) refused(code int, want []string, args ...string) {
	r.t.Helper()
	res := r.rhizome(args...)
	if res.code != code {
		r.t.Errorf("rhizome %q ended with %d, want %d: %s", args, res.code, code, res.stderr)
	}
	if !regexp.MustCompile(`^rhizome: [^\n]+; [^\n]+\n$`).MatchString(res.stderr) {
		r.t.Errorf("rhizome %q: not one line with what to do: %q", args, res.stderr)
	}
	for _, w := range want {
		if !strings.Contains(res.stderr, w) {
			r.t.Errorf("rhizome %q said %q, which does not name %q", args, res.stderr, w)
		}
	}
}

// A mount point that can't be one is refused; nothing in it is changed, and no daemon is left.
func TestBadMountPoint(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	full, file := filepath.Join(r.user, "full"), filepath.Join(r.user, "file")
	if err := os.MkdirAll(full+"/kept", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, file, []byte("kept"))
	link := filepath.Join(r.user, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	r.refused(2, []string{full, "empty"}, "mount", full)
	r.refused(2, []string{full, "empty"}, "mount", "--detach", full)
	r.refused(2, []string{file, "directory"}, "mount", file)
	r.refused(2, nil, "mount", link)
	r.refused(2, nil, "mount", "-o", "nonsense", r.mnt)
	r.refused(2, nil, "mount", filepath.Join(r.home, "inside"))
	wantFile(t, file, []byte("kept"))
	if _, err := os.Stat(full + "/kept"); err != nil {
		t.Error(err)
	}

	r.start()
	write(t, r.me("f"), []byte("kept"))
	r.refused(5, []string{fmt.Sprint(r.pid())}, "mount", filepath.Join(r.user, "second"))
	r.refused(5, []string{r.mnt}, "mount", "--home", filepath.Join(r.user, "other"), r.mnt)
	r.refused(2, nil, "mount", "--home", filepath.Join(r.user, "other"), r.me())
	r.refused(4, []string{r.mnt}, "unmount", filepath.Join(r.user, "elsewhere"))
	wantFile(t, r.me("f"), []byte("kept"))
	r.stop()
	r.refused(3, nil, "status")
	r.refused(3, nil, "unmount")
}

// The top of the mount, names and identities.
func TestBadNames(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", "new\nline", strings.Repeat("x", 256), "\xff"} {
		r.refused(2, nil, "identity", "new", name)
		r.refused(2, nil, "identity", "rename", "me", name)
	}
	r.refused(5, []string{"me"}, "identity", "new", "me")
	r.refused(4, []string{"nobody"}, "identity", "phrase", "nobody")
	r.refused(4, []string{"nobody"}, "identity", "rename", "nobody", "x")
	r.refused(4, nil, "status", r.user)
	r.refused(4, nil, "log", filepath.Join(r.mnt, "nobody", "x"))
	if err := os.Mkdir(filepath.Join(r.mnt, "x"), 0o755); !errors.Is(err, unix.EPERM) {
		t.Errorf("mkdir at the top: %v, want EPERM", err)
	}
	if err := os.WriteFile(filepath.Join(r.mnt, "x"), nil, 0o644); !errors.Is(err, unix.EPERM) {
		t.Errorf("create at the top: %v, want EPERM", err)
	}
	if err := os.WriteFile(r.me(strings.Repeat("x", 256)), nil, 0o644); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("a name of 256 bytes: %v, want ENAMETOOLONG", err)
	}
	if !strings.Contains(r.logs(), "rhizome identity new") {
		t.Error("the log does not say how to make an identity")
	}
	r.stop()
}

// damaged is a store that is damaged in many ways, one after the other.
type damaged struct {
	*rig
	kept  string            // the store as it was
	files map[string][]byte // what is in it, by path below me
}

func newDamaged(t *testing.T) *damaged {
	d := &damaged{rig: newRig(t), files: map[string][]byte{}}
	d.kept = filepath.Join(d.user, "kept")
	d.start()
	from := rand.NewChaCha8([32]byte{1})
	for i, size := range []int{100, 20 << 10, 300 << 10, 300 << 10, 500 << 10, 10} {
		name := fmt.Sprintf("v%d/f", i)
		d.files[name] = noise(from, size)
		if err := os.Mkdir(d.me(filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, d.me(name), d.files[name])
	}
	// Not before all of it is sealed is there a segment worth damaging.
	for deadline := time.Now().Add(commandBound); d.status().Events.Unframed > 0; {
		if time.Now().After(deadline) {
			t.Fatal("events are not framed")
		}
	}
	d.stop()
	d.sh(d.user, `cp -a "$RHIZOME_HOME" kept`)
	return d
}

// with damages a fresh copy of the store, reads all, and returns which files could not be. Bytes that are read are right.
func (d *damaged) with(what string, damage func(home string) error) (lost []string) {
	d.t.Helper()
	d.sh(d.user, `rm -rf "$RHIZOME_HOME" && cp -a kept "$RHIZOME_HOME"`)
	if err := damage(d.home); err != nil {
		d.t.Fatal(err)
	}
	d.start()
	for name, want := range d.files {
		got, err := os.ReadFile(d.me(name))
		switch {
		case errors.Is(err, unix.EIO):
			lost = append(lost, name)
		case err != nil:
			d.t.Errorf("%s: read %s: %v", what, name, err)
		case !bytes.Equal(got, want):
			d.t.Errorf("%s: %s has wrong bytes", what, name)
		}
	}
	s := d.status()
	if len(lost) > 0 {
		if len(s.Damage) == 0 || !strings.Contains(s.Sentence, "damaged") {
			d.t.Errorf("%s: %v can't be read, and status says %q %v", what, lost, s.Sentence, s.Damage)
		}
		for _, name := range lost {
			named := func(x control.Damage) bool { return strings.Contains("me/"+name, string(x.Path)) && x.Path != "" }
			if !slices.ContainsFunc(s.Damage, named) {
				d.t.Errorf("%s: status does not name %s: %v", what, name, s.Damage)
			}
		}
	}
	// What is damaged can be replaced and removed.
	for _, name := range lost {
		write(d.t, d.me(name), []byte("mended"))
		wantFile(d.t, d.me(name), []byte("mended"))
	}
	d.stop()
	slices.Sort(lost)
	return lost
}

// Wherever a bit flips in a segment, or whatever is missing of it: what needs it says EIO, and nothing else suffers.
func TestDamagedSegments(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	segments, err := filepath.Glob(filepath.Join(d.home, "segments", "*.car"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %v: %v", segments, err)
	}
	name := filepath.Base(segments[0])
	info, err := os.Stat(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	hit := map[string]bool{}
	for i := range 8 {
		at := info.Size() * int64(2*i+1) / 16
		lost := d.with(fmt.Sprintf("a bit at %d of %d", at, info.Size()), func(home string) error {
			return flip(filepath.Join(home, "segments", name), at)
		})
		if len(lost) > 1 {
			t.Errorf("one bit cost %v", lost)
		}
		for _, f := range lost {
			hit[f] = true
		}
	}
	if len(hit) < 3 {
		t.Errorf("8 bits over the whole segment hit only %v", hit)
	}
	if lost := d.with("half a segment", func(home string) error {
		return os.Truncate(filepath.Join(home, "segments", name), info.Size()/2)
	}); len(lost) == 0 || len(lost) > 3 {
		t.Errorf("half a segment cost %v", lost)
	}
	if lost := d.with("no segment", func(home string) error {
		return os.Remove(filepath.Join(home, "segments", name))
	}); len(lost) != 4 {
		t.Errorf("without its segment there is no reading of %v", lost)
	}
	if lost := d.with("nothing", func(string) error { return nil }); len(lost) != 0 {
		t.Errorf("of an undamaged store %v can't be read", lost)
	}
}

// A keyring that is damaged, or of a version to come, is refused by name, and is left as it is.
func TestDamagedKeyring(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	write(t, r.me("f"), []byte("kept"))
	r.stop()
	rings, err := filepath.Glob(filepath.Join(r.home, "identities", "*.keys"))
	if err != nil || len(rings) != 1 {
		t.Fatalf("keyrings %v: %v", rings, err)
	}
	was := readFile(t, rings[0])
	for _, at := range []int64{0, 5, int64(len(was)) / 2, int64(len(was)) - 1} {
		if err := flip(rings[0], at); err != nil {
			t.Fatal(err)
		}
		damaged := readFile(t, rings[0])
		res := r.rhizome("mount", r.mnt)
		if res.code != 6 && res.code != 1 || strings.Count(res.stderr, "\n") != 1 || !strings.Contains(res.stderr, filepath.Base(rings[0])) {
			t.Errorf("byte %d: exit code %d: %s", at, res.code, res.stderr)
		}
		wantFile(t, rings[0], damaged)
		write(t, rings[0], was)
	}
	r.start()
	wantFile(t, r.me("f"), []byte("kept"))
	r.stop()
}

// On a full disk a first start makes nothing, and a later one loses nothing.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	privately(t, func() {
		r := newRig(t)
		disk := filepath.Join(r.user, "disk")
		if err := errors.Join(os.Mkdir(disk, 0o755), unix.Mount("none", disk, "tmpfs", 0, "size=192m")); err != nil {
			t.Fatal(err)
		}
		ballast := filepath.Join(disk, "ballast")
		fill := func() {
			f, err := os.Create(ballast)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, size := range []int{1 << 20, 4 << 10} {
				for err == nil {
					_, err = f.Write(make([]byte, size))
				}
				if !errors.Is(err, unix.ENOSPC) {
					t.Fatal(err)
				}
				err = nil
			}
		}
		r.home = filepath.Join(disk, "store")
		r.env = append(r.env, "RHIZOME_HOME="+r.home)
		fill()
		r.refused(1, []string{"space"}, "mount", r.mnt)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		r.start()
		content := noise(rand.NewChaCha8([32]byte{}), 2<<20)
		write(t, r.me("f"), content)
		r.kill()
		fill()
		// It may start or not, but not lose anything.
		if res := r.rhizome("mount", "--detach", r.mnt); res.code == 0 {
			wantFile(t, r.me("f"), content)
			if err := os.WriteFile(r.me("g"), content, 0o644); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("write to a full disk: %v", err)
			}
			if err := os.Remove(r.me("g")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("remove from a full disk: %v", err)
			}
			r.rhizome("unmount")
		} else if res.code != 1 || !strings.Contains(res.stderr, "space") {
			t.Errorf("start on a full disk: %d %s", res.code, res.stderr)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		r.start()
		wantFile(t, r.me("f"), content)
		r.stop()
	})
}

// flip flips a bit of a file.
func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	b[0] ^= 1 << (at % 8)
	_, wErr := f.WriteAt(b, at)
	return errors.Join(err, wErr, f.Close())
}
