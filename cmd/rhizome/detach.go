package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// detach starts the daemon as a process of its own, in its own session, with its output in the log, and
// waits until it says through a pipe that the mount answers, or why not.
func (m *mounting) detach(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	logFile, err := m.rawLog()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	defer logFile.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	defer r.Close()
	const inChild = 3 // the first of ExtraFiles
	args := []string{"mount", "--home", m.homeDir, "--ready-fd", fmt.Sprint(inChild)}
	for _, o := range m.options {
		args = append(args, "-o", o)
	}
	child := exec.Command(self, append(args, "--", m.dir)...)
	child.Dir = "/" // the daemon holds no directory in use
	child.Stdout, child.Stderr = logFile, logFile
	child.ExtraFiles = []*os.File{w}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = child.Start()
	_ = w.Close()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Signal(syscall.SIGTERM) })
	defer stop()
	said, err := readReport(r)
	if err != nil {
		return m.diedEarly(child, err)
	}
	if said.Error != nil {
		_ = child.Wait()
		return said.Error
	}
	return m.tellDetached(ctx, *said.Mounted)
}

// tellDetached prints what the child said. The phrase never goes through the pipe: who shows it asks for it.
func (m *mounting) tellDetached(ctx context.Context, r mountedReport) error {
	var words control.Words
	if r.FirstRun != "" && m.outTerminal {
		p, err := m.phrase(ctx, r.FirstRun)
		if err != nil {
			return err
		}
		words = p.Words
	}
	userReporter{m}.mounted(r, words)
	return nil
}

// diedEarly explains a child that ended without a word.
func (m *mounting) diedEarly(child *exec.Cmd, err error) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("it ended without a word")
	}
	if wait := child.Wait(); wait != nil {
		err = fmt.Errorf("%w (%w)", err, wait)
	}
	return control.Fail(control.Failed, fmt.Errorf("start the daemon: %w", err), "see its log: "+m.logPath)
}

// rawLog opens the log for the child's own output: what the runtime prints when it panics.
func (m *mounting) rawLog() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(m.logPath), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(m.logPath, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// childReport is what the child says through the pipe, once: one JSON object.
type childReport struct {
	Mounted *mountedReport `json:"mounted,omitempty"`
	Error   *control.Error `json:"error,omitempty"`
}

func readReport(r io.Reader) (childReport, error) {
	var c childReport
	if err := json.NewDecoder(r).Decode(&c); err != nil {
		return c, err
	}
	if c.Mounted == nil && c.Error == nil {
		return c, io.EOF
	}
	return c, nil
}

// A parentReporter tells the parent that waits at the other end of the pipe.
type parentReporter struct{ pipe *os.File }

func (p parentReporter) mounted(r mountedReport, _ control.Words) { p.send(childReport{Mounted: &r}) }

func (p parentReporter) failed(err error) {
	p.send(childReport{Error: &control.Error{Code: control.CodeOf(err), Message: err.Error(), Hint: control.HintOf(err)}})
}

// send says r and hangs up. After the first time nobody listens.
func (p parentReporter) send(r childReport) {
	_ = json.NewEncoder(p.pipe).Encode(r)
	_ = p.pipe.Close()
}
