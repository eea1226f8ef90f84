package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// dirEntry is one name as getdents64(2) gives it.
type dirEntry struct {
	name string
	off  int64 // where to go on behind it: what telldir(3) says
	ino  uint64
}

// getdents reads on from a directory's position.
func getdents(t testing.TB, fd, room int) (list []dirEntry) {
	t.Helper()
	buf := make([]byte, room)
	n, err := unix.ReadDirent(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	for buf = buf[:n]; len(buf) > 0; {
		size := int(buf[16]) | int(buf[17])<<8
		rec := buf[:size]
		num := func(at int) (v uint64) {
			for i := 7; i >= 0; i-- {
				v = v<<8 | uint64(rec[at+i])
			}
			return v
		}
		name, _, _ := strings.Cut(string(rec[19:]), "\x00")
		list = append(list, dirEntry{name, int64(num(8)), num(0)})
		buf = buf[size:]
	}
	return list
}

// A directory that is read while it changes shows what was there all the time once, and nothing twice. Offsets stay good for ever.
func TestReaddirWhileItChanges(t *testing.T) {
	t.Parallel()
	count := 1500
	if *posixSeconds > 0 {
		count = 100_000
	}
	r := newRig(t).start()
	dir := r.me("v", "d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := func(kind string, i int) string { return filepath.Join(dir, fmt.Sprintf("%s-%d", kind, i)) }
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range count {
		try(unix.Mknod(name("stays", i), unix.S_IFREG|0o644, 0))
		if i%4 == 0 {
			try(unix.Mknod(name("goes", i), unix.S_IFREG|0o644, 0))
			try(unix.Mknod(name("moves", i), unix.S_IFREG|0o644, 0))
		}
	}
	fd := r.openDir(dir)
	defer unix.Close(fd)
	seen := map[string]int{}
	var all []dirEntry
	for round := 0; ; round++ {
		list := getdents(t, fd, 1<<10)
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			seen[e.name]++
		}
		all = append(all, list...)
		for i := round * 4; i < round*4+8 && i < count; i += 4 { // change it, and read on
			if err := unix.Unlink(name("goes", i)); err != nil && !errors.Is(err, unix.ENOENT) {
				t.Fatal(err)
			}
			if err := unix.Rename(name("moves", i), name("moved", i)); err != nil && !errors.Is(err, unix.ENOENT) {
				t.Fatal(err)
			}
			try(os.WriteFile(name("comes", i), nil, 0o644))
		}
	}
	for i := range count {
		if n := seen[fmt.Sprintf("stays-%d", i)]; n != 1 {
			t.Errorf("stays-%d was seen %d times", i, n)
		}
	}
	for n, times := range seen {
		if times > 1 {
			t.Errorf("%s was seen %d times", n, times)
		}
	}
	again := readdirFrom(t, fd, 0)
	at := map[string]int{}
	for i, e := range again {
		at[e.name] = i
	}
	for i := 0; i < len(all); i += len(all)/20 + 1 {
		place, ok := at[all[i].name]
		if !ok {
			continue // it has gone
		}
		rest := readdirFrom(t, fd, all[i].off)
		if !slices.Equal(rest, again[place+1:]) {
			t.Errorf("from behind %s there are %d names, want %d", all[i].name, len(rest), len(again)-place-1)
		}
	}
	for _, e := range again[:20] {
		var st unix.Stat_t
		try(unix.Lstat(filepath.Join(dir, e.name), &st))
		if e.name != ".." && st.Ino != e.ino {
			t.Errorf("%s: d_ino %d, st_ino %d", e.name, e.ino, st.Ino)
		}
	}
}

// readdirFrom reads a directory from an offset to its end.
func readdirFrom(t testing.TB, fd int, off int64) (all []dirEntry) {
	t.Helper()
	if _, err := unix.Seek(fd, off, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	for {
		list := getdents(t, fd, 64<<10)
		if len(list) == 0 {
			return all
		}
		all = append(all, list...)
	}
}

// rm -rf of a big directory, and of one that is removed as it is read, leaves nothing.
func TestRemoveWhileReading(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	r.sh(r.me(), `mkdir -p v/d && cd v/d && for i in $(seq 800); do : >$i; done && cd .. && rm -r d && test -z "$(ls)"
		mkdir e && cd e && for i in $(seq 150); do mkdir $i && : >$i/f; done && cd .. && find e -delete && test -z "$(ls)"`)
}

// A file may have very many extended attributes, and big ones.
func TestManyXattrs(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	f := r.me("f")
	write(t, f, []byte("x"))
	const count = 1200 // more than one event may hold, and than one listxattr can return
	for i := range count {
		if err := unix.Lsetxattr(f, fmt.Sprintf("user.an-attribute-with-a-long-name-so-that-the-list-is-long-%d", i), fmt.Append(nil, i), unix.XATTR_CREATE); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if n, err := unix.Llistxattr(f, make([]byte, 1<<16)); !errors.Is(err, unix.E2BIG) && !errors.Is(err, unix.ERANGE) {
		t.Errorf("a list beyond 64 KiB: %d %v, want E2BIG", n, err)
	}
	big := make([]byte, 65536)
	for i := range big {
		big[i] = byte(i * 7)
	}
	if err := unix.Lsetxattr(f, "user.big", big, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Lsetxattr(f, "user.bigger", append(big, 1), 0); !errors.Is(err, unix.E2BIG) {
		t.Errorf("65,537 bytes: %v, want E2BIG", err)
	}
	check := func() {
		t.Helper()
		buf := make([]byte, 1<<16)
		for i := 0; i < count; i += 97 {
			n, err := unix.Lgetxattr(f, fmt.Sprintf("user.an-attribute-with-a-long-name-so-that-the-list-is-long-%d", i), buf)
			if err != nil || string(buf[:n]) != fmt.Sprint(i) {
				t.Errorf("%d: %q %v", i, buf[:max(n, 0)], err)
			}
		}
		if n, err := unix.Lgetxattr(f, "user.big", buf); err != nil || string(buf[:n]) != string(big) {
			t.Errorf("the big one: %d bytes, %v", n, err)
		}
	}
	check()
	r.stop()
	r.start()
	check()
	for i := 50; i < count; i++ {
		if err := unix.Lremovexattr(f, fmt.Sprintf("user.an-attribute-with-a-long-name-so-that-the-list-is-long-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := unix.Llistxattr(f, make([]byte, 1<<16)); err != nil || n < 50*50 {
		t.Errorf("what is left: %d bytes, %v", n, err)
	}
}

// statfs tells the truth of the disk below.
func TestStatfs(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	var ours, below unix.Statfs_t
	if err := errors.Join(unix.Statfs(r.me(), &ours), unix.Statfs(r.home, &below)); err != nil {
		t.Fatal(err)
	}
	total := func(s unix.Statfs_t, blocks uint64) int64 { return int64(blocks) * s.Bsize }
	if got, want := total(ours, ours.Blocks), total(below, below.Blocks); got > want || got < want-ours.Bsize {
		t.Errorf("%d bytes in all, the disk has %d", got, want)
	}
	const reserve, slack = 64 << 20, 512 << 20 // others write meanwhile
	if got, want := total(ours, ours.Bavail), max(0, total(below, below.Bavail)-reserve); got > want+slack || got < want-slack {
		t.Errorf("%d bytes available, the disk has %d", got, want)
	}
	if ours.Namelen != 255 || ours.Bavail > ours.Bfree || ours.Bfree > ours.Blocks || ours.Frsize == 0 {
		t.Errorf("%+v", ours)
	}
}
