package mount

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// fusermount runs fuse3's set-uid program and returns what it complained of.
func fusermount(comm *os.File, args ...string) error {
	bin, err := exec.LookPath("fusermount3")
	if err != nil {
		bin, err = exec.LookPath("/usr/bin/fusermount3") // the PATH of a service may be bare
	}
	if err != nil {
		return ErrNoFusermount
	}
	var said strings.Builder
	cmd := exec.Command(bin, args...)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stderr = &said
	if comm != nil {
		cmd.ExtraFiles = []*os.File{comm}
		cmd.Env = append(cmd.Env, "_FUSE_COMMFD=3")
	}
	if err := cmd.Run(); err != nil {
		if msg := strings.TrimSpace(said.String()); msg != "" {
			return errors.New(msg)
		}
		return fmt.Errorf("fusermount3: %w", err)
	}
	return nil
}

// mountSetuid mounts as an ordinary user: fusermount3 opens /dev/fuse, mounts it, and sends the descriptor back.
func mountSetuid(dir string, o *Options) (fd int, err error) {
	// fusermount3 opens it with the rights of who calls it.
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil {
		return -1, fmt.Errorf("%w: %w", ErrNoFUSE, err)
	}
	if o.AllowOther && !userAllowOther() {
		return -1, ErrAllowOther
	}
	words, err := o.fusermountWords()
	if err != nil {
		return -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "fusermount3's end")
	err = fusermount(theirs, "-o", words, "--", dir)
	theirs.Close()
	if err != nil {
		return -1, err
	}
	fd, err = receiveFD(pair[0])
	if err != nil {
		return -1, errors.Join(fmt.Errorf("descriptor from fusermount3: %w", err), lazyUnmount(dir))
	}
	return fd, nil
}

// receiveFD takes the one descriptor that comes with a byte on a socket.
func receiveFD(sock int) (int, error) {
	one, room := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	var n int
	err := ignoringEINTR(func() (err error) {
		_, n, _, _, err = unix.Recvmsg(sock, one, room, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(room[:n])
	if err != nil {
		return -1, err
	}
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return -1, errors.New("none was sent")
}

// userAllowOther reads fuse.conf as fusermount3 does. A file that may not be read is left for fusermount3 to judge.
func userAllowOther() bool {
	conf, err := os.ReadFile("/etc/fuse.conf")
	if err != nil {
		return !errors.Is(err, iofs.ErrNotExist)
	}
	for line := range strings.Lines(string(conf)) {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "user_allow_other" {
			return true
		}
	}
	return false
}
