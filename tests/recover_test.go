package tests

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRecover lives in a mount, with git too, backs up, loses the machine, and has everything back on a new one: every name, mode, time,
// owner, link, attribute and byte.
func TestRecover(t *testing.T) {
	t.Parallel()
	needPrograms(t, "git")
	r := newRig(t)
	r.start()
	phrase := filepath.Join(r.user, "phrase")
	write(t, phrase, []byte(lastLine(r.rhizome("identity", "phrase").stdout)))
	r.sh(r.user, `cd "$M" && mkdir code notes && cd code && git init -q repo && cd repo && git config user.name A && git config user.email a@example.org &&
		seq 1000 >numbers && git add . && git commit -qm one && seq 2000 >numbers && git commit -qam two && git gc -q`)
	plantKinds(t, r.me("notes"))
	before := pictureOf(t, r.me())
	backup := filepath.Join(r.user, "disk", "backup")
	if res := r.rhizome("backup", backup); res.code != 0 {
		t.Fatal(res.stderr)
	}
	r.stop()
	if err := os.RemoveAll(r.home); err != nil {
		t.Fatal(err)
	}
	if res := r.rhizome("recover", "--from", backup, "--phrase-file", phrase); res.code != 0 {
		t.Fatal(res.stderr)
	}
	r.start()
	wantPicture(t, pictureOf(t, r.me()), before)
	r.sh(r.user, `cd "$M/code/repo" && git fsck --strict --no-progress && test -z "$(git status --porcelain)" && test $(git rev-list --count HEAD) = 2 &&
		seq 3000 >numbers && git commit -qam three && git fsck --strict --no-progress`)
	r.stop()
	if res := r.rhizome("verify", "--deep"); res.code != 0 {
		t.Error(res.stdout, res.stderr)
	}
}

// plantKinds makes one of everything that a directory can have.
func plantKinds(t testing.TB, dir string) {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, in("empty"), nil)
	write(t, in("small"), []byte("a few bytes"))
	write(t, in("medium"), []byte(strings.Repeat("medium ", 10_000)))
	write(t, in("large"), []byte(strings.Repeat("a larger one, of several chunks ", 60_000)))
	sparse, err := os.Create(in("sparse"))
	must(err)
	_, err = sparse.WriteAt([]byte("far away"), 5<<20)
	must(err, sparse.Truncate(8<<20), sparse.Close())
	must(os.Mkdir(in("dir"), 0o751), os.Mkdir(in("dir/below"), 0o700), os.Symlink("../small", in("dir/link")),
		os.Symlink("nowhere", in("dangling")), os.Link(in("small"), in("dir/hard")), syscall.Mkfifo(in("fifo"), 0o620),
		os.WriteFile(in("dir/name with \n and \xff"), []byte("odd"), 0o600))
	for n := range 300 {
		write(t, in(fmt.Sprintf("dir/below/%d", n)), fmt.Appendf(nil, "%d", n))
	}
	must(os.Chmod(in("small"), 0o4750), unix.Setxattr(in("small"), "user.one", []byte("1"), 0),
		unix.Setxattr(in("small"), "user.two", make([]byte, 3000), 0), unix.Setxattr(in("dir"), "user.dir", []byte{}, 0))
	old := time.Date(1999, 12, 31, 23, 59, 59, 123456789, time.UTC)
	must(os.Chtimes(in("medium"), old, old), os.Chtimes(in("dir/below"), old, old), os.Chtimes(dir, old, old))
}

// pictureOf describes everything below a directory, one line each.
func pictureOf(t testing.TB, dir string) (lines []string) {
	t.Helper()
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%q mode %o", name, st.Mode)
		if name != "." { // its time is that of the mount
			line += fmt.Sprintf(" mtime %d.%d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" links %d size %d %x", st.Nlink, st.Size, sha256.Sum256(data))
			if st.Nlink > 1 {
				if first[st.Ino] == "" {
					first[st.Ino] = name
				}
				line += fmt.Sprintf(" as %q", first[st.Ino])
			}
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" to %q", target)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			xattrs, err := allXattrs(path)
			if err != nil {
				return err
			}
			line += xattrs
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func allXattrs(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Listxattr(path, buf)
	if err != nil {
		return "", err
	}
	names := strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	var all string
	for _, name := range names {
		val := make([]byte, 64<<10)
		n, err := unix.Getxattr(path, name, val)
		if err != nil {
			return "", err
		}
		all += fmt.Sprintf(" %s=%x", name, val[:n])
	}
	return all, nil
}

func wantPicture(t testing.TB, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		a, b := "", ""
		if i < len(got) {
			a = got[i]
		}
		if i < len(want) {
			b = want[i]
		}
		if a != b {
			t.Fatalf("line %d of %d and %d:\n%s\nwas\n%s", i, len(got), len(want), a, b)
		}
	}
	if len(want) < 10 {
		t.Fatalf("too little to compare: %q", want)
	}
}
