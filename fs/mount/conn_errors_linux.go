package mount

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// What Mount says when the mount point or the machine does not allow it. Each is wrapped in "mount DIR: ...".
var (
	ErrNotDir       = errors.New("not a directory")
	ErrNotEmpty     = errors.New("the directory is not empty")
	ErrNotOwner     = errors.New("the directory belongs to another user")
	ErrMounted      = errors.New("something is mounted there already") // always a *MountedError
	ErrNotMounted   = errors.New("nothing of ours is mounted there")
	ErrNoFUSE       = errors.New("no FUSE: /dev/fuse cannot be opened")
	ErrNoFusermount = errors.New("fusermount3 is not installed")
	ErrAllowOther   = errors.New("allow_other needs the line user_allow_other in /etc/fuse.conf")
)

// MountedError tells what is in the way. It is ErrMounted.
type MountedError struct {
	Dir    string
	Source string // first column of mount(8)
	Type   string // "fuse.rhizome" is one of ours
	Cause  error  // why it was not replaced, if it is dead or silent; else nil
}

func (e *MountedError) Error() string {
	s := fmt.Sprintf("%s (%s) is mounted there already", e.Source, e.Type)
	if e.Cause != nil {
		s += ", and " + e.Cause.Error()
	}
	return s
}

func (e *MountedError) Is(target error) bool { return target == ErrMounted }
func (e *MountedError) Unwrap() error        { return e.Cause }

// BusyError says who keeps a mount from being unmounted. It is EBUSY.
type BusyError struct {
	Dir     string
	Holders []Holder // programs that this process may see
	Mounts  []string // other mounts below it
}

func (e *BusyError) Error() string {
	var who []string
	for _, h := range e.Holders {
		who = append(who, h.String())
	}
	for _, m := range e.Mounts {
		who = append(who, "the mount on "+m)
	}
	if len(who) == 0 {
		who = []string{"a program that cannot be seen from here"}
	}
	return fmt.Sprintf("unmount %s: in use by %s", e.Dir, strings.Join(who, ", "))
}

func (e *BusyError) Unwrap() error { return unix.EBUSY }

// Holder is a program with files, its working directory or mappings on a mount.
type Holder struct {
	PID     int
	Command string
	Paths   []string // sorted, each once
}

func (h Holder) String() string { return fmt.Sprintf("%s (%d)", h.Command, h.PID) }
