package tests

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// workEnv names the directory of a run of the tests, where the binary is. Children of the tests find it set.
const workEnv = "RHIZOME_TESTS_WORK"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runIn(m))
}

func runIn(m *testing.M) int {
	if os.Getenv(workEnv) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "rhizome-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Setenv(workEnv, dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// binary is the program, built once in a run of the tests.
func binary(t testing.TB) string {
	t.Helper()
	path := filepath.Join(os.Getenv(workEnv), "rhizome")
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValue(func() error {
	path := filepath.Join(os.Getenv(workEnv), "rhizome")
	if _, err := os.Stat(path); err == nil {
		return nil // the test that this one is a child of built it
	}
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "../cmd/rhizome")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
})

// seeded is the seed that a test draws from: the one that it is told (told, by -NAME-seed), a new one if it has a budget of its own
// (seconds, by -NAME), and else always the everyday one.
func seeded(t *testing.T, name string, everyday, told uint64, seconds int) uint64 {
	t.Helper()
	seed := everyday
	switch {
	case told != 0:
		seed = told
	case seconds > 0:
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: replay with -args -%s %d -%s-seed %d", seed, name, seconds, name, seed)
	return seed
}

// inCI says that nothing may be left out.
func inCI() bool { return os.Getenv("CI") != "" }

// missing gives a test up on a laptop, and fails it in CI.
func missing(t testing.TB, what string) {
	t.Helper()
	if inCI() {
		t.Fatalf("there is no %s", what)
	}
	t.Skipf("there is no %s", what)
}

func needFUSE(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, "/dev/fuse")
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root, who may make namespaces and file systems")
	}
}

func needPrograms(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name)
		}
	}
}

// privately runs the body in a child of this test that has a mount namespace of its own, so that it can take away or
// replace what the machine has.
func privately(t *testing.T, body func()) {
	t.Helper()
	needFUSE(t)
	needRoot(t)
	const env = "RHIZOME_TESTS_PRIVATE"
	if os.Getenv(env) == t.Name() {
		body()
		return
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v",
		fmt.Sprint("-crash=", *crashSeconds))
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			cmd.Args = append(cmd.Args, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	cmd.Env = append(os.Environ(), env+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in its own namespace: %v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("it did not run in its own namespace:\n%s", out)
	}
}

// openFUSE gives every user of this namespace a /dev/fuse, as most machines do.
func openFUSE(t testing.TB) {
	t.Helper()
	dev := filepath.Join(t.TempDir(), "fuse")
	err := errors.Join(unix.Mknod(dev, unix.S_IFCHR, int(unix.Mkdev(10, 229))), os.Chmod(dev, 0o666), bind(dev, "/dev/fuse"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmountLazily("/dev/fuse") })
}

func bind(from, to string) error { return unix.Mount(from, to, "", unix.MS_BIND, "") }

// A point is a mount as /proc/self/mountinfo lists it.
type point struct{ dir, minor, options string }

// mountsBelow lists what is mounted at dir or below, the last first. It touches none of it.
func mountsBelow(dir string) []point {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var all []point
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[4] != dir && !strings.HasPrefix(f[4], dir+"/") {
			continue
		}
		_, minor, _ := strings.Cut(f[2], ":")
		all = append([]point{{f[4], minor, f[5] + "," + f[len(f)-1]}}, all...)
	}
	return all
}

// unmountLazily takes a mount away, dead or alive. An ordinary user asks fusermount3 to.
func unmountLazily(dir string) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(dir, unix.MNT_DETACH)
	}
	return exec.Command("fusermount3", "-u", "-z", dir).Run()
}

// output gathers what several writers print.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tail is the end of a long text.
func tail(s string) string {
	const most = 3 << 10
	if len(s) > most {
		return "...\n" + s[len(s)-most:]
	}
	return s
}

// write makes a file with that content.
func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantFile fails unless the file at path has that content.
func wantFile(t testing.TB, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Fatalf("%s: %d bytes that are not the %d that were written", path, len(got), len(content))
	}
}

// filesBelow lists the regular files below dir.
func filesBelow(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
