package daemon

import (
	"errors"
	"fmt"
	"os"

	"github.com/rhizome-fs/rhizome/fs/mount"
)

// makeMountPoint makes the directory if there is nothing of that name. Whatever else is there is for
// the mount itself to judge: a dead mount can't even be looked at.
func makeMountPoint(dir string) error {
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	return nil
}

// CleanDeadMount takes away a mount of ours whose daemon has died. It reports whether there was one.
func CleanDeadMount(dir string) (bool, error) {
	if !mount.IsDead(dir) {
		return false, nil
	}
	err := mount.Unmount(dir)
	return err == nil, explain(err, Options{Dir: dir})
}
