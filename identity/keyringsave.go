package identity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	keyringSuffix = ".keys"
	unfinished    = ".new" // what a Save had not finished
	ioCategory    = vfs.WriteCategoryUnspecified
)

func (k *Keyring) fileName() string { return hex.EncodeToString(k.id[:8]) + keyringSuffix }

// Save writes the keyring to its file in dir, which it makes if it is missing. On return the new file is on disk under its
// name; if it fails or the machine stops, the old one is whole. If the old file held the root's entropy and the new one
// does not, the old one's bytes are then overwritten, as well as a file system lets one do that.
func (k *Keyring) Save(fs vfs.FS, dir string) error {
	if err := k.save(fs, dir); err != nil {
		return fmt.Errorf("save keyring %s: %w", fs.PathJoin(dir, k.fileName()), err)
	}
	return nil
}

func (k *Keyring) save(fs vfs.FS, dir string) error {
	data := k.encode()
	defer clear(data)
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syncDir(fs, fs.PathDir(dir)); err != nil {
		return err
	}
	path := fs.PathJoin(dir, k.fileName())
	if err := scrub(fs, path+unfinished); err != nil { // what a Save that was cut short may have left
		return err
	}
	if err := writeFile(fs, path+unfinished, data); err != nil {
		return errors.Join(err, ignoreMissing(fs.Remove(path+unfinished)))
	}
	old, err := openToErase(fs, path, data)
	if err != nil {
		return err
	}
	defer old.Close()
	if err := fs.Rename(path+unfinished, path); err != nil {
		return err
	}
	if err := syncDir(fs, dir); err != nil {
		return err
	}
	return old.erase()
}

// LoadKeyrings reads every keyring in dir, in the order of their names; none if there is no dir. The first bad one is an error
// that names its file and wraps ErrDamaged or ErrNewer.
func LoadKeyrings(fs vfs.FS, dir string) ([]*Keyring, error) {
	names, err := fs.List(dir)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load keyrings %s: %w", dir, err)
	}
	var all []*Keyring
	for _, name := range names {
		if !strings.HasSuffix(name, keyringSuffix) {
			continue
		}
		path := fs.PathJoin(dir, name)
		k, err := loadKeyring(fs, path)
		if err == nil && k.fileName() != name {
			err = fmt.Errorf("%w: it is the keyring of %v", ErrDamaged, k.ID())
		}
		if err != nil {
			return nil, fmt.Errorf("load keyring %s: %w", path, err)
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *Keyring) int {
		return strings.Compare(a.name+"/"+a.fileName(), b.name+"/"+b.fileName())
	})
	return all, nil
}

func loadKeyring(fs vfs.FS, path string) (*Keyring, error) {
	data, err := readFile(fs, path)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	return parseKeyring(data)
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyring+1))
	if err == nil && len(data) > maxKeyring {
		err = fmt.Errorf("%w: it is longer than %d bytes", ErrDamaged, maxKeyring)
	}
	return data, err
}

// writeFile makes a file that only its owner can read. On return it is on disk, but for its name.
func writeFile(fs vfs.FS, path string, data []byte) (err error) {
	f, err := fs.Create(path, ioCategory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if fd := f.Fd(); fd != vfs.InvalidFd { // a file in memory has none, and no mode
		if err := syscall.Fchmod(int(fd), 0o600); err != nil {
			return err
		}
	}
	written := bytes.Clone(data) // a vfs.File may change what it is given
	defer clear(written)
	if _, err := f.Write(written); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}

// An erasure is an old keyring file that is about to lose its name, held open so that its bytes can be overwritten after
// that. The zero erasure does nothing.
type erasure struct {
	file vfs.File
	size int
}

// openToErase opens the file at path if it holds a recovery phrase that its successor, next, does not. A file that does
// not parse might.
func openToErase(fs vfs.FS, path string, next []byte) (erasure, error) {
	data, err := readFile(fs, path)
	if err != nil {
		return erasure{}, ignoreMissing(err)
	}
	defer clear(data)
	if k, err := parseKeyring(data); bytes.Equal(data, next) || holdsRoot(next) || (err == nil && k.entropy == nil) {
		return erasure{}, nil
	}
	f, err := fs.OpenReadWrite(path, ioCategory)
	return erasure{f, len(data)}, err
}

func holdsRoot(file []byte) bool {
	k, err := parseKeyring(file)
	return err == nil && k.entropy != nil
}

func (e erasure) erase() error {
	if e.file == nil {
		return nil
	}
	if _, err := e.file.WriteAt(make([]byte, e.size), 0); err != nil {
		return err
	}
	return e.file.Sync()
}

func (e erasure) Close() error {
	if e.file == nil {
		return nil
	}
	return e.file.Close()
}

// scrub overwrites and removes an unfinished file, if there is one.
func scrub(fs vfs.FS, path string) error {
	st, err := fs.Stat(path)
	if err != nil {
		return ignoreMissing(err)
	}
	f, err := fs.OpenReadWrite(path, ioCategory)
	if err != nil {
		return err
	}
	err = errors.Join(erasure{f, int(min(st.Size(), maxKeyring))}.erase(), f.Close())
	return errors.Join(err, fs.Remove(path))
}
