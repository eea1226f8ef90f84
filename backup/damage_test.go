package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// files lists what a backup has, with lengths and hashes.
func files(t testing.TB, fs vfs.FS) (list []string) {
	t.Helper()
	for _, path := range paths(t, fs) {
		list = append(list, fmt.Sprintf("%s %x", path, get(t, fs, path)))
	}
	return list
}

func paths(t testing.TB, fs vfs.FS) (all []string) {
	t.Helper()
	parts, err := Parts(fs, "backup")
	must(t, err)
	for _, part := range parts {
		names, err := fs.List(fs.PathJoin("backup", part))
		must(t, err)
		for _, name := range names {
			if name != lockFile {
				all = append(all, fs.PathJoin("backup", part, name))
			}
		}
	}
	slices.Sort(all)
	return all
}

func get(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	b, err := readAll(fs, path, 1<<30)
	must(t, err)
	return b
}

func put(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, category)
	must(t, err)
	_, err = f.Write(bytes.Clone(data))
	must(t, errors.Join(err, f.Close()))
}

// Every file that is missing, cut or has a flipped bit is named; nothing is added to such a backup, and what is read of it is right.
func TestDamage(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	d.write(d.logs[0], 4, 200, true)
	d.backup(fs)
	d.write(d.logs[1], 4, 200, false)
	d.backup(fs)
	for _, path := range paths(t, fs) {
		whole := get(t, fs, path)
		name := fs.PathBase(path)
		damaged := func(how string, data []byte) {
			t.Helper()
			must(t, fs.RemoveAll(path))
			if data != nil {
				put(t, fs, path, data)
			}
			d.wantNamed(fs, name, how, len(data) == len(whole))
		}
		damaged("missing", nil)
		damaged("cut", whole[:len(whole)-1])
		damaged("empty", []byte{})
		for bit := 0; bit < 8*len(whole); bit += 1 + 8*len(whole)/40 {
			b := bytes.Clone(whole)
			b[bit/8] ^= 1 << (bit % 8)
			damaged(fmt.Sprintf("bit %d flipped", bit), b)
		}
		damaged("whole", whole)
	}
	d.wantSame(d.recovered(fs))
}

// wantNamed fails unless the damage of a file is told.
func (d *device) wantNamed(fs vfs.FS, name, how string, sameSize bool) {
	d.Helper()
	b, err := Open(fs, "backup", d.keys.ID())
	if name == manifestFile && how != "whole" {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
			d.Fatalf("%s %s: opened: %v", name, how, err)
		}
		return
	}
	must(d, err)
	faults, err := b.Check(context.Background(), func(Progress) {})
	must(d, err)
	if how == "whole" {
		if len(faults) > 0 {
			d.Fatalf("whole: %v", faults)
		}
		return
	}
	if len(faults) != 1 || faults[0].File != name {
		d.Fatalf("%s %s: found %v", name, how, faults)
	}
	if sizes, err := b.Sizes(); err != nil || len(sizes) == 1 == sameSize {
		d.Fatalf("%s %s: by the sizes: %v %v", name, how, sizes, err)
	}
	if !sameSize {
		if _, err := Write(context.Background(), fs, "backup", d.source(), nil); !errors.Is(err, ErrDamaged) {
			d.Fatalf("%s %s: added to: %v", name, how, err)
		}
	}
	// What is read all the same is what was written.
	note := func(Fault) error { return nil }
	must(d, b.Blocks(context.Background(), note, func(b ipld.Block) error {
		want, err := d.blocks.Get(b.CID)
		if err == nil && !bytes.Equal(want.Data, b.Data) {
			err = errors.New("wrong bytes")
		}
		return err
	}))
	must(d, b.Items(context.Background(), note, func(i Item) error {
		l := d.log(i.Volume)
		if f, err := l.Frame(i.Hash); err != nil || i.Frame != nil && !bytes.Equal(f.Raw, i.Frame) {
			return fmt.Errorf("frame %x: %w", i.Hash, err)
		}
		return nil
	}))
}

// A flipped bit costs one block, whatever it hits.
func TestRestOfADamagedPack(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	d.write(d.logs[0], 20, 200, true)
	d.backup(fs)
	for _, path := range paths(t, fs) {
		if fs.PathBase(path) != packName(2, blockSuffix) {
			continue
		}
		whole := get(t, fs, path)
		for bit := 8 * int(ipld.CARHeaderSize); bit < 8*len(whole); bit += 997 {
			b := bytes.Clone(whole)
			b[bit/8] ^= 1 << (bit % 8)
			put(t, fs, path, b)
			part, err := Open(fs, "backup", d.keys.ID())
			must(t, err)
			n, faults := 0, 0
			must(t, part.Blocks(t.Context(), func(Fault) error { faults++; return nil }, func(ipld.Block) error { n++; return nil }))
			if n != 39 || faults != 1 {
				t.Fatalf("bit %d: %d blocks and %d faults", bit, n, faults)
			}
		}
		put(t, fs, path, whole)
	}
	d.wantSame(d.recovered(fs))
}

// What was restored in part is restored as a whole by doing it again.
func TestRestoreAgain(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	for range 4 {
		d.write(d.logs[0], 10, 200, true)
		d.write(d.logs[1], 3, 200, false)
		d.backup(fs)
		d.order(d.logs[1])
	}
	b, err := Open(fs, "backup", d.keys.ID())
	must(t, err)
	to := &device{TB: t, keys: d.keys, members: b.Members(), sealer: d.sealer}
	to.open()
	open := func(v identity.VolumeID) (*eventlog.Log, error) { return to.log(v), nil }
	note := func(Fault) error { return nil }
	for n := range 40 {
		ctx, cancel := context.WithCancel(t.Context())
		left := n
		err := b.RestoreLogs(ctx, open, nothing, note, func(Progress) {
			if left--; left < 0 {
				cancel()
			}
		})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("after %d items: %v", n, err)
		}
	}
	must(t, b.RestoreLogs(t.Context(), open, nothing, note, func(Progress) {}))
	d.order(d.logs[1]) // nothing: the backup is of before the last one
	for i := range d.logs {
		if got, want := to.logs[i].Stats().CommittedFrames+to.logs[i].Stats().TentativeFrames, d.logs[i].Stats().CommittedFrames; got != want {
			t.Errorf("volume %d has %d frames, should have %d", i, got, want)
		}
	}
}
