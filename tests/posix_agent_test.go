package tests

import (
	"bufio"
	bin "encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An agent is a child of the tests that makes file system calls as one user, below one directory: a line in, a line out.
// What a call returned is the line that comes out: "ok", the errno's name, or what it read.
type agent struct {
	calls map[string]agentCall
	fds   map[string]int
	seen  map[string]unix.Stat_t // of changed, by path
}

const agentEnv = "RHIZOME_TESTS_AGENT"

// TestAgent is what an agent runs. It is no test by itself.
func TestAgent(t *testing.T) {
	if os.Getenv(agentEnv) == "" {
		t.SkipNow()
	}
	a := agent{calls: calls(), fds: map[string]int{}, seen: map[string]unix.Stat_t{}}
	maps.Copy(a.calls, dataCalls())
	unix.Umask(0o022)
	runtime.LockOSThread() // to which an fsuid belongs
	out := bufio.NewWriter(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); out.Flush() {
		fmt.Fprintln(out, a.do(strings.Fields(in.Text())))
	}
	os.Exit(0)
}

func (a *agent) do(words []string) string {
	call, ok := a.calls[words[0]]
	if !ok {
		return "what is " + words[0] + "?"
	}
	args := words[1:]
	for len(args) < call.args {
		args = append(args, "")
	}
	for i, arg := range args {
		args[i] = expand(arg)
	}
	res, err := call.fn(a, args)
	if no, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(no)
	}
	switch {
	case err != nil:
		return err.Error()
	case res == "":
		return "ok"
	}
	return res
}

// expand gives long arguments a short form: x*255 is 255 times x, and %XX is a byte.
func expand(arg string) string {
	for {
		i := strings.IndexByte(arg, '%')
		if i < 0 || i+3 > len(arg) {
			break
		}
		n, err := strconv.ParseUint(arg[i+1:i+3], 16, 8)
		if err != nil {
			break
		}
		arg = arg[:i] + string([]byte{byte(n)}) + arg[i+3:]
	}
	if s, n, ok := strings.Cut(arg, "*"); ok {
		if count, err := strconv.Atoi(n); err == nil {
			return strings.Repeat(s, count)
		}
	}
	return arg
}

type agentCall struct {
	args int
	fn   func(a *agent, args []string) (string, error)
}

// done is for calls that return nothing but an error.
func done(err error) (string, error) { return "", err }

func number(s string) int {
	n, _ := strconv.ParseInt(s, 0, 64)
	return int(n)
}

var agentFlags = map[string]int{
	"r": unix.O_RDONLY, "w": unix.O_WRONLY, "rw": unix.O_RDWR, "creat": unix.O_CREAT, "excl": unix.O_EXCL, "trunc": unix.O_TRUNC,
	"append": unix.O_APPEND, "dir": unix.O_DIRECTORY, "nofollow": unix.O_NOFOLLOW, "path": unix.O_PATH, "nonblock": unix.O_NONBLOCK,
	"tmpfile": unix.O_TMPFILE, "noatime": unix.O_NOATIME, "follow": unix.AT_SYMLINK_FOLLOW, "noreplace": unix.RENAME_NOREPLACE,
	"exchange": unix.RENAME_EXCHANGE, "whiteout": unix.RENAME_WHITEOUT, "create": unix.XATTR_CREATE, "replace": unix.XATTR_REPLACE,
	"nosym": unix.AT_SYMLINK_NOFOLLOW, "empty": unix.AT_EMPTY_PATH, "sh": unix.LOCK_SH, "ex": unix.LOCK_EX, "un": unix.LOCK_UN,
	"nb": unix.LOCK_NB,
}

func flagsOf(words string) (f int) {
	for w := range strings.SplitSeq(words, ",") {
		f |= agentFlags[w]
	}
	return f
}

var fileTypes = map[string]uint32{
	"file": unix.S_IFREG, "dir": unix.S_IFDIR, "fifo": unix.S_IFIFO, "sock": unix.S_IFSOCK, "chr": unix.S_IFCHR, "blk": unix.S_IFBLK,
	"sym": unix.S_IFLNK,
}

func typeName(mode uint32) string {
	for name, bits := range fileTypes {
		if mode&unix.S_IFMT == bits {
			return name
		}
	}
	return "?"
}

func showStat(st *unix.Stat_t) string {
	size := st.Size
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = 0 // every file system has its own
	}
	return fmt.Sprintf("%s %04o links=%d %d:%d size=%d rdev=%d", typeName(st.Mode), st.Mode&0o7777, st.Nlink, st.Uid, st.Gid, size, st.Rdev)
}

// at is a path, or with @NAME an open file.
func (a *agent) at(path string) (dir int, rest string, flags int) {
	if name, ok := strings.CutPrefix(path, "@"); ok {
		return a.fd(name), "", unix.AT_EMPTY_PATH
	}
	return unix.AT_FDCWD, path, 0
}

// fd is an open file's descriptor.
func (a *agent) fd(name string) int {
	if fd, ok := a.fds[name]; ok {
		return fd
	}
	return -1
}

// through is a path that leads to an open file, for calls that take no descriptor.
func (a *agent) through(path string) string {
	if name, ok := strings.CutPrefix(path, "@"); ok {
		return fmt.Sprintf("/proc/self/fd/%d", a.fd(name))
	}
	return path
}

func (a *agent) stat(path string, flags int) (st unix.Stat_t, err error) {
	dir, rest, f := a.at(path)
	err = unix.Fstatat(dir, rest, &st, flags|f)
	return st, err
}

func (a *agent) open(name, path string, flags int, mode uint32) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
	if err == nil && name != "" {
		if old, ok := a.fds[name]; ok {
			unix.Close(old)
		}
		a.fds[name] = fd
	} else if err == nil {
		err = unix.Close(fd)
	}
	return err
}

// mk makes a file of any type.
func (a *agent) mk(kind, path string, mode uint32) error {
	switch kind {
	case "file":
		return a.open("", path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, mode)
	case "dir":
		return unix.Mkdir(path, mode)
	case "sym":
		return unix.Symlink("target", path)
	case "chr", "blk":
		return unix.Mknod(path, fileTypes[kind]|mode, int(unix.Mkdev(7, 42)))
	}
	return unix.Mknod(path, fileTypes[kind]|mode, 0)
}

// changed tells which times have changed since it was last asked about the path, and which went back.
func (a *agent) changed(path string) (string, error) {
	st, err := a.stat(path, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return "", err
	}
	old := a.seen[path]
	a.seen[path] = st
	res := "times"
	for _, t := range []struct {
		name     string
		old, now unix.Timespec
	}{{"m", old.Mtim, st.Mtim}, {"c", old.Ctim, st.Ctim}} {
		switch before, after := t.old.Nano(), t.now.Nano(); {
		case before < after:
			res += " " + t.name
		case before > after:
			res += " " + t.name + "<"
		}
	}
	return res, nil
}

// list is the names in a directory, and their types.
func (a *agent) list(path string) (string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		if e, ok := err.(*os.PathError); ok {
			return "", e.Err
		}
		return "", err
	}
	names := []string{"names"}
	for _, e := range entries {
		names = append(names, fmt.Sprintf("%q", e.Name()))
	}
	slices.Sort(names[1:])
	return strings.Join(names, " "), nil
}

// tree is all that is below a directory: attributes, mtimes that were set, contents and extended attributes.
func (a *agent) tree(dir string) (string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := a.stat(path, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			return err
		}
		line := path + " " + showStat(&st)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", crc32.ChecksumIEEE(content))
		case unix.S_IFLNK:
			target, _ := os.Readlink(path)
			line += " to " + target
		}
		if st.Mtim.Sec < 1e9 {
			line += fmt.Sprint(" ", st.Mtim.Nano())
		}
		names := make([]byte, 1<<10)
		n, _ := unix.Llistxattr(path, names)
		for _, name := range slices.Sorted(strings.SplitSeq(string(names[:max(n, 0)]), "\x00")) {
			val := make([]byte, 1<<10)
			n, _ := unix.Lgetxattr(path, name, val)
			line += fmt.Sprintf(" %s=%x", name, val[:max(n, 0)])
		}
		all = append(all, line)
		return nil
	})
	return strings.Join(all, "; "), err
}

func timespec(s string) unix.Timespec {
	switch s {
	case "now":
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	case "omit":
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	sec, ns, _ := strings.Cut(s, ".")
	return unix.Timespec{Sec: int64(number(sec)), Nsec: int64(number(strings.TrimLeft(ns, "0")))}
}

// aclTags are the tags of an ACL's entries in the text that acl takes: u:rwx, u1000:r, g:rx, m:rwx, o:r.
func aclBytes(text string) []byte {
	b := bin.LittleEndian.AppendUint32(nil, 2)
	if text == "none" {
		return nil
	}
	for entry := range strings.SplitSeq(text, ",") {
		who, bits, _ := strings.Cut(entry, ":")
		tag, id := uint16(0), ^uint32(0)
		if len(who) > 1 {
			id = uint32(number(who[1:]))
		}
		switch who[:1] {
		case "u":
			tag = 1
		case "g":
			tag = 4
		case "m":
			tag = 0x10
		case "o":
			tag = 0x20
		}
		if len(who) > 1 {
			tag <<= 1
		}
		perm := uint16(0)
		for i, c := range "xwr" {
			if strings.ContainsRune(bits, c) {
				perm |= 1 << i
			}
		}
		b = bin.LittleEndian.AppendUint16(b, tag)
		b = bin.LittleEndian.AppendUint16(b, perm)
		b = bin.LittleEndian.AppendUint32(b, id)
	}
	return b
}
