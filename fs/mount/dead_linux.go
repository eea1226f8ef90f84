package mount

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// answerTime bounds how long we wait for the daemon behind somebody's mount to answer statfs.
const answerTime = 2 * time.Second

// mounted is one line of /proc/self/mountinfo.
type mounted struct {
	id, parent int
	dev        string // "0:57"
	point      string
	options    string
	fsType     string
	source     string
}

// mountTable lists the mounts of this process's namespace, in the order in which they were made.
func mountTable() ([]mounted, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mounted
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m, ok := parseMountLine(lines.Text())
		if ok {
			all = append(all, m)
		}
	}
	return all, lines.Err()
}

// parseMountLine reads "36 35 98:0 /root /point options tags... - type source superoptions" (proc_pid_mountinfo(5)).
func parseMountLine(line string) (mounted, bool) {
	left, right, ok := strings.Cut(line, " - ")
	l, r := strings.Fields(left), strings.Fields(right)
	if !ok || len(l) < 6 || len(r) < 2 {
		return mounted{}, false
	}
	m := mounted{dev: l[2], point: unescapeMount(l[4]), options: l[5], fsType: r[0], source: unescapeMount(r[1])}
	var err1, err2 error
	m.id, err1 = strconv.Atoi(l[0])
	m.parent, err2 = strconv.Atoi(l[1])
	return m, err1 == nil && err2 == nil
}

// unescapeMount undoes the kernel's octal escapes of space, tab, newline and backslash.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountAt returns the topmost mount on dir, a path as resolve gives it.
func mountAt(dir string) (m mounted, ok bool, err error) {
	all, err := mountTable()
	for _, x := range all {
		if x.point == dir {
			m, ok = x, true
		}
	}
	return m, ok, err
}

// resolve makes dir absolute and free of symlinks without touching what is mounted on it: asking a mount whose
// daemon is dead gives an error at best, and one whose daemon hangs never answers.
func resolve(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	for links := 0; err == nil && dir != "/"; links++ {
		var parent string
		if parent, err = filepath.EvalSymlinks(filepath.Dir(dir)); err != nil {
			break
		}
		dir = filepath.Join(parent, filepath.Base(dir))
		if _, is, err := mountAt(dir); is || err != nil {
			return dir, err
		}
		target, errLink := os.Readlink(dir)
		if errLink != nil {
			return dir, nil // not a symlink, or not there: the caller will see
		}
		if links == 40 {
			return "", fmt.Errorf("resolve %s: %w", dir, unix.ELOOP)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		dir = target
	}
	return dir, err
}

var errNoAnswer = errors.New("its daemon does not answer")

// health is nil if the daemon behind the mount on dir answers, errDead if it is gone. Only statfs tells: stat and
// lookups are answered from the kernel's caches long after the daemon has died.
func health(dir string) error {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- ignoringEINTR(func() error { return unix.Statfs(dir, &st) })
	}()
	late := time.NewTimer(answerTime)
	defer late.Stop()
	select {
	case err := <-answer:
		switch {
		// ECONNREFUSED: the daemon died before it had greeted the kernel.
		case errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.ECONNREFUSED):
			return errDead
		}
		return err
	case <-late.C:
		return errNoAnswer
	}
}

var errDead = errors.New("its daemon is dead")

// IsMounted reports whether a mount of ours is on dir, dead or alive. It never hangs.
func IsMounted(dir string) bool {
	dir, err := resolve(dir)
	if err != nil {
		return false
	}
	m, ok, err := mountAt(dir)
	return err == nil && ok && m.fsType == fsType
}

// IsDead reports whether a mount of ours is on dir whose daemon has died. It never hangs.
func IsDead(dir string) bool {
	dir, err := resolve(dir)
	if err != nil {
		return false
	}
	m, ok, err := mountAt(dir)
	return err == nil && ok && m.fsType == fsType && errors.Is(health(dir), errDead)
}

func ignoringEINTR(fn func() error) error {
	for {
		if err := fn(); err != unix.EINTR {
			return err
		}
	}
}
