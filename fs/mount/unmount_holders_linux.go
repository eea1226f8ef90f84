package mount

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Holders lists the programs that keep the mount on dir busy, as far as this process may see: an ordinary user sees
// only their own. It asks /proc alone and never the mount, which may be dead.
func Holders(dir string) ([]Holder, error) {
	point, err := resolve(dir)
	if err != nil {
		return nil, fmt.Errorf("holders of %s: %w", dir, pathCause(err))
	}
	if _, ok, err := mountAt(point); err != nil {
		return nil, fmt.Errorf("holders of %s: %w", dir, err)
	} else if !ok {
		return nil, fmt.Errorf("holders of %s: %w", dir, ErrNotMounted)
	}
	found, _ := holders(point)
	return found, nil
}

// holders lists the programs and the mounts below that keep the mount on point busy.
func holders(point string) (found []Holder, below []string) {
	m, ok, err := mountAt(point)
	if err != nil || !ok {
		return nil, nil
	}
	if all, err := mountTable(); err == nil {
		for _, x := range all {
			if x.parent == m.id {
				below = append(below, x.point)
			}
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range processes {
		paths := slices.Concat(heldFiles(proc, m), heldPlaces(proc, m), heldMappings(proc, m))
		if len(paths) == 0 {
			continue
		}
		slices.Sort(paths)
		pid, _ := strconv.Atoi(filepath.Base(proc))
		comm, _ := os.ReadFile(proc + "/comm")
		found = append(found, Holder{PID: pid, Command: strings.TrimSpace(string(comm)), Paths: slices.Compact(paths)})
	}
	slices.SortFunc(found, func(a, b Holder) int { return a.PID - b.PID })
	return found, below
}

// heldFiles are the open files of a process on the mount. The mount's id in fdinfo tells, so that nothing is stat'ed.
func heldFiles(proc string, m mounted) (paths []string) {
	infos, err := os.ReadDir(proc + "/fdinfo")
	if err != nil {
		return nil // ended, or another user's
	}
	for _, e := range infos {
		info, err := os.ReadFile(proc + "/fdinfo/" + e.Name())
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(info)) {
			if id, ok := strings.CutPrefix(line, "mnt_id:"); ok && strings.TrimSpace(id) == strconv.Itoa(m.id) {
				if path, err := os.Readlink(proc + "/fd/" + e.Name()); err == nil {
					paths = append(paths, path)
				}
			}
		}
	}
	return paths
}

// heldPlaces are the working directory, root and program of a process if they lie on the mount.
func heldPlaces(proc string, m mounted) (paths []string) {
	for _, what := range []string{"/cwd", "/root", "/exe"} {
		path, err := os.Readlink(proc + what)
		if err == nil && (path == m.point || strings.HasPrefix(path, m.point+"/")) {
			paths = append(paths, path)
		}
	}
	return paths
}

// heldMappings are the files of the mount that a process has mapped into its memory.
func heldMappings(proc string, m mounted) (paths []string) {
	major, minor, err := parseDev(m.dev)
	if err != nil {
		return nil
	}
	dev := fmt.Sprintf("%02x:%02x", major, minor)
	f, err := os.Open(proc + "/maps")
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// start-end perms offset dev inode path
		fields := strings.SplitN(lines.Text(), " ", 6)
		if len(fields) == 6 && fields[3] == dev {
			paths = append(paths, strings.TrimLeft(fields[5], " "))
		}
	}
	return paths
}
