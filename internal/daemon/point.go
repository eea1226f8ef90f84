package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rhizome-fs/rhizome/fs/mount"
	"github.com/rhizome-fs/rhizome/internal/control"
)

// apart fails if the store would lie in the mount, which would hide it, or the mount in the store.
func apart(home, dir string) error {
	within := func(a, b string) bool { return a == b || strings.HasPrefix(a, b+string(filepath.Separator)) }
	if !within(home, dir) && !within(dir, home) {
		return nil
	}
	err := fmt.Errorf("mount %s: the store %s and the mount must not lie in each other", dir, home)
	return control.Fail(control.Usage, err, "mount elsewhere, or give the store another --home; nothing was changed")
}

// makeMountPoint makes the directory if there is nothing of that name. Whatever else is there is for
// the mount itself to judge: a dead mount can't even be looked at.
func makeMountPoint(dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("mount %s: it is a symbolic link to nothing", dir)
			return control.Fail(control.Usage, err, "remove it, or mount elsewhere")
		}
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
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
