package mount

import (
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ordinaryUser is the user that the tests of fusermount3 mount as: nobody, whom every machine has, or who runs them.
func ordinaryUser() int {
	if uid := os.Geteuid(); uid != 0 {
		return uid
	}
	return 65534
}

// privately runs the body in a process with a mount namespace of its own, in which every user may open /dev/fuse,
// as on most machines, whatever this one's device says. An ordinary user's test runs where it is.
func privately(t *testing.T, body func()) {
	needFUSE(t)
	const env = childEnv + "_PRIVATE"
	if os.Geteuid() != 0 {
		body()
		return
	}
	if os.Getenv(env) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), env+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("in its own namespace: %v\n%s", err, out)
		}
		return
	}
	dev := t.TempDir() + "/fuse"
	for _, err := range []error{
		unix.Mknod(dev, unix.S_IFCHR, int(unix.Mkdev(10, 229))), os.Chmod(dev, 0o666), bind(dev, "/dev/fuse"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	body()
}

func bind(from, to string) error { return unix.Mount(from, to, "", unix.MS_BIND, "") }

// asThem runs a script as the ordinary user, with the mount in $M.
func (c *child) asThem(script string) {
	c.t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", append(os.Environ(), "M="+c.dir), &syscall.SysProcAttr{}
	asUser(ordinaryUser())(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// An ordinary user mounts through fusermount3, keeps others out, replaces a dead mount, and unmounts.
func TestOrdinaryUser(t *testing.T) {
	privately(t, func() {
		uid := ordinaryUser()
		c := serveAt(t, pointFor(t, uid), asUser(uid))
		wantOptions(t, c, "rw,nosuid,nodev", "suid,dev,noexec")
		if os.Geteuid() == 0 {
			if _, err := os.ReadDir(c.dir); !errors.Is(err, iofs.ErrPermission) {
				t.Errorf("another user reads the mount: %v, want EACCES", err)
			}
		}
		c.asThem(`echo hello >$M/f && [ "$(cat $M/f)" = hello ]`)
		c.kill()
		c = serveAt(t, c.dir, asUser(uid))
		c.asThem(`[ ! -e $M/f ] && echo again >$M/f`)
		if got := c.tell("unmount"); got != "ok" {
			t.Fatalf("unmount: %s", got)
		}
		if got := c.tell("served"); got != "ok" {
			t.Fatalf("served: %s", got)
		}
		if _, ok, _ := mountAt(c.dir); ok {
			t.Fatal("the mount is still there")
		}
	})
}

func TestOrdinaryUserOptions(t *testing.T) {
	privately(t, func() {
		uid := ordinaryUser()
		c := serveAt(t, pointFor(t, uid), asUser(uid), withEnv("_OPTIONS", "ro,noexec,noatime,nodiratime,fsname=rhizome"))
		wantOptions(t, c, "ro,nosuid,nodev,noexec,noatime", "rw,relatime")
	})
}

func TestOrdinaryUserBusy(t *testing.T) {
	privately(t, func() {
		uid := ordinaryUser()
		c := serveAt(t, pointFor(t, uid), asUser(uid))
		cmd := hold(t, c, "cd $M", asUser(uid))
		if got := c.tell("unmount"); !strings.Contains(got, (Holder{PID: cmd.Process.Pid, Command: "sh"}).String()) {
			t.Errorf("unmount said %q", got)
		}
		if got := c.tell("detach"); got != "ok" {
			t.Errorf("detach: %s", got)
		}
		if got := c.tell("served"); got != "ok" {
			t.Errorf("served: %s", got)
		}
	})
}

func TestOrdinaryUserErrors(t *testing.T) {
	privately(t, func() {
		uid := ordinaryUser()
		refused := func(dir, words, want string) {
			t.Helper()
			_, first := startChild(t, dir, asUser(uid), withEnv("_OPTIONS", words))
			if !strings.Contains(first, want) {
				t.Errorf("%s with -o %s: %s; want %s", dir, words, first, want)
			}
		}
		refused("/usr", "", ErrNotOwner.Error())
		refused(pointFor(t, uid), "suid", `option "suid": only root may ask for it`)
		refused(pointFor(t, uid), "dev", `option "dev": only root may ask for it`)
		if !userAllowOther() {
			refused(pointFor(t, uid), "allow_other", ErrAllowOther.Error())
		}
		if os.Geteuid() != 0 {
			return // the rest needs a namespace of its own
		}
		if err := os.Chmod("/dev/fuse", 0o600); err != nil { // the private one
			t.Fatal(err)
		}
		refused(pointFor(t, uid), "", ErrNoFUSE.Error()+": permission denied")
		os.Chmod("/dev/fuse", 0o666)
		bin, err := exec.LookPath("fusermount3")
		if err != nil {
			t.Fatal(err)
		}
		none := t.TempDir() + "/none"
		if err := errors.Join(os.WriteFile(none, nil, 0o644), bind(none, bin)); err != nil {
			t.Fatal(err)
		}
		refused(pointFor(t, uid), "", ErrNoFusermount.Error())
	})
}

// Where allow_other is allowed, others come in.
func TestAllowOther(t *testing.T) {
	privately(t, func() {
		if os.Geteuid() != 0 {
			return
		}
		conf := t.TempDir() + "/fuse.conf"
		if err := errors.Join(os.WriteFile(conf, []byte("# x\nuser_allow_other\n"), 0o644), bind(conf, "/etc/fuse.conf")); err != nil {
			t.Fatal(err)
		}
		for _, uid := range []int{0, ordinaryUser()} {
			c := serveAt(t, pointFor(t, uid), asUser(uid), withEnv("_OPTIONS", "allow_other"))
			c.asThem(`echo "$(id -u)" >$M/f`)
			c.wantFile("f", "65534\n")
		}
	})
}

func TestNoFUSE(t *testing.T) {
	privately(t, func() {
		if os.Geteuid() != 0 {
			return
		}
		dir := pointFor(t, 0)
		if err := unix.Mount("none", "/dev", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		_, err := Mount(dir, Options{})
		wantErr(t, err, ErrNoFUSE)
		wantErr(t, err, iofs.ErrNotExist)
	})
}

// A descriptor that does not come is an error and not a wrong number.
func TestReceiveFD(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := unix.Sendmsg(pair[1], []byte{0}, unix.UnixRights(int(w.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	w.Close()
	fd, err := receiveFD(pair[0])
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(fd, []byte("through"))
	unix.Close(fd)
	if got, err := io.ReadAll(r); err != nil || string(got) != "through" {
		t.Errorf("got %q, %v", got, err)
	}
	unix.Close(pair[1])
	if fd, err := receiveFD(pair[0]); err == nil {
		t.Errorf("got descriptor %d from a closed socket", fd)
	}
}
