package backup

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	packBytes  = 256 << 20 // a pack that has so many bytes is full
	syncBytes  = 8 << 20   // how often the kernel is asked to begin writing
	bufferSize = 256 << 10
)

// A packFile is a pack that is being written.
type packFile struct {
	name string
	file vfs.File
	buf  *bufio.Writer
	sum  hash.Hash
	size int64
}

func createPack(fs vfs.FS, dir, name string) (*packFile, error) {
	f, err := fs.Create(fs.PathJoin(dir, name), category)
	if err != nil {
		return nil, err
	}
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: syncBytes})
	p := &packFile{name: name, file: f, sum: sha256.New()}
	p.buf = bufio.NewWriterSize(struct{ io.Writer }{f}, bufferSize)
	return p, nil
}

// Write implements io.Writer.
func (p *packFile) Write(b []byte) (int, error) {
	p.sum.Write(b)
	p.size += int64(len(b))
	return p.buf.Write(b)
}

// finish returns the pack as the manifest names it. It is on disk, but for its name.
func (p *packFile) finish() (pack, error) {
	err := p.buf.Flush()
	if err == nil {
		err = p.file.Sync()
	}
	err = errors.Join(err, p.file.Close())
	return pack{Name: p.name, Size: p.size, Hash: [32]byte(p.sum.Sum(nil))}, err
}

// abandon closes a pack that will not be finished.
func (p *packFile) abandon() { _ = p.file.Close() }
