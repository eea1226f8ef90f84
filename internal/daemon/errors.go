package daemon

import (
	"errors"
	"fmt"
	"os"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/mount"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// explain gives an error its code and says what to do about it.
func explain(err error, o Options) error {
	if err == nil {
		return nil
	}
	var known *control.Error
	if errors.As(err, &known) {
		return err
	}
	if code, hint, ok := explainMount(err, o); ok {
		return control.Fail(code, err, hint)
	}
	var inUse *store.InUseError
	var version *store.VersionError
	switch {
	case errors.As(err, &inUse):
		return control.Fail(control.InUse, err, "another rhizome serves it: unmount that one first, or give this one its own --home")
	case errors.As(err, &version), errors.Is(err, identity.ErrNewer):
		return control.Fail(control.Failed, err, "use the version of rhizome that made it; nothing was changed")
	case errors.Is(err, store.ErrNotStore):
		return control.Fail(control.Usage, err, "give --home a directory that is empty or does not exist; nothing was changed")
	case errors.Is(err, store.ErrNoSpace), errors.Is(err, fs.ErrNoSpace):
		return control.Fail(control.Failed, err, "free some space on the disk of "+o.Home+"; nothing was lost")
	case errors.Is(err, eventlog.ErrLost):
		return control.Fail(control.Damaged, err, "copy "+o.Home+" away before anything else; then try: rhizome verify --repair --from BACKUP; if that does not bring the log back, rhizome recover does, from a backup")
	case errors.Is(err, store.ErrDamaged), errors.Is(err, fs.ErrDamaged), errors.Is(err, ipld.ErrDamaged), errors.Is(err, identity.ErrDamaged):
		return control.Fail(control.Damaged, err, "copy "+o.Home+" away before anything else, then look at: rhizome verify")
	case errors.Is(err, os.ErrPermission):
		return control.Fail(control.Failed, err, "check who owns "+o.Home+" and "+o.Dir)
	}
	return control.Fail(control.Failed, err, "")
}

// explainMount explains what keeps a mount point from being used.
func explainMount(err error, o Options) (code control.Code, hint string, ok bool) {
	var opt *mount.OptionError
	switch {
	case errors.As(err, &opt):
		return control.Usage, "see mount(8) for what -o takes", true
	case errors.Is(err, mount.ErrNoFUSE):
		return control.NoFUSE, "load it (modprobe fuse) and install it (apt install fuse3); in a container, pass /dev/fuse in", true
	case errors.Is(err, mount.ErrNoFusermount):
		return control.NoFUSE, "install it: apt install fuse3", true
	case errors.Is(err, mount.ErrAllowOther):
		return control.NoFUSE, "add the line, or leave allow_other out", true
	case errors.Is(err, mount.ErrNotEmpty):
		return control.Usage, "mount on an empty directory, or move what is in " + o.Dir + " away first; nothing was changed", true
	case errors.Is(err, mount.ErrNotDir), errors.Is(err, mount.ErrNotOwner):
		return control.Usage, "mount on an empty directory of your own", true
	case errors.Is(err, mount.ErrMounted):
		return control.InUse, fmt.Sprintf("unmount it first (rhizome unmount %s), or mount elsewhere", o.Dir), true
	}
	return "", "", false
}
