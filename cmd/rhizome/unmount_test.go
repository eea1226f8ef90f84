package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/control"
)

func TestUnmountNamesHolders(t *testing.T) {
	u := newUser(t)
	u.serve(version(), func(s *control.Server) {
		control.Handle(s, control.StatusRoute, func(context.Context, struct{}) (control.Status, error) { return sampleStatus(), nil })
		control.Handle(s, control.UnmountRoute, func(_ context.Context, q control.UnmountRequest) (control.UnmountAnswer, error) {
			return control.UnmountAnswer{Holders: []control.Holder{{PID: 77, Command: "vim", Paths: []control.Name{"/m/a.md"}}}}, nil
		})
	})
	r := u.run("unmount")
	r.want(t, exitInUse, "", "rhizome: pid 77 (vim) uses:\n    /m/a.md\n")
	r.want(t, exitInUse, "", "in use by 1 program; close them, or use --force; nothing was changed\n")
	u.run("unmount", "--json").want(t, exitInUse, `{"pid":77,"command":"vim","paths":["/m/a.md"]}`, "")
	u.run("unmount", "/elsewhere").want(t, exitNotFound, "", "/elsewhere is not this store's mount; that is /home/ann/Rhizome")
}

func TestWaitForAnotherProcess(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := openProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.wait(ctx); err != context.Canceled {
		t.Errorf("wait while it runs: %v", err)
	}
	_ = in.Close()
	if err := p.wait(t.Context()); err != nil { // a zombie has ended
		t.Errorf("wait: %v", err)
	}
	_ = cmd.Wait()
	if p, err := openProcess(cmd.Process.Pid); p != nil || err != nil {
		t.Errorf("open of an ended process: %v, %v", p, err)
	}
}

func TestSDNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := &app{getenv: func(string) string { return path }}
	a.sdNotify("READY=1")
	b := make([]byte, 64)
	if n, err := l.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

func TestUnitFile(t *testing.T) {
	text := unit{program: "/opt/my programs/rhizome", home: "/h/100%", dir: `/h/a"b$c`, options: []string{"ro", "noatime"}}.String()
	want := `ExecStart="/opt/my programs/rhizome" mount --home /h/100%% -o ro -o noatime -- "/h/a\"b$$c"` + "\n"
	if !strings.Contains(text, want) {
		t.Errorf("want %s in\n%s", want, text)
	}
}

func TestServiceWithoutSystemd(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	u := newUser(t)
	r := u.run("service", "install")
	r.want(t, exitOK, "there is no systemctl here", "")
	r.want(t, exitOK, "systemctl --user enable --now rhizome.service", "")
	path := filepath.Join(u.dir, ".config/systemd/user/rhizome.service")
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "--home "+u.home()+" -- "+u.dir+"/Rhizome\n") {
		t.Errorf("unit: %v\n%s", err, text)
	}
	u.run("service", "install").want(t, exitOK, "Wrote", "") // its own unit it replaces
	u.run("service", "uninstall").want(t, exitOK, "Removed", "")
	u.run("service", "uninstall").want(t, exitNotFound, "", "not installed")
	if err := os.WriteFile(path, []byte("[Unit]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	u.run("service", "install").want(t, exitFailed, "", "was not written by rhizome; move it away first")
	u.run("service", "uninstall").want(t, exitFailed, "", "was not written by rhizome")
}

func TestPaths(t *testing.T) {
	env := map[string]string{"HOME": "/home/ann"}
	a := &app{getenv: func(k string) string { return env[k] }}
	check := func(want string, got string, err error) {
		t.Helper()
		if got != want || err != nil {
			t.Errorf("got %q, want %q (%v)", got, want, err)
		}
	}
	home := func(want string) { t.Helper(); got, err := a.home(); check(want, got, err) }
	home("/home/ann/.local/share/rhizome")
	log, err := a.logFile("/home/ann/.local/share/rhizome")
	check("/home/ann/.local/state/rhizome/rhizome.log", log, err)
	log, err = a.logFile("/other")
	if err != nil || log == "/home/ann/.local/state/rhizome/rhizome.log" {
		t.Errorf("two stores share the log %s (%v)", log, err)
	}
	env["XDG_DATA_HOME"] = "relative is ignored"
	home("/home/ann/.local/share/rhizome")
	env["XDG_DATA_HOME"] = "/data"
	home("/data/rhizome")
	env["RHIZOME_HOME"] = "/r"
	home("/r")
	a.homeFlag = "/flag"
	home("/flag")
	delete(env, "HOME")
	if _, err := a.mountDir(nil); exitCode(err) != exitUsage {
		t.Errorf("without $HOME: %v", err)
	}
}
