package fs

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// rewrite writes every byte of a sparse file anew where it is. Its holes stay.
func rewrite(f vfs.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < info.Size(); {
		var n int64
		if off, n, err = store.NextData(f, off, info.Size()); err != nil {
			return err
		}
		for ; n > 0; n -= int64(len(buf)) {
			part := buf[:min(n, int64(len(buf)))]
			if _, err := f.ReadAt(part, off); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if _, err := f.WriteAt(part, off); err != nil {
				return err
			}
			off += int64(len(part))
		}
	}
	return nil
}
