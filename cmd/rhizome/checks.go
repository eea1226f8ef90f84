package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

// Below lowShare of the disk or lowSpace, whichever is less, space is called low.
const (
	lowSpace = 2 << 30
	lowShare = 0.05
)

// firstYear is when no clock of a machine that runs this can be.
const firstYear = 2026

func checkVersion() control.Check {
	return control.Check{Name: "version", State: control.Note, Detail: version()}
}

// checkDisk looks at the file system that holds the store, or will hold it.
func checkDisk(home string) control.Check {
	c := control.Check{Name: "disk", State: control.OK}
	dir := home
	for {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		c.State, c.Detail = control.Bad, fmt.Sprintf("%s: %v", control.Name(dir), err)
		c.Hint = "the store's directory can't be reached: check that its disk is mounted"
		return c
	}
	free, total := int64(s.Bavail)*s.Bsize, int64(s.Blocks)*s.Bsize
	kind, fit := fileSystem(s.Type)
	c.Detail = fmt.Sprintf("%s free of %s, %s", size(free), size(total), kind)
	c.Facts = map[string]string{"free": size(free), "total": size(total), "kind": kind}
	switch {
	case fit != "":
		c.State, c.Hint = control.Warn, fit
	case free < lowSpace && float64(free) < lowShare*float64(total) || free < 64<<20:
		c.State, c.Hint = control.Warn, "space is running out: make room on this disk, or move the store and use --home"
	}
	return c
}

// fileSystem names a kind of file system, and says why the store shouldn't be on it, if so.
func fileSystem(magic int64) (name, unfit string) {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", ""
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", ""
	case unix.XFS_SUPER_MAGIC:
		return "xfs", ""
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs", ""
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay", ""
	case 0x2fc12fc1:
		return "zfs", ""
	case unix.TMPFS_MAGIC:
		return "tmpfs", "a store in memory is gone after a restart: use --home with a directory on a disk"
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return "network file system", "a store on a network file system is slow and can be damaged by a lost connection: use --home with a local directory"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse", "a store on a FUSE file system is slow, and must not be in its own mount: use --home with a local directory"
	default:
		return "kind 0x" + strconv.FormatInt(magic, 16), ""
	}
}

// checkClock looks whether the clock can be right and whether something keeps it so. Nothing is decided by
// clocks, but log and history show their times.
func checkClock() control.Check {
	now := time.Now()
	c := control.Check{Name: "clock", State: control.OK, Detail: now.Format(time.RFC1123Z)}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	kept := err == nil && state != unix.TIME_ERROR
	c.Facts = map[string]string{"year": strconv.Itoa(now.Year()), "synchronised": strconv.FormatBool(kept)}
	switch {
	case now.Year() < firstYear:
		c.State, c.Hint = control.Bad, "the clock is wrong: set it, or changes will be shown with wrong times"
	case !kept:
		c.State, c.Detail = control.Note, c.Detail+", not synchronised"
		c.Hint = "changes are shown by this clock: timedatectl set-ntp true keeps it right"
	}
	return c
}

// checkDaemon asks the daemon how it is; without one it looks at the store and the mount itself.
func (a *app) checkDaemon(ctx context.Context, home string) []control.Check {
	c := control.Check{Name: "daemon", State: control.OK}
	s, err := question(ctx, a, control.StatusRoute, struct{}{})
	switch {
	case control.CodeOf(err) == control.NoDaemon:
		c.State, c.Detail, c.Hint = control.Note, "not running", "start it with: "+a.command("mount", "--detach")
		return append([]control.Check{c}, a.checkAtRest(home)...)
	case err != nil:
		c.State, c.Detail, c.Hint = control.Bad, err.Error(), control.HintOf(err)
		return []control.Check{c}
	}
	c.Detail = fmt.Sprintf("running, pid %d, version %s", s.PID, s.Version)
	c.Facts = map[string]string{
		"version": s.Version, "files": strconv.FormatInt(s.Files, 10), "volumes": strconv.Itoa(len(s.Volumes)),
		"events": events(s.Events), "store": size(s.StoreSize), "damage": strconv.Itoa(len(s.Damage)),
	}
	if s.Version != version() {
		c.State, c.Hint = control.Warn, "it is of another version than this command: unmount and mount again"
	}
	checks := []control.Check{c, daemon.CheckMount(string(s.Mount))}
	more, err := question(ctx, a, control.ChecksRoute, struct{}{})
	if err != nil {
		more = []control.Check{{Name: "store", State: control.Bad, Detail: err.Error(), Hint: control.HintOf(err)}}
	}
	return append(checks, more...)
}

// checkAtRest looks at the store and at the default mount while no daemon runs.
func (a *app) checkAtRest(home string) []control.Check {
	checks := daemon.CheckStore(home)
	if dir, err := a.mountDir(nil); err == nil {
		checks = append(checks, daemon.CheckMount(dir))
	}
	return checks
}
