package mount

import (
	"fmt"
	"log/slog"
	"strings"
)

// Options say how a mount behaves. The zero value is what a person wants: read and write, programs may run, set-id
// bits and device files mean nothing, relatime.
//
// The kernel enforces ReadOnly, Suid, Dev, NoExec, NoSymFollow and Sync. Access times are the file
// system's own affair under FUSE: whoever answers the kernel must honour NoAtime, StrictAtime and NoDirAtime.
type Options struct {
	ReadOnly    bool
	Suid        bool // set-id bits count; root only
	Dev         bool // device files count; root only
	NoExec      bool
	NoSymFollow bool // root only
	Sync        bool // every write is an fsync; names are not synced
	NoAtime     bool
	StrictAtime bool // with neither of the two: relatime
	// RelAtime is said explicitly: the first read after a change is seen, even if the kernel has the bytes, which costs a request.
	RelAtime   bool
	NoDirAtime bool // as NoAtime, for directories

	// AllowOther lets other users in; the kernel checks their permissions as on any file system. For an ordinary
	// user the machine's /etc/fuse.conf must say user_allow_other.
	AllowOther bool

	// FSName is the first column of mount(8) and df(1); empty means "rhizome".
	FSName string

	Logger *slog.Logger // nil: slog.Default()
}

// OptionError is a word after -o that cannot be honoured.
type OptionError struct {
	Word string
	Why  string
}

func (e *OptionError) Error() string { return fmt.Sprintf("option %q: %s", e.Word, e.Why) }

// ParseOptions reads mount(8)'s comma-separated words. Of contradicting words the last counts. Words that only mean
// something in /etc/fstab are accepted and change nothing; any other unknown word is an *OptionError.
func ParseOptions(words string) (Options, error) {
	var o Options
	for _, word := range strings.Split(words, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		if err := o.set(word); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

func (o *Options) set(word string) error {
	switch word {
	case "ro", "rw":
		o.ReadOnly = word == "ro"
	case "suid", "nosuid":
		o.Suid = word == "suid"
	case "dev", "nodev":
		o.Dev = word == "dev"
	case "exec", "noexec":
		o.NoExec = word == "noexec"
	case "symfollow", "nosymfollow":
		o.NoSymFollow = word == "nosymfollow"
	case "sync", "async":
		o.Sync = word == "sync"
	case "atime", "norelatime", "nostrictatime":
		o.NoAtime, o.StrictAtime, o.RelAtime = false, false, false
	case "relatime":
		o.NoAtime, o.StrictAtime, o.RelAtime = false, false, true
	case "noatime":
		o.NoAtime, o.StrictAtime, o.RelAtime = true, false, false
	case "strictatime":
		o.NoAtime, o.StrictAtime, o.RelAtime = false, true, false
	case "diratime", "nodiratime":
		o.NoDirAtime = word == "nodiratime"
	case "allow_other":
		o.AllowOther = true
	case "defaults":
		*o = Options{FSName: o.FSName, AllowOther: o.AllowOther, Logger: o.Logger}
	default:
		return o.setRest(word)
	}
	return nil
}

// setRest takes the words that set nothing, those with a value, and those that are refused.
func (o *Options) setRest(word string) error {
	if name, ok := strings.CutPrefix(word, "fsname="); ok {
		if name == "" {
			return &OptionError{word, "the name is empty"}
		}
		o.FSName = name
		return nil
	}
	switch word {
	case "default_permissions": // always so, as far as anybody could tell
		return nil
	case "auto", "noauto", "user", "nouser", "users", "nousers", "owner", "noowner", "group", "nogroup",
		"_netdev", "nofail", "silent", "loud", "lazytime", "nolazytime", "iversion", "noiversion", "mand", "nomand":
		return nil
	case "allow_root":
		return &OptionError{word, "not offered; allow_other is"}
	case "auto_unmount":
		return &OptionError{word, "not offered; a dead mount is replaced by the next one"}
	case "dirsync":
		return &OptionError{word, "not offered: FUSE does not pass it on; an fsync of a directory makes its names durable"}
	case "remount", "bind", "rbind", "move":
		return &OptionError{word, "a running mount cannot be changed; unmount it and mount it again"}
	}
	if strings.HasPrefix(word, "x-") || strings.HasPrefix(word, "X-") || strings.HasPrefix(word, "comment=") {
		return nil
	}
	return &OptionError{word, "not known"}
}

func (o *Options) fsname() string {
	if o.FSName == "" {
		return "rhizome"
	}
	return o.FSName
}

func (o *Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}
