package main

import (
	"context"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// watch runs a command whose stderr is a terminal, and returns what was written there.
func (u *user) watch(args ...string) (result, string) {
	u.t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		u.t.Fatal(err)
	}
	defer master.Close()
	shown := make(chan string)
	go func() {
		b, _ := io.ReadAll(master) // ends with EIO when nobody has the other end any more
		shown <- string(b)
	}()
	u.screen = slave
	r := u.run(args...)
	u.screen = nil
	slave.Close()
	return r, <-shown
}

// A terminal shows of each step how far it is, how fast, and how long it will take yet; at the end nothing of it is left. Who is no
// terminal sees nothing, nor does who wants JSON.
func TestProgressOnATerminal(t *testing.T) {
	u := newUser(t)
	sealing := control.Progress{What: "sealing"}
	copying := control.Progress{What: "copying", Done: 1 << 29, Total: 1 << 30}
	counted := control.Progress{What: "counting", Unit: control.Files, Done: 70_000, Total: 100_000}
	u.serve(version(), func(s *control.Server) {
		control.HandleStream(s, control.BackupRoute, func(_ context.Context, _ control.BackupRequest, out *control.Stream[control.BackupEvent]) error {
			_ = out.Send(control.BackupEvent{Progress: &sealing})
			_ = out.Send(control.BackupEvent{Progress: &copying})
			return out.Send(control.BackupEvent{Result: &control.BackupResult{Identity: "me", Dir: "/b"}})
		})
		control.HandleStream(s, control.ExportRoute, func(_ context.Context, q control.ExportRequest, out *control.Stream[control.ExportEvent]) error {
			_ = out.Send(control.ExportEvent{Progress: &counted})
			_ = out.Send(control.ExportEvent{Progress: &copying})
			return out.Send(control.ExportEvent{Result: &control.ExportResult{Path: q.Path, To: q.Dir}})
		})
		control.HandleStream(s, control.VerifyRoute, func(_ context.Context, _ control.VerifyRequest, out *control.Stream[control.VerifyStep]) error {
			_ = out.Send(control.VerifyStep{Done: 1 << 29, Total: 1 << 30})
			return out.Send(control.VerifyStep{Report: &control.VerifyReport{Clean: true}})
		})
	})
	const bytes = `50% \|█+ +\| \(512 MiB/1\.0 GiB, .*B/s\) \[\d+s:\d+s\]`
	for _, c := range []struct {
		args []string
		show []string
	}{
		{[]string{"backup", "/b"}, []string{"backup: sealing", "backup: copying +" + bytes}},
		{[]string{"export", "/x", "--dir", "/y"}, []string{`export: counting +70% .*\(70000/100000, \d+ files/s\) \[\d+s:\d+s\]`, "export: copying +" + bytes}},
		{[]string{"verify"}, []string{"verify +" + bytes}},
	} {
		r, screen := u.watch(c.args...)
		r.want(t, exitOK, "", "")
		for _, want := range c.show {
			if !regexp.MustCompile(want).MatchString(screen) {
				t.Errorf("%v showed %q, want %s", c.args, screen, want)
			}
		}
		lines := strings.Split(screen, "\r")
		if last := lines[len(lines)-1]; last != "" || len(lines) < 3 || strings.TrimSpace(lines[len(lines)-2]) != "" {
			t.Errorf("%v left on the screen: %q", c.args, screen)
		}
		if r := u.run(c.args...); r.err != "" {
			t.Errorf("%v: no terminal, and %q", c.args, r.err)
		}
		if _, screen := u.watch(append(c.args, "--json")...); screen != "" {
			t.Errorf("%v --json showed %q", c.args, screen)
		}
	}
}
