package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/backup"
	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

// maxMissing is how many files are named whose content is not in a backup.
const maxMissing = 100

// Backup is the route's work for a store that no daemon serves.
func Backup(ctx context.Context, o Options, q control.BackupRequest, tell func(control.BackupEvent) error) error {
	return offline(ctx, o, func(d *daemon) error { return d.backup(ctx, q, tell) })
}

// offline brings a store to work without a mount for the time of fn. The store must be there.
func offline(ctx context.Context, o Options, fn func(*daemon) error) (err error) {
	rings, err := keyrings(o.Home)
	if err == nil && len(rings) == 0 {
		err = control.NewError(control.NotFound, fmt.Sprintf("the store at %s has no identity", o.Home), "make one with: rhizome mount")
	}
	if err != nil {
		return err
	}
	d := newDaemon(o)
	defer func() { err = explain(errors.Join(err, d.close()), o) }()
	if err := d.open(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return errors.Join(fn(d), d.finish())
}

// backup copies what may leave this device of one identity, or of all.
func (d *daemon) backup(ctx context.Context, q control.BackupRequest, tell func(control.BackupEvent) error) error {
	dir := string(q.Dir)
	if err := d.outside(dir); err != nil {
		return err
	}
	idents := d.all()
	if q.Identity != "" {
		i, err := d.named(q.Identity)
		if err != nil {
			return err
		}
		idents = []*ident{i}
	}
	for _, i := range idents {
		res, err := i.backup(ctx, q, tell)
		if err != nil {
			return explainBackup(err, dir)
		}
		if err := tell(control.BackupEvent{Result: res}); err != nil {
			return err
		}
	}
	return nil
}

// outside refuses a directory in the mount, which would copy itself, or in the store.
func (d *daemon) outside(dir string) error {
	if !filepath.IsAbs(dir) {
		return control.NewError(control.Usage, fmt.Sprintf("%q is not an absolute path", dir), "")
	}
	places := []string{d.opts.Home}
	if d.conn != nil {
		places = append(places, d.conn.Dir())
	}
	for _, place := range places {
		if dir == place || strings.HasPrefix(dir, place+string(filepath.Separator)) {
			return control.NewError(control.Usage, fmt.Sprintf("%s lies in %s", dir, place), "choose a directory elsewhere, best on another disk")
		}
	}
	return nil
}

// backup brings i's part of a backup up to date.
func (i *ident) backup(ctx context.Context, q control.BackupRequest, tell func(control.BackupEvent) error) (*control.BackupResult, error) {
	told := func(p control.Progress) { _ = tell(control.BackupEvent{Progress: &p}) } // who went is seen by ctx
	told(control.Progress{What: "sealing"})
	asOf, err := i.d.complete(ctx, i)
	if err != nil {
		return nil, err
	}
	settings, roots, err := i.sealSettings()
	if err != nil {
		return nil, err
	}
	members, err := i.d.membership(i.keys.ID())
	if err != nil {
		return nil, err
	}
	i.shortening.RLock()
	defer i.shortening.RUnlock()
	defer i.d.blocks.Hold()() // what origin seals
	out := &control.BackupResult{Identity: i.keys.Name(), Dir: q.Dir}
	src := backup.Source{
		Identity: i.keys.ID(), Members: members, Logs: i.allLogs(), Blocks: i.d.blocks, Roots: roots, AsOf: asOf, Settings: settings,
		Device: i.keys.Device(), Sign: i.keys.Sign,
		Missed: func(lacking map[ipld.CID]struct{}) (missed []ipld.CID, err error) {
			missed, out.Missing, err = i.missed(lacking, roots)
			return missed, err
		},
		Sizes:  i.d.blocks.Sizes,
		Origin: func(l *eventlog.Log) (backup.Origin, error) { return i.origin(ctx, l) },
		Contents: func(l *eventlog.Log, fn func(ipld.CID) error) error {
			return i.d.fs.KeptContents(l.Volume(), func(c ipld.Content) error { return fn(c.Root.CID) })
		},
	}
	write := backup.Write
	if q.Repair {
		write = backup.Mend
	}
	res, err := write(ctx, vfs.Default, string(q.Dir), src, func(p backup.Progress) {
		told(control.Progress{What: string(p.Step), Done: p.Bytes, Total: p.Total})
	})
	if err != nil {
		return nil, err
	}
	out.AsOf, out.Frames, out.Blocks, out.Bytes = res.AsOf, res.Frames, res.Blocks, res.Bytes
	out.MissingVersions = int64(len(res.Lacking))
	for _, f := range res.Faults {
		out.Mended = append(out.Mended, f.String())
	}
	if !res.Before.IsZero() {
		out.Before = &res.Before
	}
	return out, nil
}

// complete brings everything that has happened up to the moment that it returns into frames whose content is sealed, and both to the disk.
func (d *daemon) complete(ctx context.Context, i *ident) (time.Time, error) {
	asOf := time.Now()
	if err := d.fs.SealAll(ctx); err != nil {
		return asOf, fmt.Errorf("seal what was written: %w", err)
	}
	if _, err := i.cutAll(); err != nil {
		return asOf, err
	}
	kick(i.propose)
	return asOf, d.st.Sync()
}

// missed looks which of these contents history keeps, and names files that show them. Those of snapshots it keeps all.
func (i *ident) missed(lacking map[ipld.CID]struct{}, snapshots []ipld.CID) (missed []ipld.CID, files []control.Name, err error) {
	needed := map[ipld.CID]struct{}{}
	for _, c := range snapshots {
		if _, ok := lacking[c]; ok {
			needed[c] = struct{}{}
		}
	}
	for _, l := range i.allLogs() {
		err := i.d.fs.KeptContents(l.Volume(), func(c ipld.Content) error {
			if _, ok := lacking[c.Root.CID]; ok {
				needed[c.Root.CID] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	for c := range needed {
		missed = append(missed, c)
	}
	if len(needed) == 0 {
		return nil, nil, nil
	}
	vols, err := i.d.fs.Volumes()
	if err != nil {
		return nil, nil, err
	}
	for _, v := range vols {
		if l, ok := i.log(v.ID); ok && v.Identity == i.keys.Name() {
			err = errors.Join(err, l.Snapshot(func(r eventlog.Reader) { filesWith(r, needed, label(v.Identity, v.Name), &files) }))
		}
	}
	return missed, files, err
}

// filesWith adds files that show one of these contents, up to maxMissing in all.
func filesWith(r eventlog.Reader, roots map[ipld.CID]struct{}, at control.Name, files *[]control.Name) {
	tree.Walk(r, tree.RootID, func(path [][]byte, e tree.Dirent) bool {
		if e.Kind != tree.File {
			return true
		}
		ino, _ := tree.GetInode(r, e.ID)
		for _, h := range ino.Heads {
			v, ok := tree.GetVersion(r, h.ID)
			if _, lacks := roots[v.Content.Root.CID]; ok && lacks {
				name := at
				for _, step := range path {
					name += "/" + control.Name(step)
				}
				*files = append(*files, name)
				break
			}
		}
		return len(*files) < maxMissing
	})
}

// Settings are what a device knows of an identity that is nowhere in its events. A backup has them sealed.
type settings struct {
	_       struct{} `cbor:",toarray"`
	Name    []byte   // of the identity's directory
	Volumes []volumeSettings
}

// volumeSettings are those of a volume.
type volumeSettings struct {
	_       struct{} `cbor:",toarray"`
	Volume  identity.VolumeID
	Records []fs.Record
}

// settings1 are settings as they were first.
type settings1 struct {
	_    struct{} `cbor:",toarray"`
	Name []byte
}

// sealedSettings are settings under the key of the home volume's frames.
type sealedSettings struct {
	_      struct{} `cbor:",toarray"`
	Epoch  uint32
	Nonce  [identity.NonceSize]byte
	Cipher []byte
}

// settingsHeader is what their ciphertext authenticates: no frame's header begins like this.
const settingsHeader = "rhizome backup settings 1"

// sealSettings returns them sealed, and the roots of the snapshots that they name.
func (i *ident) sealSettings() (sealed []byte, roots []ipld.CID, err error) {
	is := settings{Name: []byte(i.keys.Name())}
	for _, l := range i.allLogs() {
		records, more, err := i.d.fs.Records(l.Volume())
		if err != nil {
			return nil, nil, err
		}
		if roots = append(roots, more...); len(records) > 0 {
			is.Volumes = append(is.Volumes, volumeSettings{Volume: l.Volume(), Records: records})
		}
	}
	keys := i.keys.VolumeKeys(i.keys.VolumeID("", 0))
	s := sealedSettings{Epoch: keys.Epoch()}
	s.Nonce, s.Cipher, err = keys.SealFrame(rand.Reader, s.Epoch, []byte(settingsHeader), dagcbor.Encode(is))
	return dagcbor.Encode(s), roots, err
}

func openSettings(secrets *identity.Secrets, raw []byte) (settings, error) {
	var sealed sealedSettings
	var s settings
	err := dagcbor.Decode(raw, &sealed)
	if err != nil {
		return s, err
	}
	keys := secrets.VolumeKeys(secrets.VolumeID("", 0))
	plain, err := keys.OpenFrame(sealed.Epoch, sealed.Nonce, []byte(settingsHeader), sealed.Cipher)
	if err != nil {
		return s, err
	}
	if err = dagcbor.Decode(plain, &s); err != nil {
		var old settings1
		if err := dagcbor.Decode(plain, &old); err == nil {
			return settings{Name: old.Name}, nil
		}
	}
	return s, err
}

// explainBackup gives an error of a backup its code, and says what to do.
func explainBackup(err error, dir string) error {
	switch {
	case errors.Is(err, backup.ErrNotBackup):
		return control.Fail(control.Usage, err, "give a directory that is empty, does not exist, or is a backup; nothing was changed")
	case errors.Is(err, backup.ErrNoIdentity):
		return control.Fail(control.NotFound, err, "see what it has: ls "+dir)
	case errors.Is(err, backup.ErrOther):
		return control.Fail(control.Refused, err, "another store goes on with it, or this one was put back to an earlier moment: back up to another directory; nothing was changed")
	case errors.Is(err, backup.ErrDamaged):
		return control.Fail(control.Damaged, err, "write anew what is damaged: rhizome backup --repair "+dir+"; nothing was changed")
	case errors.Is(err, backup.ErrVersion):
		return control.Fail(control.Failed, err, "use a newer version of rhizome; nothing was changed")
	case errors.Is(err, syscall.ENOSPC):
		return control.Fail(control.Failed, err, "the disk of "+dir+" is full: free some space there; the backup is what it was")
	case errors.Is(err, backup.ErrBusy):
		return control.Fail(control.InUse, err, "wait for it to end")
	}
	return err
}
