package mount

import (
	"errors"
	iofs "io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever is wrong with a mount point has its own error, and changes nothing.
func TestBadMountPoints(t *testing.T) {
	needFUSE(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := Mount(dir, Options{})
	wantErr(t, err, ErrNotEmpty)
	_, err = Mount(dir+"/file", Options{})
	wantErr(t, err, ErrNotDir)
	_, err = Mount(dir+"/file/below", Options{})
	wantErr(t, err, unix.ENOTDIR)
	_, err = Mount(dir+"/nothing", Options{})
	wantErr(t, err, iofs.ErrNotExist)
	_, err = Mount("/proc", Options{})
	wantErr(t, err, ErrMounted)
	var there *MountedError
	if !errors.As(err, &there) || there.Type != "proc" {
		t.Errorf("/proc: %v", err)
	}
	for _, err := range []error{err, there} {
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is not one line", err)
		}
	}
}

func TestMountedAlready(t *testing.T) {
	c := serve(t)
	_, err := Mount(c.dir, Options{})
	wantErr(t, err, ErrMounted)
	var there *MountedError
	if !errors.As(err, &there) || there.Type != fsType || there.Cause != nil {
		t.Fatalf("got %#v", there)
	}
	c.wantFile("f", c.put("f", "unharmed"))
}

// A daemon that is stopped does not make us hang.
func TestMountedAndSilent(t *testing.T) {
	t.Parallel()
	c := serve(t)
	c.cmd.Process.Signal(syscall.SIGSTOP)
	if _, err := unix.Wait4(c.cmd.Process.Pid, nil, unix.WUNTRACED, nil); err != nil { // until it has stopped
		t.Fatal(err)
	}
	defer c.cmd.Process.Signal(syscall.SIGCONT)
	_, err := Mount(c.dir, Options{})
	wantErr(t, err, ErrMounted)
	wantErr(t, err, errNoAnswer)
}
