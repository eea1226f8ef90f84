package backup

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

const (
	formatFile   = "FORMAT"
	formatText   = "rhizome backup 1\n"
	manifestFile = "manifest"
	lockFile     = "lock"

	logSuffix   = ".log"
	blockSuffix = ".car"
	indexSuffix = ".index"

	category = vfs.WriteCategoryUnspecified
)

var (
	// ErrNotBackup says that a directory is no backup, and has something else in it.
	ErrNotBackup = errors.New("not a backup of rhizome")
	// ErrVersion says that a backup is of a version that this program does not know.
	ErrVersion = errors.New("made by a newer version of rhizome")
	// ErrNoIdentity says that a backup has nothing of an identity.
	ErrNoIdentity = errors.New("the backup has nothing of this identity")
	// ErrDamaged says that a backup is not what was written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrBusy says that somebody else is writing the backup.
	ErrBusy = errors.New("another backup is being written there")
	// ErrOther says that a backup has an order that the store does not have.
	ErrOther = errors.New("the backup goes on otherwise than this store")
)

// partName is the directory of an identity's part.
func partName(id identity.IdentityID) string { return hex.EncodeToString(id[:8]) }

func packName(n uint64, suffix string) string { return fmt.Sprintf("%08d%s", n, suffix) }

// isPack reports whether a name is one that packs have.
func isPack(name string) bool {
	i := strings.IndexByte(name, '.')
	if i < 8 || strings.Trim(name[:i], "0123456789") != "" {
		return false
	}
	return slices.Contains([]string{logSuffix, blockSuffix, indexSuffix}, name[i:])
}

// prepare makes dir a backup if it is empty or not there.
func prepare(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	switch err := checkFormat(fs, dir); {
	case err == nil:
		return nil
	case !errors.Is(err, iofs.ErrNotExist):
		return err
	}
	for _, name := range names {
		// What a file system or a file manager has at its top, and what an interrupted run left.
		if name[0] != '.' && name != "lost+found" && name != formatFile+".tmp" {
			return ErrNotBackup
		}
	}
	if err := makeDir(fs, dir); err != nil {
		return err
	}
	return store.WriteFile(fs, fs.PathJoin(dir, formatFile), []byte(formatText))
}

// makeDir makes a directory. It is on disk on return.
func makeDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(dir))
}

// checkFormat fails with ErrNotExist if dir has no format file.
func checkFormat(fs vfs.FS, dir string) error {
	text, err := readAll(fs, fs.PathJoin(dir, formatFile), 256)
	switch {
	case err != nil:
		return err
	case string(text) == formatText:
		return nil
	case strings.HasPrefix(string(text), "rhizome backup ") && !strings.HasPrefix(formatText, string(text)): // else it is cut
		return fmt.Errorf("%w: it is %q", ErrVersion, strings.TrimSpace(string(text)))
	}
	return ErrNotBackup
}

// readAll reads a file of at most most bytes.
func readAll(fs vfs.FS, path string, most int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrDamaged, path, most)
	}
	return b, errors.Join(err, f.Close())
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
