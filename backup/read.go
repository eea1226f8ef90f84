package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A Backup is an identity's part of one, opened for reading.
type Backup struct {
	fs  vfs.FS
	dir string
	m   *manifest
}

// A Fault is a file that is not what was written.
type Fault struct {
	File string
	What string
}

func (f Fault) String() string { return f.File + ": " + f.What }

// Open reads the manifest of an identity's part of the backup in dir. Errors: ErrNotBackup, ErrVersion, ErrNoIdentity, ErrDamaged.
func Open(fs vfs.FS, dir string, id identity.IdentityID) (*Backup, error) {
	b, err := open(fs, dir, partName(id))
	if err == nil && b.m.Identity != id {
		err = fmt.Errorf("%w: %s is of another one", ErrNoIdentity, partName(id))
	}
	if err != nil {
		return nil, fmt.Errorf("open backup %s: %w", dir, err)
	}
	return b, nil
}

// OpenAll opens the parts of all identities that the backup in dir has. A part that can't be opened is told to fault.
func OpenAll(fs vfs.FS, dir string, fault func(Fault)) ([]*Backup, error) {
	var all []*Backup
	parts, err := Parts(fs, dir)
	for _, part := range parts {
		b, err := open(fs, dir, part)
		switch {
		case err == nil:
			all = append(all, b)
		case !errors.Is(err, ErrNoIdentity): // else it has nothing yet
			fault(Fault{part, err.Error()})
		}
	}
	return all, err
}

// Parts lists the parts of the backup in dir: the first 16 hexadecimal digits of identities' ids.
func Parts(fs vfs.FS, dir string) ([]string, error) {
	err := checkFormat(fs, dir)
	if errors.Is(err, iofs.ErrNotExist) {
		err = ErrNotBackup
	}
	var names []string
	if err == nil {
		names, err = fs.List(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open backup %s: %w", dir, err)
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool {
		return len(name) != 16 || strings.Trim(name, "0123456789abcdef") != ""
	}), nil
}

func open(fs vfs.FS, dir, part string) (*Backup, error) {
	if err := checkFormat(fs, dir); errors.Is(err, iofs.ErrNotExist) {
		return nil, ErrNotBackup
	} else if err != nil {
		return nil, err
	}
	b := &Backup{fs: fs, dir: fs.PathJoin(dir, part)}
	names, err := fs.List(b.dir)
	if errors.Is(err, iofs.ErrNotExist) || err == nil && !slices.ContainsFunc(names, isOurs) {
		return nil, ErrNoIdentity
	}
	if err != nil {
		return nil, err
	}
	b.m, err = loadManifest(fs, b.dir)
	if errors.Is(err, iofs.ErrNotExist) {
		err = fmt.Errorf("%w: %s is missing", ErrDamaged, manifestFile)
	}
	if err == nil && partName(b.m.Identity) != part {
		err = fmt.Errorf("%w: %s is of identity %v", ErrDamaged, manifestFile, b.m.Identity)
	}
	if err == nil && b.m.Time == 0 {
		err = fmt.Errorf("%w: its first run was never finished", ErrNoIdentity)
	}
	return b, err
}

// isOurs reports whether a name is one that says that a part was begun.
func isOurs(name string) bool { return name == manifestFile || isPack(name) }

// Identity returns whose it is.
func (b *Backup) Identity() identity.IdentityID { return b.m.Identity }

// AsOf returns the moment as of which the backup is complete.
func (b *Backup) AsOf() time.Time { return b.m.time() }

// Members returns the membership log.
func (b *Backup) Members() [][]byte { return slices.Clone(b.m.Members) }

// Settings returns what the writer wanted a recovered device to know, sealed.
func (b *Backup) Settings() []byte { return b.m.Settings }

// Lacking returns the roots of contents that are not in the backup as a whole, and should be.
func (b *Backup) Lacking() []ipld.CID { return b.m.Lacking }

// Origins returns the checkpoints from which logs go on whose first frames are not in the backup.
func (b *Backup) Origins() []Origin { return slices.Clone(b.m.Origins) }

// Size returns how many bytes the packs have.
func (b *Backup) Size() int64 { return b.size("") }

// BlockBytes returns how many of them are of block packs.
func (b *Backup) BlockBytes() int64 { return b.size(blockSuffix) }

// LogBytes returns how many of them are of log packs.
func (b *Backup) LogBytes() int64 { return b.size(logSuffix) }

func (b *Backup) size(suffix string) (n int64) {
	for _, p := range b.m.Packs {
		if strings.HasSuffix(p.Name, suffix) {
			n += p.Size
		}
	}
	return n
}

// Items calls fn for what the log packs hold: a frame comes after what it builds on, and its place after it. A pack that is not what was
// written is told to fault, which returns an error to end there. Else the frames that can be read in it count, each being what its hash
// says, but no places.
func (b *Backup) Items(ctx context.Context, fault func(Fault) error, fn func(Item) error) error {
	for _, p := range b.m.Packs {
		if !strings.HasSuffix(p.Name, logSuffix) {
			continue
		}
		what, err := b.examine(ctx, p, func(int) {})
		if err == nil && what != "" {
			err = fault(Fault{p.Name, what})
		}
		if err == nil {
			err = b.items(ctx, p, what == "", fn)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", p.Name, err)
		}
	}
	return nil
}

func (b *Backup) items(ctx context.Context, p pack, whole bool, fn func(Item) error) error {
	f, err := b.fs.Open(b.fs.PathJoin(b.dir, p.Name))
	if !whole && errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = readItems(io.LimitReader(f, p.Size), func(i Item) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !whole {
			if i.Index = 0; i.Frame == nil {
				return nil
			}
		}
		return fn(i)
	})
	if !whole && errors.Is(err, ErrDamaged) {
		err = nil // as was told
	}
	return errors.Join(err, f.Close())
}

// Blocks calls fn for every block of the packs, in the order in which they were written; each has the hash that its CID says. What can't be read
// is told to fault, as in Items.
func (b *Backup) Blocks(ctx context.Context, fault func(Fault) error, fn func(ipld.Block) error) error {
	for _, p := range b.m.Packs {
		if !strings.HasSuffix(p.Name, blockSuffix) {
			continue
		}
		if err := b.blocks(ctx, p, fault, fn); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backup) blocks(ctx context.Context, p pack, fault func(Fault) error, fn func(ipld.Block) error) error {
	f, err := b.fs.Open(b.fs.PathJoin(b.dir, p.Name))
	if errors.Is(err, iofs.ErrNotExist) {
		return fault(Fault{p.Name, "it is missing"})
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in := newAhead(f, p.Size)
	// The index says where blocks begin even if a length is damaged. Without it they are found one behind the other.
	var offsets []int64
	if i := b.indexOf(p); i != nil {
		err := parseIndex(i, func(_ ipld.CID, off int64, _ int) { offsets = append(offsets, off) })
		if err != nil {
			offsets = nil
		}
	}
	bad := 0
	for off, n := ipld.CARHeaderSize, 0; off < p.Size; n++ {
		if offsets != nil {
			if n == len(offsets) {
				break
			}
			off = offsets[n]
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		block, next, err := ipld.ReadCARAt(in, off, p.Size)
		if err == nil {
			err = fn(block)
			if err != nil {
				return err
			}
		} else {
			bad++
		}
		if off = next; next == 0 && offsets == nil {
			break
		}
	}
	if bad > 0 {
		return fault(Fault{p.Name, fmt.Sprintf("%d blocks or more are damaged", bad)})
	}
	return nil
}

// indexOf reads a block pack's index, or returns nil.
func (b *Backup) indexOf(p pack) []byte {
	name := strings.TrimSuffix(p.Name, blockSuffix) + indexSuffix
	i := slices.IndexFunc(b.m.Packs, func(p pack) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	data, err := readPack(b.fs, b.dir, b.m.Packs[i])
	if err != nil {
		return nil
	}
	return data
}
