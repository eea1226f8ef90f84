package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Version is the format of the whole home directory that this program reads and writes.
const Version = 1

const (
	formatFile = "FORMAT"
	formatWord = "rhizome store "
	lockFile   = "lock"
	tmpSuffix  = ".tmp"
)

// checkHome refuses a directory that is neither a store nor empty. It changes nothing.
func checkHome(fs vfs.FS, home string) error {
	names, err := fs.List(home)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if slices.Contains(names, formatFile) {
		return checkFormat(fs, home)
	}
	for _, name := range names {
		if name != lockFile && name != formatFile+tmpSuffix { // what an interrupted Open leaves
			return ErrNotStore
		}
	}
	return nil
}

func checkFormat(fs vfs.FS, home string) error {
	f, err := fs.Open(fs.PathJoin(home, formatFile))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, 256))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	found, ok := strings.CutPrefix(strings.TrimSuffix(string(text), "\n"), formatWord)
	if !ok {
		return &VersionError{Found: strconv.Quote(string(text)), Known: Version}
	}
	if found != strconv.Itoa(Version) {
		return &VersionError{Found: strconv.Quote(found), Known: Version}
	}
	return nil
}

// writeFormat makes an empty home a store, unless it is one. It is atomic, and on disk on return.
func writeFormat(fs vfs.FS, home string) error {
	path := fs.PathJoin(home, formatFile)
	if _, err := fs.Stat(path); err == nil {
		return nil
	}
	return WriteFile(fs, path, fmt.Appendf(nil, "%s%d\n", formatWord, Version))
}

// WriteFile writes a file as a whole: a crash leaves the old one or the new one. It is on disk on return.
func WriteFile(fs vfs.FS, path string, data []byte) error {
	tmp := path + tmpSuffix
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(tmp, path)
	}
	if err != nil {
		_ = fs.Remove(tmp)
		return err
	}
	return syncDir(fs, fs.PathDir(path))
}

func syncDir(fs vfs.FS, path string) error {
	dir, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// lockHome takes the home for this process. The kernel lets go of it when the process ends, however it
// ends. The file's text is the owner's pid; it stays behind, and means nothing while nobody has the lock.
func lockHome(fs vfs.FS, home string) (io.Closer, error) {
	path := fs.PathJoin(home, lockFile)
	if vfs.Root(fs) != vfs.Default {
		l, err := fs.Lock(path)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, &InUseError{}
		}
		return l, err
	}
	if err := os.Chmod(home, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid := lockOwner(f)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &InUseError{PID: pid}
		}
		return nil, err
	}
	if err := writePID(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func writePID(f *os.File) error {
	// One write, then the cut: a reader in between sees a pid, if with an old digit behind the newline.
	text := fmt.Appendf(nil, "%d\n", os.Getpid())
	if _, err := f.WriteAt(text, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

func lockOwner(f *os.File) int {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	pid, _ := strconv.Atoi(line)
	return pid
}
