package mount

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Real mounts are served by a child process, so that one that hangs can be cut off from the kernel.

const childEnv = "RHIZOME_TEST_SERVE" // the child's mount point

// child is a process that serves a memFS.
type child struct {
	t     testing.TB
	dir   string
	conn  string // its number in /sys/fs/fuse/connections
	cmd   *exec.Cmd
	in    io.Writer
	lines *bufio.Scanner
}

// TestChildServes is the child's side: it mounts, serves, and obeys lines on its standard input. Without the
// environment of a child it does nothing.
func TestChildServes(t *testing.T) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		return
	}
	if os.Getenv(childEnv+"_STOCK") != "" {
		serveStock(t, dir)
		return
	}
	o, err := ParseOptions(os.Getenv(childEnv + "_OPTIONS"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Mount(dir, o)
	if err != nil {
		say("%v", err)
		return
	}
	m := newMemFS()
	m.mayBlock = c.MayBlock
	if ttl := os.Getenv(childEnv + "_TTL"); ttl != "" {
		m.entryTTL, m.attrTTL = 3600, 3600
	}
	if os.Getenv(childEnv+"_NOTIFY") != "" {
		m.changed = func(id uint64, name string) {
			c.InvalEntry(1, name)
			c.InvalInode(id, 0, 0)
			c.InvalInode(1, 0, 0)
		}
	}
	served := make(chan error, 1)
	go func() { served <- c.Serve(m) }()
	say("mounted")
	obey(c, m, served)
}

func say(format string, a ...any) { fmt.Printf("child: "+format+"\n", a...) }

func obey(c *Conn, m *memFS, served <-chan error) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		switch words[0] {
		case "unmount":
			sayErr(c.Unmount())
		case "detach":
			sayErr(c.Detach())
		case "served":
			sayErr(<-served)
		case "waiting":
			say("%d", m.waiting.Load())
		case "getattrs":
			say("%d", m.getattrs.Load())
		case "workers":
			c.loop.mu.Lock()
			say("%d", len(c.loop.workers))
			c.loop.mu.Unlock()
		case "threads-below":
			threads, _ := os.ReadDir("/proc/self/task")
			limit, _ := strconv.Atoi(words[1])
			say("%t", len(threads) < limit)
		case "heap":
			var st runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&st)
			say("%d", st.HeapAlloc)
		case "rss":
			stat, _ := os.ReadFile("/proc/self/statm")
			say("%s", strings.Fields(string(stat))[1])
		case "change", "rename", "delete":
			changeBehind(c, m, words)
			sayErr(c.Notified(context.Background()))
		}
	}
}

// changeBehind makes a change that the kernel does not know of, and tells it.
func changeBehind(c *Conn, m *memFS, words []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.names[words[1]]
	switch words[0] {
	case "change":
		m.nodes[id].data = []byte(words[2])
		c.InvalInode(id, 0, 0)
	case "rename":
		m.names[words[2]], m.nodes[id].name = id, words[2]
		delete(m.names, words[1])
		c.InvalEntry(1, words[1])
		c.InvalEntry(1, words[2])
	case "delete":
		delete(m.names, words[1])
		c.Delete(1, id, words[1])
	}
}

func sayErr(err error) {
	if err != nil {
		say("error %v", err)
	} else {
		say("ok")
	}
}

// needFUSE skips the test on a machine without FUSE, but not in CI.
func needFUSE(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no /dev/fuse")
	}
	t.Skip("no /dev/fuse")
}

// pointFor makes an empty directory that the user of the child owns.
func pointFor(t testing.TB, uid int) string {
	dir, err := os.MkdirTemp("", "rhizome-mount-") // not below t.TempDir: a mount left there would fail its cleanup
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Unmount(dir, unix.MNT_DETACH)
		os.Remove(dir)
	})
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type childOption func(*exec.Cmd)

func withEnv(key, value string) childOption {
	return func(c *exec.Cmd) { c.Env = append(c.Env, childEnv+key+"="+value) }
}

// asUser runs the child as an ordinary user.
func asUser(uid int) childOption {
	return func(c *exec.Cmd) {
		if os.Geteuid() == 0 {
			c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
		}
	}
}

// startChild starts a child; what it says first is "mounted" or an error.
func startChild(t testing.TB, dir string, options ...childOption) (*child, string) {
	needFUSE(t)
	c := &child{t: t, dir: dir, cmd: exec.Command("/proc/self/exe", "-test.run=^TestChildServes$")}
	c.cmd.Env = append(os.Environ(), childEnv+"="+dir)
	c.cmd.Stderr = os.Stderr
	c.cmd.Dir = "/"
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, o := range options {
		o(c.cmd)
	}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.lines = in, bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() {
		t.Errorf("the mount on %s hangs", dir)
		c.abort()
	})
	t.Cleanup(func() {
		late.Stop()
		c.abort()
		c.kill()
	})
	first := c.hear()
	if m, ok, _ := mountAt(dir); ok {
		_, c.conn, _ = strings.Cut(m.dev, ":")
	}
	return c, first
}

// serveAt is startChild for those who only want a mount.
func serveAt(t testing.TB, dir string, options ...childOption) *child {
	t.Helper()
	c, first := startChild(t, dir, options...)
	if first != "mounted" {
		t.Fatalf("child: %s", first)
	}
	return c
}

func serve(t testing.TB, options ...childOption) *child {
	t.Helper()
	return serveAt(t, pointFor(t, os.Geteuid()), options...)
}

// hear returns the child's next line.
func (c *child) hear() string {
	for c.lines.Scan() {
		if line, ok := strings.CutPrefix(c.lines.Text(), "child: "); ok {
			return line
		}
	}
	return "ended"
}

// tell sends a command and returns the answer.
func (c *child) tell(words ...string) string {
	fmt.Fprintln(c.in, strings.Join(words, " "))
	return c.hear()
}

func (c *child) number(words ...string) int {
	c.t.Helper()
	n, err := strconv.Atoi(c.tell(words...))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// eventually waits until the child answers a command with want.
func (c *child) eventually(want string, words ...string) {
	c.t.Helper()
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; runtime.Gosched() {
		if c.tell(words...) == want {
			return
		}
	}
	c.t.Fatalf("%v never became %s", words, want)
}

func (c *child) abort() {
	if c.conn != "" {
		os.WriteFile("/sys/fs/fuse/connections/"+c.conn+"/abort", []byte("1"), 0)
	}
}

// kill ends the child as kill -9 does, and leaves a dead mount.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

func (c *child) path(name string) string { return filepath.Join(c.dir, name) }

func (c *child) write(name, data string) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(data), 0o666); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) wantFile(name, want string) {
	c.t.Helper()
	if got, err := os.ReadFile(c.path(name)); err != nil || string(got) != want {
		c.t.Fatalf("%s holds %.40q (%v), want %.40q", name, got, err, want)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}
