package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sizeOf says what a look at a pack's length tells: "" if it is as it should be.
func sizeOf(fs vfs.FS, dir string, p pack) (string, error) {
	info, err := fs.Stat(fs.PathJoin(dir, p.Name))
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return "it is missing", nil
	case err != nil:
		return "", err
	case info.Size() != p.Size:
		return fmt.Sprintf("it has %d bytes, and had %d", info.Size(), p.Size), nil
	}
	return "", nil
}

// checkSizes fails if a pack is missing or cut.
func checkSizes(fs vfs.FS, dir string, m *manifest) error {
	for _, p := range m.Packs {
		what, err := sizeOf(fs, dir, p)
		if err != nil {
			return err
		}
		if what != "" {
			return fmt.Errorf("%w: %s: %s", ErrDamaged, p.Name, what)
		}
	}
	return nil
}

// Sizes tells the packs that are missing or have another length than they had. It reads none.
func (b *Backup) Sizes() ([]Fault, error) {
	var faults []Fault
	for _, p := range b.m.Packs {
		what, err := sizeOf(b.fs, b.dir, p)
		if err != nil {
			return nil, err
		}
		if what != "" {
			faults = append(faults, Fault{p.Name, what})
		}
	}
	return faults, nil
}

// Check reads every pack and compares it with its hash. tell is called now and then.
func (b *Backup) Check(ctx context.Context, tell func(Progress)) ([]Fault, error) {
	var faults []Fault
	done := Progress{Step: Checking, Total: b.Size()}
	for _, p := range b.m.Packs {
		what, err := b.examine(ctx, p, func(n int) {
			done.Bytes += int64(n)
			tell(done)
		})
		if err != nil {
			return nil, fmt.Errorf("check %s: %w", p.Name, err)
		}
		if what != "" {
			faults = append(faults, Fault{p.Name, what})
		}
	}
	return faults, nil
}

// examine says what is wrong with a pack, or "".
func (b *Backup) examine(ctx context.Context, p pack, read func(n int)) (string, error) {
	what, err := sizeOf(b.fs, b.dir, p)
	if err != nil || what != "" {
		return what, err
	}
	return b.compare(ctx, p, read)
}

func (b *Backup) compare(ctx context.Context, p pack, read func(n int)) (string, error) {
	f, err := b.fs.Open(b.fs.PathJoin(b.dir, p.Name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum, buf := sha256.New(), make([]byte, min(max(p.Size, 1), bufferSize))
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		read(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "it can't be read: " + err.Error(), nil
		}
	}
	if [32]byte(sum.Sum(nil)) != p.Hash {
		return "it is not what was written", nil
	}
	return "", nil
}

// readPack reads a small pack as a whole, and checks it.
func readPack(fs vfs.FS, dir string, p pack) ([]byte, error) {
	b, err := readAll(fs, fs.PathJoin(dir, p.Name), maxIndex)
	if err == nil && (int64(len(b)) != p.Size || sha256.Sum256(b) != p.Hash) {
		err = fmt.Errorf("%w: %s is not what was written", ErrDamaged, p.Name)
	}
	return b, err
}
