package tests

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptTime bounds all the stories together.
const scriptTime = rigBound

// TestScripts runs the stories in testdata/script: a new user, an empty home directory, the real binary and
// real mounts in processes of their own. Beyond testscript's commands they have those of scriptCommands.
func TestScripts(t *testing.T) {
	needFUSE(t)
	bin := filepath.Dir(binary(t))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Cmds:                scriptCommands,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(scriptTime), // a program that hangs is killed
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "user")
			env.Setenv("HOME", home)
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("STORE", filepath.Join(home, ".local/share/rhizome"))
			env.Setenv("TZ", "UTC")
			env.Values[holdKey{}] = new([]*os.File)
			env.Defer(func() { unmountBelow(t, env.WorkDir) })
			return os.MkdirAll(home, 0o755)
		},
	})
}

// unmountBelow takes away what a failed script left: mounts below dir, and the processes that were started
// with a path below it.
func unmountBelow(t *testing.T, dir string) {
	for _, p := range mountsBelow(dir) {
		if err := unmountLazily(p.dir); err != nil {
			t.Errorf("unmount %s: %v", p.dir, err)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range procs {
		words, err := os.ReadFile(file)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && strings.Contains(string(words), "\x00mount\x00") && strings.Contains(string(words), "\x00"+dir+"/") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"await":    scriptAwait,
	"code":     scriptCode,
	"hold":     scriptHold,
	"killed":   scriptKilled,
	"mode":     scriptMode,
	"ready":    scriptReady,
	"terminal": scriptTerminal,
}

// code N PROGRAM ARG... runs a program that must end with that exit code.
func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// hold FILE keeps a file open in the test's own process; its pid is $HOLDER. ! hold closes all.
func scriptHold(ts *testscript.TestScript, neg bool, args []string) {
	held, _ := ts.Value(holdKey{}).(*[]*os.File)
	if neg {
		for _, f := range *held {
			ts.Check(f.Close())
		}
		*held = nil
		return
	}
	if len(args) != 1 {
		ts.Fatalf("usage: hold file")
	}
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	*held = append(*held, f)
	ts.Setenv("HOLDER", strconv.Itoa(os.Getpid()))
}

type holdKey struct{}

// mode OCTAL FILE checks a file's permissions.
func scriptMode(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: mode octal file")
	}
	fi, err := os.Lstat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(fi.Mode().Perm()), 8); (got == args[0]) == neg {
		ts.Fatalf("%s has mode %s", args[1], got)
	}
}
