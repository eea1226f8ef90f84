package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// SocketName is the control socket's name within a home.
const SocketName = "control.sock"

// maxSocketPath is what surely fits sun_path, which holds 108 bytes.
const maxSocketPath = 100

// address returns what bind and connect take for the socket of home, for both sides. The socket is always
// in the home: if its path is too long for the kernel's sockaddr, it is named through an open directory.
// release ends the address's life.
func address(home string) (addr string, release func(), err error) {
	path := filepath.Join(home, SocketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	fd, err := unix.Open(home, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: home, Err: err}
	}
	addr = filepath.Join("/proc/self/fd", strconv.Itoa(fd), SocketName)
	return addr, func() { _ = unix.Close(fd) }, nil
}

// Listen makes the socket of home. The caller holds the home's lock, so that a socket that is there
// already was left by a dead daemon, and is replaced. Connections of other users than ours and root's are
// closed at once.
func Listen(home string) (net.Listener, error) {
	addr, release, err := address(home)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	defer release()
	if err := os.Remove(addr); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: addr, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	// The address may name a directory that is closed by then: remove ends through the home instead.
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(addr, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), l.Close())
	}
	return &ownListener{UnixListener: l, path: filepath.Join(home, SocketName), uid: uint32(os.Getuid())}, nil
}

// An ownListener accepts connections of its own user and of root alone.
type ownListener struct {
	*net.UnixListener
	path string
	uid  uint32
}

func (l *ownListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if peer, err := peerOf(c); err == nil && (peer.Uid == l.uid || peer.Uid == 0) {
			return c, nil
		}
		_ = c.Close()
	}
}

// Close stops listening and removes the socket.
func (l *ownListener) Close() error {
	_ = os.Remove(l.path)
	return l.UnixListener.Close()
}

// peerOf asks the kernel who is at the other end of c: for an accepted connection the process that
// connected, for a dialled one the process that listens.
func peerOf(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cred, errors.Join(err, inner)
}
