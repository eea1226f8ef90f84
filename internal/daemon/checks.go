package daemon

import (
	"errors"
	"os"
	"os/exec"

	"github.com/rhizome-fs/rhizome/fs/mount"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
)

const fuseDevice = "/dev/fuse"

// CheckFUSE tells whether this user can mount on this machine.
func CheckFUSE() []control.Check {
	dev := control.Check{Name: "fuse device", State: control.OK, Detail: fuseDevice}
	if err := openable(fuseDevice); err != nil {
		dev.State, dev.Code, dev.Detail = control.Bad, control.NoFUSE, err.Error()
		dev.Hint = "load the module: sudo modprobe fuse; in a container, pass /dev/fuse in; it must be readable and writable by you"
	}
	set := control.Check{Name: "fusermount3", State: control.OK}
	path, err := exec.LookPath("fusermount3")
	switch {
	case err == nil:
		set.Detail = path
	case os.Geteuid() == 0:
		set.State, set.Detail = control.Note, "not installed; root does without"
	default:
		set.State, set.Code, set.Detail = control.Bad, control.NoFUSE, "not installed"
		set.Hint = "install it: sudo apt install fuse3"
	}
	may := control.Check{Name: "may mount", State: control.OK, Detail: "by fusermount3"}
	if os.Geteuid() == 0 {
		may.Detail = "as root"
	}
	if dev.State == control.Bad || set.State == control.Bad {
		may.State, may.Code, may.Detail = control.Bad, control.NoFUSE, "no"
		may.Hint = "mend the lines above"
	}
	return []control.Check{set, dev, may}
}

// openable tries to open the device as a mount does.
func openable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// CheckMount tells how the mount on dir is.
func CheckMount(dir string) control.Check {
	c := control.Check{Name: "mount", State: control.OK, Detail: dir}
	if !mount.IsMounted(dir) {
		c.State, c.Detail = control.Note, "nothing of ours is mounted on "+dir
	} else if mount.IsDead(dir) {
		c.State, c.Detail = control.Bad, dir+": its daemon is gone"
		c.Hint = "mount again, which replaces it, or clean it up with: rhizome unmount " + dir
	}
	return c
}

// CheckStore tells how a store is that no daemon serves. It changes nothing but what opening it mends.
func CheckStore(home string) []control.Check {
	c := control.Check{Name: "store", State: control.OK, Detail: home}
	if _, err := os.Stat(home); errors.Is(err, os.ErrNotExist) {
		c.State, c.Detail = control.Note, "there is none yet"
		return []control.Check{c}
	}
	s, err := store.Open(home, store.Options{})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		err = explain(err, Options{Home: home})
		c.State, c.Code, c.Detail, c.Hint = control.Bad, control.CodeOf(err), err.Error(), control.HintOf(err)
	}
	return []control.Check{c}
}

// checks are those that only the daemon can make.
func (d *daemon) checks() []control.Check {
	st := control.Check{Name: "store", State: control.OK, Detail: d.opts.Home}
	if err := d.st.Health(); err != nil {
		st.State, st.Detail, st.Hint = control.Bad, err.Error(), "look at the disk: all goes on by itself when it works again"
	}
	blocks := control.Check{Name: "blocks", State: control.OK}
	if list := d.blocks.Damage(); len(list) > 0 {
		blocks.State, blocks.Code, blocks.Detail = control.Bad, control.Damaged, list[0].String()
		blocks.Hint = "rhizome status lists what is damaged; files that need it give an I/O error, all others are as they were"
	}
	return []control.Check{st, blocks}
}
