package mount

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Conn is one mount and the connection to the kernel behind it.
//
// Mount makes it, Serve answers the kernel until the mount is gone, Unmount or Detach (or umount(8), from anywhere)
// ends it. All methods may be called at any time and from any goroutine, but never from a handler, except MayBlock
// and the Notify methods.
type Conn struct {
	dir     string
	mount   mounted
	opts    Options
	log     *slog.Logger
	private bool // root's alone: the kernel checks no permissions, see rootOnly

	loop    *loop
	notes   *notifier
	serving atomic.Bool   // Serve was called, or never may be any more
	tooLate atomic.Bool   // the mount was taken back before Serve was called
	done    chan struct{} // closed when Serve is over, or the connection was closed unserved
}

// Mount mounts an empty directory and returns its connection; nothing on it answers before Serve runs. Root calls
// mount(2), everybody else fusermount3. A mount of ours whose daemon has died is taken away first.
//
// Errors: ErrNotDir, ErrNotEmpty, ErrNotOwner, ErrMounted (a *MountedError), ErrNoFUSE, ErrNoFusermount,
// ErrAllowOther, *OptionError, fs.ErrNotExist.
func Mount(dir string, o Options) (*Conn, error) {
	c, err := mountConn(dir, o)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	return c, nil
}

func mountConn(dir string, o Options) (*Conn, error) {
	dir, err := resolve(dir)
	if err != nil {
		return nil, pathCause(err)
	}
	if err := clearDead(dir, o.logger()); err != nil {
		return nil, err
	}
	mode, err := checkPoint(dir)
	if err != nil {
		return nil, err
	}
	var fd int
	private := isPrivate(&o)
	if os.Geteuid() == 0 {
		fd, err = mountDirect(dir, mode, &o, private)
	} else {
		fd, err = mountSetuid(dir, &o)
	}
	if err != nil {
		return nil, err
	}
	c, err := newConn(dir, fd, o)
	if err != nil {
		unix.Close(fd)
		return nil, errors.Join(err, lazyUnmount(dir))
	}
	c.private = private
	return c, nil
}

func newConn(dir string, fd int, o Options) (*Conn, error) {
	m, ok, err := mountAt(dir)
	if err != nil {
		return nil, err
	}
	if !ok || m.fsType != fsType {
		return nil, ErrNotMounted
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("set non-blocking: %w", err)
	}
	l, err := newLoop(fd, o.logger())
	if err != nil {
		return nil, err
	}
	return &Conn{
		dir: dir, mount: m, opts: o, log: o.logger(),
		loop: l, notes: newNotifier(fd, o.logger()), done: make(chan struct{}),
	}, nil
}

// Dir is the mount point, absolute and without symlinks.
func (c *Conn) Dir() string { return c.dir }

// Options are those the mount was made with.
func (c *Conn) Options() Options { return c.opts }

// Done is closed when Serve is over: nothing more will be asked of the file system.
func (c *Conn) Done() <-chan struct{} { return c.done }

// ErrServed is what a second Serve gets.
var ErrServed = errors.New("served already")

// Serve answers the kernel through raw until the mount is gone, by whatever hand, and all handlers have returned;
// then it calls raw.OnUnmount and closes the connection. If the mount is gone already nothing is asked. It may be called once.
// raw.Init is never called.
//
// Handlers run concurrently. Their cancel channel is closed when the calling program is interrupted and when the
// mount goes away; a handler that waits for anything must heed it. A handler that panics ends the process: what it
// held locked would hang every later caller.
//
// If raw has a method Replied(), it is called after each reply, by the thread that has sent it and before it reads again: what
// a handler leaves to it does not keep the calling program waiting.
func (c *Conn) Serve(raw fuse.RawFileSystem) error {
	if !c.serving.CompareAndSwap(false, true) {
		if c.tooLate.CompareAndSwap(true, false) {
			raw.OnUnmount()
			return nil
		}
		return fmt.Errorf("serve %s: %w", c.dir, ErrServed)
	}
	if r, ok := raw.(interface{ Replied() }); ok {
		c.loop.replied = r.Replied
	}
	served := raw
	if c.private {
		served = &rootOnly{RawFileSystem: raw, stale: c.staleNow}
	}
	server := fuse.NewProtocolServer(served, protocolOptions(c.log, c.private))
	go c.notes.run()
	err := c.loop.run(server.HandleRequest)
	c.notes.stop()
	switch {
	case errors.Is(err, errStopped):
		err = nil
	case err != nil:
		// The kernel still believes in this connection, and a notification may be waiting for an answer that nobody
		// gives any more.
		err = errors.Join(fmt.Errorf("serve %s: %w", c.dir, err), c.abort())
	}
	<-c.notes.done
	c.loop.close() // the kernel ends what is left of the connection
	raw.OnUnmount()
	close(c.done)
	return err
}

// MayBlock is called by a handler, with the header of its own request, right before it waits for anything slow: a
// disk, a peer, a lock that somebody holds meanwhile. Another thread then reads the next requests. Calling it twice,
// or late, does no harm; calling it needlessly costs 20 us; not calling it stops the mount for 20 ms at most.
func (c *Conn) MayBlock(h *fuse.InHeader) { c.loop.handOver(h.Unique) }

// protocolOptions say what we want of the kernel.
//
//   - HANDLE_KILLPRIV_V2: else each write(2) first asks for security.capability.
//   - ATOMIC_O_TRUNC: O_TRUNC comes with OPEN, so that truncate-and-write is one edit.
//   - POSIX_ACL: the kernel checks permissions by ACLs, and keeps them as long as attributes. It implies
//     default_permissions, so that a rootOnly mount has neither. SETXATTR_EXT: the kernel says when setting an ACL takes set-gid away.
//     DONT_MASK: the umask comes with the request, since a default ACL takes its place.
//   - EXPORT_SUPPORT: file handles work when the kernel has forgotten the file, by a lookup of ".".
//   - NO_OPENDIR_SUPPORT: OPENDIR may answer ENOSYS, and the kernel caches directories by itself.
//   - go-fuse adds ASYNC_READ, BIG_WRITES, MAX_PAGES, PARALLEL_DIROPS, READDIRPLUS and AUTO_INVAL_DATA.
//   - Not PASSTHROUGH: it would forbid overlayfs on top of the mount, and we never use it.
//   - Not WRITEBACK_CACHE: readers would see a truncated file after a change from afar.
//   - Not POSIX_LOCKS, FLOCK_LOCKS: the kernel's own suffice while the mount is one machine's.
func protocolOptions(log *slog.Logger, private bool) *fuse.MountOptions {
	return &fuse.MountOptions{
		Name:          fsSubtype,
		MaxWrite:      maxIO,
		MaxBackground: 64,
		DisableSplice: true,
		EnableAcl:     !private,
		ExtraCapabilities: fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_NO_OPENDIR_SUPPORT |
			fuse.CAP_DONT_MASK | fuse.CAP_SETXATTR_EXT | fuse.CAP_EXPORT_SUPPORT,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH | fuse.CAP_NO_OPEN_SUPPORT,
		Logger:               slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		PanicHandler: func(cause any) fuse.Status {
			panic(cause) // see Serve
		},
	}
}

// clearDead takes away dead mounts of ours from dir, and fails with a *MountedError if anything else is there.
func clearDead(dir string, log *slog.Logger) error {
	for {
		m, ok, err := mountAt(dir)
		if err != nil || !ok {
			return err
		}
		inTheWay := &MountedError{Dir: dir, Source: m.source, Type: m.fsType}
		switch err := health(dir); {
		case err == nil:
			return inTheWay
		case !errors.Is(err, errDead) || m.fsType != fsType:
			inTheWay.Cause = err
			return inTheWay
		}
		log.Warn("replacing a mount whose daemon has died", "dir", dir)
		if err := lazyUnmount(dir); err != nil {
			inTheWay.Cause = fmt.Errorf("%w: %w", errDead, err)
			return inTheWay
		}
	}
}

// checkPoint says whether dir, on which nothing is mounted, may be mounted on.
func checkPoint(dir string) (mode uint32, err error) {
	var st unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Stat(dir, &st) }); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return 0, ErrNotDir
	}
	if uid := os.Geteuid(); uid != 0 && int(st.Uid) != uid {
		return 0, ErrNotOwner
	}
	f, err := os.Open(dir)
	if err != nil {
		return 0, pathCause(err)
	}
	defer f.Close()
	if names, _ := f.Readdirnames(1); len(names) > 0 {
		return 0, ErrNotEmpty
	}
	return st.Mode, nil
}

// Check says whether Mount would find fault with the directory, and changes nothing. A dead mount of ours is no fault:
// Mount replaces it.
func Check(dir string) error {
	dir, err := resolve(dir)
	if err != nil {
		return fmt.Errorf("mount %s: %w", dir, pathCause(err))
	}
	m, mounted, err := mountAt(dir)
	switch {
	case err != nil:
	case mounted && m.fsType == fsType && errors.Is(health(dir), errDead):
	case mounted:
		err = &MountedError{Dir: dir, Source: m.source, Type: m.fsType}
	default:
		_, err = checkPoint(dir)
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return nil
}

// mountDirect mounts as root.
func mountDirect(dir string, mode uint32, o *Options, private bool) (fd int, err error) {
	fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%w: %w", ErrNoFUSE, err)
	}
	data := o.kernelData(fd, mode, os.Geteuid(), os.Getegid(), private)
	if err := unix.Mount(o.fsname(), dir, fsType, o.flags(), data); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("mount(2): %w", err)
	}
	return fd, nil
}

// abort makes the kernel give up the connection: whoever waits on it gets ENOTCONN.
func (c *Conn) abort() error {
	_, minor, err := parseDev(c.mount.dev)
	if err != nil {
		return err
	}
	path := filepath.Join("/sys/fs/fuse/connections", fmt.Sprint(minor), "abort")
	if err := os.WriteFile(path, []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// pathCause drops the path that os repeats in its errors.
func pathCause(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
