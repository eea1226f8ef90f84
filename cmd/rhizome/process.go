package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// keepSecretsInMemory forbids core dumps, which would hold keys: the limit alone doesn't stop a kernel that
// pipes them to a program. Failing is no reason not to mount.
func keepSecretsInMemory() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// supervised reports whether systemd started this process and waits for its word.
func (a *app) supervised() bool { return a.getenv("NOTIFY_SOCKET") != "" }

// sdNotify tells systemd (sd_notify(3)); without one it does nothing.
func (a *app) sdNotify(state string) {
	socket := a.getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}

// A process is another process, held by a descriptor so that its number can't come to mean a new one.
type process struct{ pid, fd int }

// openProcess returns nil if pid has ended already, or is not to be seen from here (0).
func openProcess(pid int) (*process, error) {
	if pid <= 0 {
		return nil, nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return &process{pid: pid, fd: fd}, nil
}

// wait returns when the process has ended, or with ctx's error.
func (p *process) wait(ctx context.Context) error {
	if p == nil {
		return nil
	}
	const look = 200 * time.Millisecond // how late a cancelled ctx may be noticed
	for {
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(look.Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for process %d: %w", p.pid, err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

func (p *process) close() {
	if p != nil {
		_ = unix.Close(p.fd)
	}
}
