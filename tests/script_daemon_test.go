package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// storyTime bounds every wait in a story.
const storyTime = commandBound

// killed kills the daemon of the store ($STORE, or the directory given) with SIGKILL, and waits until it
// has ended; its pid was $DAEMON.
func scriptKilled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: killed [store]")
	}
	ts.Check(ts.Exec("rhizome", append([]string{"status", "--json", "--home"}, storeOr(ts, args))...))
	var status struct {
		PID int `json:"pid"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &status))
	fd, err := unix.PidfdOpen(status.PID, 0)
	ts.Check(err)
	defer unix.Close(fd)
	ts.Check(syscall.Kill(status.PID, syscall.SIGKILL))
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, int(storyTime.Milliseconds())); n != 1 {
		ts.Fatalf("daemon %d doesn't end: %v", status.PID, err)
	}
	ts.Setenv("DAEMON", strconv.Itoa(status.PID))
}

// ready waits until the daemon of the store ($STORE, or the directory given) answers.
func scriptReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: ready [store]")
	}
	until(ts, "a daemon answers", func() bool {
		return ts.Exec("rhizome", "status", "--home", storeOr(ts, args)) == nil
	})
}

// await PATTERN FILE waits until a line of a file matches.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await pattern file")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	until(ts, args[0]+" is in "+args[1], func() bool {
		text, err := os.ReadFile(ts.MkAbs(args[1]))
		return err == nil && pattern.Match(text)
	})
}

// until looks again and again whether other processes have come so far.
func until(ts *testscript.TestScript, what string, so func() bool) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for start := time.Now(); !so(); <-look.C {
		if time.Since(start) > storyTime {
			ts.Fatalf("not within %v: %s", storyTime, what)
		}
	}
}

func storeOr(ts *testscript.TestScript, args []string) string {
	if len(args) == 1 {
		return ts.MkAbs(args[0])
	}
	return ts.Getenv("STORE")
}

// terminal PROGRAM ARG... runs a program at a terminal of its own; what it printed there is in the file
// "screen". Its exit code must be 0.
func scriptTerminal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: terminal program args...")
	}
	screen, keyboard, err := openTerminal()
	ts.Check(err)
	path, err := exec.LookPath(args[0])
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), ":") {
		if _, statErr := os.Stat(dir + "/" + args[0]); statErr == nil {
			path, err = dir+"/"+args[0], nil
			break
		}
	}
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"HOME=" + ts.Getenv("HOME"), "PATH=" + ts.Getenv("PATH"), "TERM=dumb"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = keyboard, keyboard, keyboard
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(cmd.Start())
	_ = keyboard.Close()
	var printed []byte
	buf := make([]byte, 4096)
	for { // EIO when the last process at the terminal has gone
		n, err := screen.Read(buf)
		printed = append(printed, buf[:n]...)
		if err != nil {
			break
		}
	}
	_ = screen.Close()
	err = cmd.Wait()
	ts.Logf("[screen]\n%s", printed)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("screen"), []byte(strings.ReplaceAll(string(printed), "\r\n", "\n")), 0o600))
}

// openTerminal makes a pseudo-terminal (pty(7)).
func openTerminal() (screen, keyboard *os.File, err error) {
	screen, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	keyboard, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	return screen, keyboard, err
}
