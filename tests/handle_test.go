package tests

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// A file handle leads to its file when nobody remembers the file, after a rename and a restart too, and to nothing once it is gone.
func TestFileHandles(t *testing.T) {
	t.Parallel()
	privately(t, func() {
		r := newRig(t).start()
		r.sh(r.me(), `mkdir -p v/d/e && echo hello >v/d/e/f && echo home >h && ln -s f v/d/link && echo local >v/d/.f.swp && mkdir v/.Trash-0 && echo t >v/.Trash-0/t`)
		names := []string{"", "v", "v/d/e", "v/d/e/f", "h", "v/d/link", "v/d/.f.swp", "v/.Trash-0", "v/.Trash-0/t"}
		handles := map[string]unix.FileHandle{}
		for _, name := range names {
			h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, r.me(name), 0)
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			handles[name] = h
		}
		same := func(when string, moved map[string]string) {
			t.Helper()
			for _, name := range names {
				now, ok := moved[name]
				if !ok {
					now = name
				}
				r.wantHandle(when, handles[name], now)
			}
		}
		same("at once", nil)
		forget := func() {
			if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
				t.Fatal(err)
			}
		}
		forget()
		same("forgotten", nil)
		r.sh(r.me("v"), `mv d/e/f d/g && mv d/e moved`)
		moved := map[string]string{"v/d/e/f": "v/d/g", "v/d/e": "v/moved"}
		forget()
		same("renamed", moved)
		r.stop()
		r.start()
		same("restarted", moved)
		r.sh(r.me("v"), `rm d/g && rmdir moved`)
		forget()
		top := r.openDir(r.mnt)
		defer unix.Close(top)
		for _, name := range []string{"v/d/e/f", "v/d/e"} {
			if fd, err := unix.OpenByHandleAt(top, handles[name], unix.O_RDONLY); !errors.Is(err, unix.ESTALE) {
				t.Errorf("removed %s: %d %v, want ESTALE", name, fd, err)
			}
		}
		h := handles["h"]
		b := append([]byte(nil), h.Bytes()...)
		b[3] ^= 1
		if _, err := unix.OpenByHandleAt(top, unix.NewFileHandle(h.Type(), b), unix.O_RDONLY); !errors.Is(err, unix.ESTALE) {
			t.Errorf("a handle of nothing: %v, want ESTALE", err)
		}
	})
}

func (r *rig) openDir(dir string) int {
	r.t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return fd
}

// wantHandle fails unless a handle opens what has the name now.
func (r *rig) wantHandle(when string, h unix.FileHandle, name string) {
	r.t.Helper()
	top := r.openDir(r.mnt)
	defer unix.Close(top)
	fd, err := unix.OpenByHandleAt(top, h, unix.O_RDONLY|unix.O_CLOEXEC)
	var want unix.Stat_t
	if e := unix.Lstat(r.me(name), &want); e != nil {
		r.t.Fatal(e)
	}
	if want.Mode&unix.S_IFMT == unix.S_IFLNK {
		if !errors.Is(err, unix.ELOOP) {
			r.t.Errorf("%s: %q: %v, want ELOOP", when, name, err)
		}
		return
	}
	if err != nil {
		r.t.Errorf("%s: %q: %v", when, name, err)
		return
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var got unix.Stat_t
	if err := unix.Fstat(fd, &got); err != nil || got.Ino != want.Ino || got.Mode != want.Mode {
		r.t.Errorf("%s: %q: inode %d, want %d: %v", when, name, got.Ino, want.Ino, err)
	}
	if got.Mode&unix.S_IFMT == unix.S_IFDIR { // the kernel finds the way up to a directory only
		if path, err := os.Readlink(filepath.Join("/proc/self/fd", strconv.Itoa(fd))); err != nil || path != r.me(name) {
			r.t.Errorf("%s: %q is called %q: %v", when, name, path, err)
		}
	}
	if got.Mode&unix.S_IFMT == unix.S_IFREG {
		b, err := io.ReadAll(f)
		if err != nil || int64(len(b)) != want.Size {
			r.t.Errorf("%s: %q: %d bytes, want %d: %v", when, name, len(b), want.Size, err)
		}
	}
}
