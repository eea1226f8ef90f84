package main

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// A daemon that panics writes no core, which would hold keys. It leaves the stacks of its goroutines in a file beside its log, and
// the next start (or doctor) makes a report of them that may be shown to anybody: stacks without arguments, and of
// the panic's own text only what the runtime says.
const (
	rawCrash    = ".crash-raw" // what the runtime writes; arguments may be bytes of anything
	crashReport = ".crash"
)

func crashFile(logPath, suffix string) string { return strings.TrimSuffix(logPath, ".log") + suffix }

// recordCrashes has the runtime write to a file if this process crashes, and end it by a signal: the exit code of a Go
// panic is that of bad usage, after which a service is not started again.
func (m *mounting) recordCrashes(log *slog.Logger) (stop func()) {
	debug.SetTraceback("crash")
	path := crashFile(m.logPath, rawCrash)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = debug.SetCrashOutput(f, debug.CrashOptions{})
		_ = f.Close()
	}
	if err != nil {
		log.Warn("a crash would not be recorded", "err", err)
	}
	return func() {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		_ = os.Remove(path)
	}
}

// lastCrash returns where the report of the last crash is, or "". It makes it if the crash has not been reported yet.
func lastCrash(logPath string) (string, error) {
	raw, report := crashFile(logPath, rawCrash), crashFile(logPath, crashReport)
	text, err := os.ReadFile(raw)
	if err == nil && len(text) > 0 {
		info, err := os.Stat(raw)
		if err != nil {
			return "", err
		}
		head := fmt.Sprintf("rhizome %s crashed at %s\n\n", version(), info.ModTime().UTC().Format("2006-01-02 15:04:05 UTC"))
		if err := os.WriteFile(report, []byte(head+presentable(string(text))), 0o600); err != nil {
			return "", fmt.Errorf("write crash report: %w", err)
		}
		if err := os.Remove(raw); err != nil {
			return "", fmt.Errorf("write crash report: %w", err)
		}
	}
	if _, err := os.Stat(report); err != nil {
		return "", nil
	}
	return report, nil
}

var (
	crashCause = regexp.MustCompile(`^(panic: runtime error: |fatal error: |SIG[A-Z]+: |\[signal SIG)`)
	crashPlace = regexp.MustCompile(`^\t.*?([^/\s]+/[^/\s]+\.go:\d+)`)
	crashFrame = regexp.MustCompile(`^((?:created by )?[\w./*()\[\]·%@~-]+?)\([^()]*\)$`)
	crashOther = regexp.MustCompile(`^(goroutine \d+ .*\[.*\]:|created by [\w./*()\[\]·%@~-]+( in goroutine \d+)?|)$`)
)

// presentable keeps of a crash what may be shown to strangers: no line is kept that is not known to be harmless.
func presentable(raw string) string {
	var b strings.Builder
	for line := range strings.Lines(raw) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case crashCause.MatchString(line), crashOther.MatchString(line):
			b.WriteString(line)
		case strings.HasPrefix(line, "panic: "):
			b.WriteString("panic: (text left out)")
		case crashPlace.MatchString(line):
			b.WriteString("\t" + crashPlace.FindStringSubmatch(line)[1])
		case crashFrame.MatchString(line):
			b.WriteString(crashFrame.FindStringSubmatch(line)[1] + "(...)")
		default:
			continue
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// checkCrash tells of the last crash.
func checkCrash(logPath string) control.Check {
	c := control.Check{Name: "crashes", State: control.OK, Detail: "none"}
	report, err := lastCrash(logPath)
	switch {
	case err != nil:
		c.State, c.Detail = control.Warn, err.Error()
	case report != "":
		c.State, c.Detail = control.Warn, "the daemon crashed: "+control.Name(report).String()
		c.Hint = "send that report, which holds no names, contents or keys, to the makers; then remove it"
		c.Facts = map[string]string{"crashed": "yes"}
	}
	return c
}
