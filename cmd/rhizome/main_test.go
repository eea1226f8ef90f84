package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// A result is what one run of the program did.
type result struct {
	code     int
	out, err string
}

// A user has an empty home directory, runs commands, and may be at a terminal.
type user struct {
	t        *testing.T
	dir      string
	terminal bool
	screen   *os.File // the terminal that stderr is; nil: none
	typed    string
}

func newUser(t *testing.T) *user { return &user{t: t, dir: t.TempDir()} }

func (u *user) home() string { return filepath.Join(u.dir, ".local/share/rhizome") }

func (u *user) run(args ...string) result {
	u.t.Helper()
	var out, errs bytes.Buffer
	env := func(key string) string { return map[string]string{"HOME": u.dir}[key] }
	std := stdio{in: strings.NewReader(u.typed), out: &out, err: &errs, inTerminal: u.terminal, outTerminal: u.terminal}
	if u.screen != nil {
		std.err, std.errTerminal = u.screen, true
	}
	code := run(u.t.Context(), args, std, env)
	return result{code, out.String(), errs.String()}
}

// serve gives the user's home a daemon with the routes that fill adds.
func (u *user) serve(daemonVersion string, fill func(*control.Server)) {
	u.t.Helper()
	if err := os.MkdirAll(u.home(), 0o700); err != nil {
		u.t.Fatal(err)
	}
	l, err := control.Listen(u.home())
	if err != nil {
		u.t.Fatal(err)
	}
	s := control.NewServer(daemonVersion, nil)
	fill(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	u.t.Cleanup(func() { cancel(); <-done })
}

func (r result) want(t *testing.T, code int, out, errs string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.out, out) || !strings.Contains(r.err, errs) {
		t.Errorf("exit code %d, want %d\nstdout (want %q):\n%s\nstderr (want %q):\n%s", r.code, code, out, r.out, errs, r.err)
	}
	if r.code != 0 && strings.Count(r.err, "\n") < 1 || strings.Contains(r.err, "\n\n") {
		t.Errorf("stderr is not lines: %q", r.err)
	}
}

func TestUsage(t *testing.T) {
	u := newUser(t)
	for _, args := range [][]string{
		{"no-such-command"}, {"identity", "no-such"}, {"--no-such-flag"}, {"status", "a", "b"}, {"identity", "new"},
		{"log", "-n", "x"}, {"log", "-n", "-1"}, {"version", "x"}, {"mount", "-o"}, {"mount", "--ready-fd", "99"},
	} {
		r := u.run(args...)
		r.want(t, exitUsage, "", "rhizome: ")
		if r.out != "" || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%q: an error is one line on stderr: %q %q", args, r.out, r.err)
		}
	}
	u.run().want(t, exitOK, "Usage:", "")
	u.run("identity").want(t, exitOK, "phrase", "")
	u.run("completion", "bash").want(t, exitOK, "rhizome", "")
	u.run("version").want(t, exitOK, "rhizome "+release, "")
}

func TestWithoutDaemon(t *testing.T) {
	u := newUser(t)
	for _, args := range [][]string{{"status"}, {"status", "/"}, {"log"}, {"identity", "new", "work"}, {"unmount"}} {
		u.run(args...).want(t, exitNoDaemon, "", "no daemon serves "+u.home()+"; start one with: rhizome mount")
	}
	u.run("status", "--home", "/x y").want(t, exitNoDaemon, "", "start one with: rhizome mount --home '/x y'")
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		exitOK:       nil,
		exitFailed:   errors.New("x"),
		exitUsage:    control.NewError(control.Usage, "x", ""),
		exitNoDaemon: control.NewError(control.NoDaemon, "x", ""),
		exitNotFound: &fs.PathError{Op: "open", Err: fs.ErrNotExist},
		exitInUse:    &fs.PathError{Op: "open", Err: syscall.EBUSY},
		exitDamaged:  control.Fail(control.Damaged, fs.ErrNotExist, ""),
		exitNoFUSE:   control.NewError(control.NoFUSE, "x", ""),
		exitRefused:  control.NewError(control.Refused, "x", ""),
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}

func sampleStatus() control.Status {
	s := control.Status{
		Mount: "/home/ann/Rhizome", Home: "/home/ann/.local/share/rhizome", PID: 4711, Version: version(),
		Started: time.Date(2026, 9, 3, 14, 3, 22, 0, time.UTC), Files: 1204, Bytes: 12 << 20, StoreSize: 13 << 20, DiskFree: 1 << 40,
		Events:     control.Events{Committed: 2017, Tentative: 3},
		Identities: []control.Identity{{Name: "me", ID: "did:key:z6Mk", HasPhrase: true}},
		Volumes: []control.Volume{
			{ID: "01", Label: "me", Identity: "me", Home: true, Files: 12, Bytes: 3172, Events: control.Events{Committed: 14}},
			{ID: "02", Label: "me/notes", Identity: "me", Files: 1192, Bytes: 12 << 20, Events: control.Events{Committed: 2003, Tentative: 3}},
		},
	}
	s.Sentence = control.Sentence(s)
	return s
}

func TestStatus(t *testing.T) {
	u := newUser(t)
	u.serve(version(), func(s *control.Server) {
		control.Handle(s, control.StatusRoute, func(context.Context, struct{}) (control.Status, error) { return sampleStatus(), nil })
		control.Handle(s, control.WhereRoute, func(_ context.Context, q control.WhereRequest) (control.Where, error) {
			if q.Path != control.Name(u.dir) {
				return control.Where{}, control.NewError(control.NotFound, q.Path.String()+" is not in the mount", "")
			}
			return control.Where{Identity: "me", Volume: "02"}, nil
		})
	})
	r := u.run("status")
	r.want(t, exitOK, "me/notes  1,192  12.0 MiB  2,006 (3 tentative)", "")
	if first, _, _ := strings.Cut(r.out, "\n"); first != "All 1,204 files are on this device only." {
		t.Errorf("first line: %q", first)
	}
	one := u.run("status", u.dir, "--json")
	one.want(t, exitOK, "", "")
	var s control.Status
	if err := json.Unmarshal([]byte(one.out), &s); err != nil || s.Files != 1192 || len(s.Volumes) != 1 || strings.Count(one.out, "\n") != 1 {
		t.Errorf("status of a volume: %v, %s", err, one.out)
	}
	u.run("status", "/").want(t, exitNotFound, "", "rhizome: / is not in the mount")
}

func TestOtherVersionIsSaid(t *testing.T) {
	u := newUser(t)
	u.serve("0.0.9", func(s *control.Server) {
		control.Handle(s, control.StatusRoute, func(context.Context, struct{}) (control.Status, error) { return sampleStatus(), nil })
	})
	u.run("status").want(t, exitOK, "All 1,204", "rhizome: the daemon is of version 0.0.9 and this command of version "+version())
	u.run("log").want(t, exitNotFound, "", "may be of different versions")
}

func TestLog(t *testing.T) {
	u := newUser(t)
	bytes := int64(5)
	u.serve(version(), func(s *control.Server) {
		control.HandleStream(s, control.LogRoute, func(_ context.Context, q control.LogRequest, out *control.Stream[control.LogEntry]) error {
			if q.Last != 2 {
				t.Errorf("question: %+v", q)
			}
			_ = out.Send(control.LogEntry{Who: "laptop", What: "edit", Path: "me/a\nb", Bytes: &bytes, Index: 3})
			return out.Send(control.LogEntry{Who: "laptop", What: "rename", Path: "me/x", To: "me/y\xff", Tentative: true})
		})
	})
	u.run("log", "-n", "2").want(t, exitOK, `laptop  edit     "me/a\nb" (5 B)`+"\n", "")
	u.run("log", "-n", "2").want(t, exitOK, `laptop  rename   me/x -> "me/y\xff" [tentative]`+"\n", "")
	r := u.run("log", "-n", "2", "--json")
	r.want(t, exitOK, `"to":{"base64":"bWUvef8="}`, "")
	if strings.Count(r.out, "\n") != 2 {
		t.Errorf("one JSON object a line: %q", r.out)
	}
}
