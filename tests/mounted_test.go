package tests

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/internal/control"
)

const (
	// commandBound is when a command that should take a moment counts as hung.
	commandBound = 90 * time.Second
	// rigBound is when a whole test does: its daemon is killed, and with it whatever waits on the mount.
	rigBound = 4 * time.Minute
)

// A rig is one user: a home directory, a store, a mount, and the daemon that serves it as a child of the test. Nothing that
// goes wrong in it can hang the test, or leave a mount or a process behind.
type rig struct {
	t     testing.TB
	user  string // $HOME; all the rest is below
	home  string // the store
	mnt   string
	state string // where logs go
	env   []string
	who   *syscall.Credential // nil: as the test
	whole *rig                // whose daemon it is, if it is only a part
	watch *time.Timer         // ends what takes too long

	mu     sync.Mutex
	daemon *exec.Cmd
	ended  chan struct{} // closed when daemon has ended and was waited for
	said   output        // what every daemon printed after its first line, and its errors
}

// newRig makes a user with an empty home directory.
func newRig(t testing.TB) *rig {
	t.Helper()
	needFUSE(t)
	program := binary(t)
	user, err := os.MkdirTemp("", "rhizome-user-") // not t.TempDir: a mount left there would fail its cleanup
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, user: user, home: filepath.Join(user, "store"), mnt: filepath.Join(user, "Rhizome"),
		state: filepath.Join(user, "state", "rhizome"),
	}
	r.env = append(os.Environ(), "HOME="+user, "XDG_STATE_HOME="+filepath.Dir(r.state), "RHIZOME_HOME="+r.home,
		"PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "TZ=UTC", "LANG=C.UTF-8", "M="+r.me())
	t.Cleanup(r.clean)
	r.watch = time.AfterFunc(rigBound, func() { r.abort("the test takes too long") })
	t.Cleanup(func() { r.watch.Stop() })
	return r
}

// bound gives the test so long from now.
func (r *rig) bound(d time.Duration) { r.watch.Reset(d) }

// in is the same user in another test, a part of r's.
func (r *rig) in(t testing.TB) *rig {
	return &rig{t: t, whole: r, user: r.user, home: r.home, mnt: r.mnt, state: r.state, env: r.env, who: r.who}
}

// me is a path below the first identity's directory.
func (r *rig) me(elem ...string) string {
	return filepath.Join(append([]string{r.mnt, "me"}, elem...)...)
}

// start mounts and returns when the mount answers.
func (r *rig) start(args ...string) *rig {
	r.t.Helper()
	cmd := r.command(context.Background(), "rhizome", append(append([]string{"mount", "--json"}, args...), r.mnt)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stderr = &r.said
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	r.mu.Lock()
	r.daemon, r.ended = cmd, ended
	r.mu.Unlock()
	watch := time.AfterFunc(commandBound, func() { r.abort("the mount does not begin to answer") })
	defer watch.Stop()
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(&r.said, lines)
		_ = cmd.Wait()
		close(ended)
	}()
	if err != nil || !json.Valid([]byte(first)) {
		r.kill()
		r.t.Fatalf("mount said %q: %v\n%s", first, err, &r.said)
	}
	_, _ = io.WriteString(&r.said, first)
	return r
}

// pid is the daemon's.
func (r *rig) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.daemon == nil {
		r.t.Fatal("no daemon runs")
	}
	return r.daemon.Process.Pid
}

// end sends the daemon a signal, and returns how it ended.
func (r *rig) end(sig syscall.Signal) *os.ProcessState {
	r.mu.Lock()
	cmd, ended := r.daemon, r.ended
	r.daemon = nil
	r.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(sig)
	late := time.AfterFunc(commandBound, func() {
		r.t.Errorf("the daemon does not end on %v", sig)
		_ = cmd.Process.Kill()
	})
	defer late.Stop()
	<-ended
	return cmd.ProcessState
}

// kill kills the daemon with SIGKILL. The dead mount stays.
func (r *rig) kill() { r.end(syscall.SIGKILL) }

// stop ends the daemon as a person would, and fails the test unless all went well.
func (r *rig) stop() {
	r.t.Helper()
	if s := r.end(syscall.SIGTERM); s == nil || s.ExitCode() != 0 {
		r.t.Fatalf("the daemon ended with %v\n%s", s, &r.said)
	}
}

// abort ends what hangs: the kernel fails every request of a connection whose daemon is gone.
func (r *rig) abort(why string) {
	if r.whole != nil {
		r.whole.abort(why)
		return
	}
	r.mu.Lock()
	cmd := r.daemon
	r.mu.Unlock()
	if cmd == nil {
		return
	}
	r.t.Errorf("aborted: %s", why)
	for _, p := range mountsBelow(r.user) {
		_ = os.WriteFile("/sys/fs/fuse/connections/"+p.minor+"/abort", []byte("1"), 0)
	}
	_ = cmd.Process.Kill()
}

// clean ends the daemon, takes its mounts away and removes everything.
func (r *rig) clean() {
	r.kill()
	for _, p := range mountsBelow(r.user) {
		if err := unmountLazily(p.dir); err != nil {
			r.t.Errorf("unmount %s: %v", p.dir, err)
		}
	}
	if r.t.Failed() {
		r.t.Logf("the daemon said:\n%s%s", tail(r.said.String()), tail(r.logs()))
	}
	if err := os.RemoveAll(r.user); err != nil {
		r.t.Errorf("clean up: %v", err)
	}
}

// logs is what is in the log files.
func (r *rig) logs() string {
	var all strings.Builder
	names, _ := filepath.Glob(filepath.Join(r.state, "*"))
	for _, name := range names {
		b, _ := os.ReadFile(name)
		all.Write(b)
	}
	return all.String()
}

// command prepares a program of this user, killed with its children at ctx's end, and with the test.
func (r *rig) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if name == "rhizome" {
		name = binary(r.t)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = r.env, r.user
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Credential: r.who}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// A result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
	err            error
}

// run runs a program to its end.
func (r *rig) run(dir, name string, args ...string) result {
	r.t.Helper()
	return r.runWithin(commandBound, dir, name, args...)
}

// runWithin is run for what may take so long.
func (r *rig) runWithin(bound time.Duration, dir, name string, args ...string) result {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	cmd := r.command(ctx, name, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		r.abort(fmt.Sprintf("%s %q hangs", name, args))
		r.t.Fatalf("%s %q does not end\n%s%s", name, args, &stdout, &stderr)
	}
	res := result{stdout: stdout.String(), stderr: stderr.String(), err: err}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		res.code = exit.ExitCode()
	} else if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	return res
}

// rhizome runs a command of ours.
func (r *rig) rhizome(args ...string) result {
	r.t.Helper()
	return r.run(r.user, "rhizome", args...)
}

// sh runs a script that must succeed, in dir, and returns what it printed. $M is the first identity's directory.
func (r *rig) sh(dir, script string) string {
	r.t.Helper()
	return r.shWithin(commandBound, dir, script)
}

// shWithin is sh for what may take so long.
func (r *rig) shWithin(bound time.Duration, dir, script string) string {
	r.t.Helper()
	res := r.runWithin(bound, dir, "sh", "-euc", script)
	if res.err != nil {
		r.t.Fatalf("%s\n%v\n%s%s", script, res.err, tail(res.stdout), tail(res.stderr))
	}
	return res.stdout
}

// status is what the daemon says of itself.
func (r *rig) status() control.Status {
	r.t.Helper()
	var s control.Status
	res := r.rhizome("status", "--json")
	if err := errors.Join(res.err, json.Unmarshal([]byte(res.stdout), &s)); err != nil {
		r.t.Fatalf("status: %v\n%s", err, res.stderr)
	}
	return s
}
