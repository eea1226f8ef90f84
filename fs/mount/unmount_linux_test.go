package mount

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// hold starts a shell that runs the script, with the mount in $M, and then waits until it is let go.
func hold(t *testing.T, c *child, script string, options ...childOption) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script+"; echo held; read _")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "M="+c.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, o := range options {
		o(cmd)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("held\n"))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return cmd
}

func letGo(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Process.Kill()
	cmd.Wait()
}

// An unmount while programs hold files names them and changes nothing.
func TestUnmountBusy(t *testing.T) {
	c := serve(t)
	c.write("some file", "x")
	for _, test := range []struct {
		what, script, path string
	}{
		{"an open file", `exec 3<"$M/some file"`, c.path("some file")},
		{"a working directory", `cd "$M"`, c.dir},
	} {
		cmd := hold(t, c, test.script)
		held, err := Holders(c.dir)
		if err != nil {
			t.Fatal(err)
		}
		want := []Holder{{PID: cmd.Process.Pid, Command: "sh", Paths: []string{test.path}}}
		if !slices.EqualFunc(held, want, func(a, b Holder) bool {
			return a.PID == b.PID && a.Command == b.Command && slices.Equal(a.Paths, b.Paths)
		}) {
			t.Errorf("%s: holders are %v, want %v", test.what, held, want)
		}
		if got := c.tell("unmount"); !strings.Contains(got, want[0].String()) {
			t.Errorf("%s: unmount said %q, want %s in it", test.what, got, want[0])
		}
		var busy *BusyError
		if err := Unmount(c.dir); !errors.As(err, &busy) || !errors.Is(err, unix.EBUSY) {
			t.Errorf("%s: unmounting from outside: %v", test.what, err)
		}
		c.wantFile("some file", "x")
		letGo(t, cmd)
	}
	if got := c.tell("unmount"); got != "ok" {
		t.Fatalf("unmount in the end: %s", got)
	}
	if got := c.tell("served"); got != "ok" {
		t.Fatalf("served: %s", got)
	}
	if _, err := Holders(c.dir); !errors.Is(err, ErrNotMounted) {
		t.Fatalf("holders of no mount: %v", err)
	}
}

func TestHoldersByMapping(t *testing.T) {
	c := serve(t)
	c.write("mapped", strings.Repeat("x", 10000))
	f, err := os.Open(c.path("mapped"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 10000, unix.PROT_READ, unix.MAP_PRIVATE)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	held, err := Holders(c.dir)
	unix.Munmap(m)
	if err != nil || len(held) != 1 || held[0].PID != os.Getpid() || !slices.Equal(held[0].Paths, []string{c.path("mapped")}) {
		t.Fatalf("holders are %v (%v), want this process", held, err)
	}
}

// Detach ends everything, also for a program in the middle of a read and for one with an open file.
func TestDetach(t *testing.T) {
	c := serve(t)
	c.write("block-it", "x")
	f, err := os.Create(c.path("held"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cat := startCat(t, c.path("block-it"))
	c.eventually("1", "waiting")
	if got := c.tell("detach"); got != "ok" {
		t.Fatalf("detach: %s", got)
	}
	if got := c.tell("served"); got != "ok" {
		t.Fatalf("served: %s", got)
	}
	if err := cat.Wait(); err == nil {
		t.Error("a read that was waiting ended well")
	}
	if _, ok, _ := mountAt(c.dir); ok {
		t.Error("the mount is still there")
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("fstat of an open file: %v, want ENOTCONN", err)
	}
}

// Whoever unmounts, Serve returns, and a later Unmount has nothing to do.
func TestUnmountByOthers(t *testing.T) {
	c := serve(t)
	if err := Unmount(c.dir); err != nil {
		t.Fatal(err)
	}
	if got := c.tell("served"); got != "ok" {
		t.Fatalf("served: %s", got)
	}
	if got := c.tell("unmount"); got != "ok" {
		t.Fatalf("unmount: %s", got)
	}
	wantErr(t, Unmount(c.dir), ErrNotMounted)
}

// A mount that was never served can be taken back.
func TestUnmountUnserved(t *testing.T) {
	needFUSE(t)
	if os.Geteuid() != 0 {
		return // see TestOrdinaryUser
	}
	for _, end := range []func(*Conn) error{(*Conn).Unmount, (*Conn).Detach} {
		dir := pointFor(t, 0)
		c, err := Mount(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := end(c); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		if err := c.Serve(newMemFS()); err != nil { // who was about to serve it finds it gone
			t.Fatal(err)
		}
		wantErr(t, c.Serve(newMemFS()), ErrServed)
	}
}

func TestUnmountBelow(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root makes a mount below
	}
	c := serve(t)
	c.write("below", "")
	if err := unix.Mount("/etc/passwd", c.path("below"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if got := c.tell("unmount"); !strings.Contains(got, "the mount on "+c.path("below")) {
		t.Errorf("unmount said %q", got)
	}
	if err := unix.Unmount(c.path("below"), 0); err != nil {
		t.Fatal(err)
	}
	if got := c.tell("unmount"); got != "ok" {
		t.Fatalf("unmount in the end: %s", got)
	}
}
