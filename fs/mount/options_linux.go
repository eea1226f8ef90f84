package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// maxIO is the largest read or write the kernel sends in one message.
const maxIO = 1 << 20

// fsType is what mount(8) shows as the type, and how a mount of ours is recognised.
const (
	fsSubtype = "rhizome"
	fsType    = "fuse." + fsSubtype
)

// flags are mount(2)'s.
func (o *Options) flags() uintptr {
	var f uintptr
	for _, x := range []struct {
		on  bool
		bit uintptr
	}{
		{o.ReadOnly, unix.MS_RDONLY},
		{!o.Suid, unix.MS_NOSUID},
		{!o.Dev, unix.MS_NODEV},
		{o.NoExec, unix.MS_NOEXEC},
		{o.NoSymFollow, unix.MS_NOSYMFOLLOW},
		{o.Sync, unix.MS_SYNCHRONOUS},
		{o.NoAtime, unix.MS_NOATIME},
		{o.StrictAtime, unix.MS_STRICTATIME},
		{o.NoDirAtime, unix.MS_NODIRATIME},
	} {
		if x.on {
			f |= x.bit
		}
	}
	return f
}

// kernelData is what mount(2) passes to FUSE itself. private: it need not check permissions, see rootOnly.
func (o *Options) kernelData(fd int, rootMode uint32, uid, gid int, private bool) string {
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d", fd, rootMode&unix.S_IFMT, uid, gid, maxIO)
	if !private {
		data += ",default_permissions"
	}
	if o.AllowOther {
		data += ",allow_other"
	}
	return data
}

// fusermountWords are what fusermount3 takes after -o. It knows fewer words than mount(2) has flags: access times
// are ours to keep anyway, so their words need not reach the kernel.
func (o *Options) fusermountWords() (string, error) {
	for _, x := range []struct {
		on   bool
		word string
	}{{o.Suid, "suid"}, {o.Dev, "dev"}, {o.NoSymFollow, "nosymfollow"}} {
		if x.on {
			return "", &OptionError{x.word, "only root may ask for it"}
		}
	}
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	words := []string{
		"nosuid", "nodev",
		"fsname=" + escape.Replace(o.fsname()), "subtype=" + fsSubtype,
		fmt.Sprintf("max_read=%d", maxIO), "default_permissions",
	}
	for _, x := range []struct {
		on   bool
		word string
	}{
		{o.ReadOnly, "ro"}, {o.NoExec, "noexec"}, {o.Sync, "sync"},
		{o.NoAtime, "noatime"}, {o.AllowOther, "allow_other"},
	} {
		if x.on {
			words = append(words, x.word)
		}
	}
	return strings.Join(words, ","), nil
}
