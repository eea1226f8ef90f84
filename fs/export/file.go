package export

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// tempPrefix is how the names of what is not finished begin.
const tempPrefix = ".rhizome-export-"

// writeFile makes a file by fill, which may use another one meanwhile. The file has its name when it is whole and on the disk; else there is
// none.
func writeFile(path string, mode os.FileMode, fill func(out io.Writer, scratch *os.File) error) (err error) {
	dir := filepath.Dir(path)
	scratch, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	defer scratch.Close()
	if err := os.Remove(scratch.Name()); err != nil { // it lives for as long as it is open
		return err
	}
	out, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		_ = out.Close() // it is synced, or goes
		if err != nil {
			_ = os.Remove(out.Name())
		}
	}()
	if err := out.Chmod(mode); err != nil {
		return err
	}
	if err := fill(out, scratch); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
