package tests

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls are the words that scripts know. A path may be @NAME where a descriptor will do.
func calls() map[string]agentCall {
	return map[string]agentCall{
		"base": {1, func(a *agent, s []string) (string, error) {
			for name, fd := range a.fds {
				unix.Close(fd)
				delete(a.fds, name)
			}
			clear(a.seen)
			unix.Umask(0o022)
			return done(unix.Chdir(s[0]))
		}},
		"umask": {1, func(a *agent, s []string) (string, error) {
			unix.Umask(number("0" + s[0]))
			return "", nil
		}},
		"fsuid": {1, func(_ *agent, s []string) (string, error) {
			_, err := unix.SetfsuidRetUid(number(s[0]))
			return done(err)
		}},
		"mk":      {3, func(a *agent, s []string) (string, error) { return done(a.mk(s[0], s[1], mode(s[2]))) }},
		"mkdir":   {2, func(a *agent, s []string) (string, error) { return done(unix.Mkdir(s[0], mode(s[1]))) }},
		"rmdir":   {1, func(a *agent, s []string) (string, error) { return done(unix.Rmdir(s[0])) }},
		"unlink":  {1, func(a *agent, s []string) (string, error) { return done(unix.Unlink(s[0])) }},
		"symlink": {2, func(a *agent, s []string) (string, error) { return done(unix.Symlink(s[0], s[1])) }},
		"readlink": {1, func(a *agent, s []string) (string, error) {
			buf := make([]byte, 8192)
			n, err := unix.Readlink(s[0], buf)
			return fmt.Sprintf("%d bytes %.20s", n, buf[:max(n, 0)]), err
		}},
		"open": {4, func(a *agent, s []string) (string, error) { return done(a.open(s[0], s[1], flagsOf(s[2]), mode(s[3]))) }},
		"try":  {3, func(a *agent, s []string) (string, error) { return done(a.open("", s[0], flagsOf(s[1]), mode(s[2]))) }},
		"close": {1, func(a *agent, s []string) (string, error) {
			fd := a.fd(s[0])
			delete(a.fds, s[0])
			return done(unix.Close(fd))
		}},
		"write": {3, func(a *agent, s []string) (string, error) {
			n, err := unix.Pwrite(a.fd(s[0]), bytes.Repeat([]byte("x"), number(s[1])), int64(number(s[2])))
			return strconv.Itoa(n), err
		}},
		"read": {3, func(a *agent, s []string) (string, error) {
			n, err := unix.Pread(a.fd(s[0]), make([]byte, number(s[1])), int64(number(s[2])))
			return strconv.Itoa(n), err
		}},
		"trunc": {2, func(a *agent, s []string) (string, error) {
			if name, ok := strings.CutPrefix(s[0], "@"); ok {
				return done(unix.Ftruncate(a.fd(name), int64(number(s[1]))))
			}
			return done(unix.Truncate(s[0], int64(number(s[1]))))
		}},
		"link": {3, func(a *agent, s []string) (string, error) {
			dir, rest, f := a.at(s[0])
			return done(unix.Linkat(dir, rest, unix.AT_FDCWD, s[1], f|flagsOf(s[2])))
		}},
		"linkfd": {2, func(a *agent, s []string) (string, error) { // as who has no CAP_DAC_READ_SEARCH must
			return done(unix.Linkat(unix.AT_FDCWD, a.through(s[0]), unix.AT_FDCWD, s[1], unix.AT_SYMLINK_FOLLOW))
		}},
		"rename": {3, func(a *agent, s []string) (string, error) {
			return done(unix.Renameat2(unix.AT_FDCWD, s[0], unix.AT_FDCWD, s[1], uint(flagsOf(s[2]))))
		}},
		"chmod": {2, func(a *agent, s []string) (string, error) {
			if name, ok := strings.CutPrefix(s[0], "@"); ok {
				return done(unix.Fchmod(a.fd(name), mode(s[1])))
			}
			return done(unix.Chmod(s[0], mode(s[1])))
		}},
		"chown": {3, func(a *agent, s []string) (string, error) {
			dir, rest, f := a.at(s[0])
			return done(unix.Fchownat(dir, rest, number(s[1]), number(s[2]), f|unix.AT_SYMLINK_NOFOLLOW))
		}},
		"stat": {1, func(a *agent, s []string) (string, error) {
			st, err := a.stat(s[0], 0)
			return showStat(&st), err
		}},
		"lstat": {1, func(a *agent, s []string) (string, error) {
			st, err := a.stat(s[0], unix.AT_SYMLINK_NOFOLLOW)
			return showStat(&st), err
		}},
		"same": {2, func(a *agent, s []string) (string, error) {
			st, err := a.stat(s[0], unix.AT_SYMLINK_NOFOLLOW)
			st2, err2 := a.stat(s[1], unix.AT_SYMLINK_NOFOLLOW)
			st.Atim, st2.Atim = unix.Timespec{}, unix.Timespec{}
			return fmt.Sprint(st == st2, err, err2), nil
		}},
		"accessed": {1, func(a *agent, s []string) (string, error) { // has the atime changed since it was last asked for?
			st, err := a.stat(s[0], unix.AT_SYMLINK_NOFOLLOW)
			old := a.seen["atime of "+s[0]]
			a.seen["atime of "+s[0]] = st
			return fmt.Sprint("accessed ", cmp.Compare(st.Atim.Nano(), old.Atim.Nano())), err
		}},
		"cat": {1, func(a *agent, s []string) (string, error) {
			b, err := os.ReadFile(s[0])
			return fmt.Sprint(len(b)), err
		}},
		"changed": {1, func(a *agent, s []string) (string, error) { return a.changed(s[0]) }},
		"times": {1, func(a *agent, s []string) (string, error) { // what utimens set: whole
			st, err := a.stat(s[0], unix.AT_SYMLINK_NOFOLLOW)
			return fmt.Sprintf("atime %d.%09d mtime %d.%09d", st.Atim.Sec, st.Atim.Nsec, st.Mtim.Sec, st.Mtim.Nsec), err
		}},
		"mtime": {1, func(a *agent, s []string) (string, error) {
			st, err := a.stat(s[0], unix.AT_SYMLINK_NOFOLLOW)
			return fmt.Sprintf("%d.%09d", st.Mtim.Sec, st.Mtim.Nsec), err
		}},
		"btime": {1, func(a *agent, s []string) (string, error) {
			var sx unix.Statx_t
			err := unix.Statx(unix.AT_FDCWD, s[0], unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &sx)
			c := sx.Ctime.Sec*1e9 + int64(sx.Ctime.Nsec)
			b := sx.Btime.Sec*1e9 + int64(sx.Btime.Nsec)
			return fmt.Sprint(sx.Mask&unix.STATX_BTIME != 0, b > 0 && b <= c && c-b < 1e12), err
		}},
		"utimens": {4, func(a *agent, s []string) (string, error) {
			ts := []unix.Timespec{timespec(s[1]), timespec(s[2])}
			if name, ok := strings.CutPrefix(s[0], "@"); ok {
				return done(futimens(a.fd(name), ts))
			}
			return done(unix.UtimesNanoAt(unix.AT_FDCWD, s[0], ts, flagsOf(s[3])))
		}},
		"access": {2, func(a *agent, s []string) (string, error) {
			return done(unix.Faccessat2(unix.AT_FDCWD, s[0], uint32(number(s[1])), unix.AT_EACCESS))
		}},
		"exec": {1, func(_ *agent, s []string) (string, error) {
			err := exec.Command("./" + s[0]).Run()
			if no := unix.Errno(0); errors.As(err, &no) {
				return done(no)
			}
			return done(err)
		}},
		"list": {1, func(a *agent, s []string) (string, error) { return a.list(s[0]) }},
		"tree": {1, func(a *agent, s []string) (string, error) { return a.tree(s[0]) }},
		"setx": {4, func(a *agent, s []string) (string, error) {
			return done(unix.Lsetxattr(a.through(s[0]), s[1], []byte(s[2]), flagsOf(s[3])))
		}},
		"fsetx": {4, func(a *agent, s []string) (string, error) {
			return done(unix.Fsetxattr(a.fd(s[0]), s[1], []byte(s[2]), flagsOf(s[3])))
		}},
		"getx": {3, func(a *agent, s []string) (string, error) {
			buf := make([]byte, 70<<10)
			if s[2] != "" {
				buf = buf[:number(s[2])]
			}
			n, err := unix.Lgetxattr(s[0], s[1], buf)
			return fmt.Sprintf("%d bytes %.30q", n, buf[:min(max(n, 0), len(buf))]), err
		}},
		"rmx": {2, func(a *agent, s []string) (string, error) { return done(unix.Lremovexattr(s[0], s[1])) }},
		"listx": {2, func(a *agent, s []string) (string, error) {
			buf := make([]byte, 1<<20)
			if s[1] != "" {
				buf = buf[:number(s[1])]
			}
			n, err := unix.Llistxattr(s[0], buf)
			if err != nil || len(buf) == 0 {
				return strconv.Itoa(n), err
			}
			names := strings.Split(string(buf[:n]), "\x00")
			slices.Sort(names)
			return fmt.Sprintf("%d bytes %.200q", n, names), err
		}},
		"caps": {1, func(a *agent, s []string) (string, error) { // a capability as setcap gives it
			c := []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
			return done(unix.Lsetxattr(s[0], "security.capability", c, 0))
		}},
		"acl": {3, func(a *agent, s []string) (string, error) {
			name := "system.posix_acl_" + s[1]
			b := aclBytes(s[2])
			if b == nil {
				return done(unix.Lremovexattr(s[0], name))
			}
			return done(unix.Lsetxattr(s[0], name, b, 0))
		}},
		"getacl": {2, func(a *agent, s []string) (string, error) {
			buf := make([]byte, 64<<10)
			n, err := unix.Lgetxattr(s[0], "system.posix_acl_"+s[1], buf)
			return fmt.Sprintf("acl %x", buf[:max(n, 0)]), err
		}},
		"setbytes": {3, func(a *agent, s []string) (string, error) {
			var b []byte
			_, _ = fmt.Sscanf(s[2], "%x", &b)
			return done(unix.Lsetxattr(s[0], s[1], b, 0))
		}},
		"flock": {2, func(a *agent, s []string) (string, error) { return done(unix.Flock(a.fd(s[0]), flagsOf(s[1]))) }},
		"lock":  {5, func(a *agent, s []string) (string, error) { return done(a.lock(s)) }},
		"fsync": {1, func(a *agent, s []string) (string, error) { return done(unix.Fsync(a.fd(s[0]))) }},
		"chdir": {1, func(a *agent, s []string) (string, error) { return done(unix.Chdir(s[0])) }},
	}
}

func mode(s string) uint32 {
	n, _ := strconv.ParseUint(s, 8, 32)
	return uint32(n)
}

func futimens(fd int, ts []unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts[0])), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// lock sets a record lock: FD posix|ofd r|w|u START LEN.
func (a *agent) lock(s []string) error {
	l := unix.Flock_t{Start: int64(number(s[3])), Len: int64(number(s[4]))}
	switch s[2] {
	case "r":
		l.Type = unix.F_RDLCK
	case "w":
		l.Type = unix.F_WRLCK
	case "u":
		l.Type = unix.F_UNLCK
	}
	cmd := unix.F_SETLK
	if s[1] == "ofd" {
		cmd = unix.F_OFD_SETLK
	}
	return unix.FcntlFlock(uintptr(a.fd(s[0])), cmd, &l)
}
