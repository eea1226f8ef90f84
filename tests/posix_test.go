package tests

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The users that scripts know. They share no group with root; alice and bob are both in group 3000.
var posixUsers = map[string]*syscall.Credential{
	"root":  {},
	"alice": {Uid: 2001, Gid: 2001, Groups: []uint32{2001, 3000}},
	"bob":   {Uid: 2002, Gid: 2002, Groups: []uint32{2002, 3000}},
	"carol": {Uid: 2003, Gid: 2003, Groups: []uint32{2003}},
}

// A stage is the mount and a tmpfs beside it, with an agent of each user on each; of root only if the mount lets nobody else in. Then
// root plays all parts.
type stage struct {
	r      *rig
	mount  string
	plain  string
	actors map[string][2]*actor
}

// An actor is an agent as seen from the test.
type actor struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func newStage(t *testing.T, options string, plainFlags uintptr) *stage {
	t.Helper()
	users := slices.Collect(maps.Keys(posixUsers))
	if !strings.Contains(options, "allow_other") {
		users = []string{"root"}
	}
	r := newRig(t).start("-o", "suid,dev,"+options)
	s := &stage{r: r, mount: r.me("posix"), plain: filepath.Join(r.user, "plain"), actors: map[string][2]*actor{}}
	if err := os.Chmod(r.user, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.plain, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("plain", s.plain, "tmpfs", plainFlags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(s.plain, unix.MNT_DETACH) })
	if err := os.Mkdir(s.mount, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range users {
		who := posixUsers[name]
		s.actors[name] = [2]*actor{s.actor(who), s.actor(who)}
	}
	return s
}

func (s *stage) actor(who *syscall.Credential) *actor {
	t := s.r.t
	t.Helper()
	cmd := s.r.command(context.Background(), "/proc/self/exe", "-test.run=^TestAgent$")
	cmd.Env = append(os.Environ(), agentEnv+"=1")
	cmd.Dir = "/"
	cmd.SysProcAttr.Credential = who
	cmd.Stderr = os.Stderr
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
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	return &actor{in, bufio.NewReader(out)}
}

func (a *actor) do(line string) string {
	if _, err := fmt.Fprintln(a.in, line); err != nil {
		return "the agent: " + err.Error()
	}
	res, err := a.out.ReadString('\n')
	if err != nil {
		return "the agent: " + err.Error()
	}
	return strings.TrimSuffix(res, "\n")
}

// both has a user make a call on the mount and on the tmpfs.
func (s *stage) both(user, line string) (got, want string) {
	a := s.actors[user]
	return a[0].do(line), a[1].do(line)
}

// base makes a directory on each side, in which a script begins, and has the users that it names enter it.
func (s *stage) base(t *testing.T, name, script string) {
	for i, top := range []string{s.mount, s.plain} {
		dir := filepath.Join(top, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		for user, a := range s.actors {
			if !strings.Contains(script, user+" ") && len(s.actors) > 1 {
				continue
			}
			if res := a[i].do("base " + dir); res != "ok" {
				t.Fatalf("%s can't enter %s: %s", user, dir, res)
			}
		}
	}
}

// tick waits until the kernel's coarse clock has moved on, so that what happens next has a later time.
func tick() {
	now := func() int64 {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts)
		return ts.Nano()
	}
	for begun := now(); now() == begun; {
		time.Sleep(500 * time.Microsecond)
	}
}

// TestPosix runs the scripts in testdata/posix on the mount and on a tmpfs: every call must have the same result. A script's line is
// a user, a call and its arguments. "= RESULT" behind a line says what is right where tmpfs differs. A line "for X in A B C" runs
// what follows once for each.
func TestPosix(t *testing.T) {
	t.Parallel()
	privately(t, func() { newStage(t, "allow_other", unix.MS_RELATIME).runScripts(t, "testdata/posix/*.txt") })
}

// TestPosixRootOnly has root run all lines of some of these scripts on a mount that is root's alone, where the kernel checks no permissions, and a
// script of what differs there.
func TestPosixRootOnly(t *testing.T) {
	t.Parallel()
	privately(t, func() {
		s := newStage(t, "", unix.MS_RELATIME)
		s.runScripts(t, "testdata/posix/[aex]*.txt") // where permissions count
		s.runScripts(t, "testdata/rootonly.txt")
	})
}

func (s *stage) runScripts(t *testing.T, pattern string) {
	scripts, err := filepath.Glob(pattern)
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s.runAll(t, strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
	}
}

// TestPosixAtime runs one script on mounts that differ in what reading changes.
func TestPosixAtime(t *testing.T) {
	t.Parallel()
	privately(t, func() {
		text, err := os.ReadFile("testdata/atime.txt")
		if err != nil {
			t.Fatal(err)
		}
		for options, flags := range map[string]uintptr{
			"relatime": unix.MS_RELATIME, "strictatime": unix.MS_STRICTATIME, "noatime": unix.MS_NOATIME,
			"relatime,nodiratime": unix.MS_RELATIME | unix.MS_NODIRATIME,
		} {
			newStage(t, "allow_other,"+options, flags).runAll(t, options, string(text))
		}
	})
}

// absent says whether a word is the name of a user whose part root plays.
func (s *stage) absent(name string) bool {
	_, known := posixUsers[name]
	return known && s.actors[name][0] == nil
}

// runAll runs the scripts of a file.
func (s *stage) runAll(t *testing.T, name, text string) {
	for i, part := range strings.Split(text, "\n---\n") {
		s.runFor(t, fmt.Sprintf("%s.%d", name, i), part)
	}
}

// runFor runs a script, once for each word if it begins with "for NAME in WORDS".
func (s *stage) runFor(t *testing.T, name, script string) {
	lines := strings.Split(script, "\n")
	for i, line := range lines {
		if w := strings.Fields(line); len(w) > 3 && w[0] == "for" {
			rest := strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "\n")
			for _, word := range w[3:] {
				if s.absent(word) {
					continue
				}
				s.runFor(t, name+"."+word, strings.ReplaceAll(rest, "$"+w[1], word))
			}
			return
		}
	}
	s.base(t, name, script)
	timed := strings.Contains(script, " changed ") || strings.Contains(script, " accessed ")
	for i, line := range lines {
		line, want, fixed := strings.Cut(line, " = ")
		w := strings.Fields(line)
		if len(w) < 2 || w[0] == "#" {
			continue
		}
		if s.absent(w[0]) {
			w[0] = "root"
		}
		if s.actors[w[0]][0] == nil {
			t.Fatalf("%s:%d: who is %q?", name, i+1, w[0])
		}
		if timed && w[1] != "changed" {
			tick()
		}
		got, plain := s.both(w[0], strings.Join(w[1:], " "))
		if !fixed {
			want = plain
		}
		if got != want {
			t.Errorf("%s:%d: %s\n\tmount %s\n\twant  %s", name, i+1, line, got, want)
		}
	}
}
