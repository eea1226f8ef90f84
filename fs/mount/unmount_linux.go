package mount

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	busyTries = 5 // a program that looks at every new mount is gone again soon
	busyPause = 50 * time.Millisecond

	// detachTime is how long a detached or unmounted connection may take to end by itself before it is aborted.
	detachTime = 2 * time.Second
)

// Unmount takes the mount away if no program uses it; else it changes nothing and returns a *BusyError. When it
// returns nil, Serve has returned, too, or was never called. A mount that is gone already is no error.
func (c *Conn) Unmount() error {
	if err := c.take(unmountBusy); err != nil {
		return err
	}
	c.finish(detachTime)
	return nil
}

// Detach takes the mount out of the directory tree at once, and out of the hands of those who still use it: their
// next call gets ENOTCONN. The caller makes durable first what they wrote. Requests that are being handled end
// before it returns.
func (c *Conn) Detach() error {
	if err := c.take(lazyUnmount); err != nil {
		return err
	}
	c.finish(0)
	return nil
}

// take unmounts if the mount on the directory is still this one.
func (c *Conn) take(how func(dir string) error) error {
	m, ok, err := mountAt(c.dir)
	if err != nil {
		return fmt.Errorf("unmount %s: %w", c.dir, err)
	}
	if !ok || m.id != c.mount.id || m.dev != c.mount.dev {
		return nil
	}
	return how(c.dir)
}

// finish waits for Serve; if that takes longer than patience, because some other place still has the mount, the
// connection is cut.
func (c *Conn) finish(patience time.Duration) {
	if c.serving.CompareAndSwap(false, true) {
		c.tooLate.Store(true)
		c.loop.close()
		close(c.done)
		return
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-c.done:
		return
	case <-late.C:
	}
	// Notifications first: one may be waiting for a lock that a program holds until its request is answered.
	c.notes.stop()
	<-c.notes.done
	c.loop.stop()
	<-c.done
}

// Unmount takes away a mount of ours, also of another process, and also a dead one, lazily. It fails with
// ErrNotMounted or a *BusyError.
func Unmount(dir string) error {
	point, err := resolve(dir)
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, pathCause(err))
	}
	m, ok, err := mountAt(point)
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	if !ok || m.fsType != fsType {
		return fmt.Errorf("unmount %s: %w", dir, ErrNotMounted)
	}
	if errors.Is(health(point), errDead) {
		return lazyUnmount(point)
	}
	return unmountBusy(point)
}

// unmountBusy unmounts, or says who is in the way.
func unmountBusy(dir string) error {
	for try := 1; ; try++ {
		err := unmountOnce(dir)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		busy := &BusyError{Dir: dir}
		busy.Holders, busy.Mounts = holders(dir)
		if try == busyTries || len(busy.Holders)+len(busy.Mounts) > 0 {
			return busy
		}
		time.Sleep(busyPause)
	}
}

// unmountOnce fails with EBUSY if the mount is in use.
func unmountOnce(dir string) error {
	var err error
	if os.Geteuid() == 0 {
		err = ignoringEINTR(func() error { return unix.Unmount(dir, unix.UMOUNT_NOFOLLOW) })
	} else if err = fusermount(nil, "-u", "--", dir); err != nil && strings.Contains(err.Error(), "resource busy") {
		err = unix.EBUSY // fusermount3 has words only, strerror(3)'s in the C locale
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// lazyUnmount takes a mount out of the tree although it is in use.
func lazyUnmount(dir string) error {
	var err error
	if os.Geteuid() == 0 {
		err = ignoringEINTR(func() error { return unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) })
	} else {
		err = fusermount(nil, "-u", "-z", "--", dir)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// parseDev splits mountinfo's "0:57".
func parseDev(dev string) (major, minor uint32, err error) {
	a, b, _ := strings.Cut(dev, ":")
	x, err1 := strconv.ParseUint(a, 10, 32)
	y, err2 := strconv.ParseUint(b, 10, 32)
	return uint32(x), uint32(y), errors.Join(err1, err2)
}
