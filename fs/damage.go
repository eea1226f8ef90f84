package fs

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Damage is a file whose bytes could not be read as they were written.
type Damage struct {
	Volume identity.VolumeID
	File   tree.FileID
	Path   string // in the volume, as it is called now
	Why    string
}

const maxDamage = 1000

// damageList remembers what was found damaged since the start, each file once.
type damageList struct {
	mu   sync.Mutex
	list []Damage
}

func (d *damageList) add(v *Volume, file tree.FileID, why error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.list {
		if x.Volume == v.id && x.File == file {
			return false
		}
	}
	if len(d.list) < maxDamage {
		d.list = append(d.list, Damage{Volume: v.id, File: file, Why: why.Error()})
	}
	return true
}

// damaged makes an error of reading ErrDamaged if the bytes are to blame, and remembers the file.
func (f *FS) damaged(n *Node, err error) error {
	if err == nil || !isDamage(err) {
		return err
	}
	return n.vol.damaged(f.table.fileOf(n), n.ino, err)
}

func isDamage(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ipld.ErrDamaged) || errors.Is(err, ipld.ErrNotFound)
}

// damaged is FS.damaged for an error that is damage, of a file that need have no node.
func (v *Volume) damaged(file tree.FileID, ino uint64, err error) error {
	if v.fs.damage.add(v, file, err) {
		v.fs.log.Error("read a damaged file", "volume", fmt.Sprintf("%x", v.id), "inode", ino, "err", err)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// Damaged lists what was found damaged since the start.
func (f *FS) Damaged() []Damage {
	f.damage.mu.Lock()
	list := slices.Clone(f.damage.list)
	f.damage.mu.Unlock()
	for i := range list {
		f.mu.Lock()
		v := f.volumes[list[i].Volume]
		f.mu.Unlock()
		v.view(false, func(r eventlog.Reader) error {
			if ns := tree.Names(r, list[i].File); len(ns) > 0 {
				list[i].Path = pathString(v.pathOf(r, list[i].File))
			}
			return nil
		})
	}
	return list
}

// pathString joins the names of a path.
func pathString(p tree.Path) string {
	var b []byte
	for i, s := range p {
		if i > 0 {
			b = append(b, '/')
		}
		b = append(b, s.Name...)
	}
	return string(b)
}
