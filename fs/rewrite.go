package fs

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// rewrite writes every byte of a sparse file anew where it is. Its holes stay. lost says what check, which sees each page, finds
// damaged: that is written as it is.
func rewrite(f vfs.File, check func(page []byte, off int64) error) (lost, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < info.Size(); {
		start, n, err := store.NextData(f, off, info.Size())
		if err != nil {
			return nil, err
		}
		end := start + n
		for off = start / page * page; off < end; off += int64(len(buf)) {
			n, err := f.ReadAt(buf[:min(end-off, int64(len(buf)))], off)
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			whole := (n + page - 1) / page * page
			clear(buf[n:whole]) // zeros are behind the end
			for at := 0; at < whole; at += page {
				if err := check(buf[at:at+page], off+int64(at)); err != nil {
					lost = err
				}
			}
			if _, err := f.WriteAt(buf[:n], off); err != nil {
				return nil, err
			}
		}
		off = end
	}
	return lost, nil
}
