package backup

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/ipld"
)

// Run after run, what comes back is all that there was, and a run writes only what is new.
func TestIncremental(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	d.write(d.logs[0], 5, 1000, true)
	d.write(d.logs[1], 300, 20_000, true)
	first := d.backup(fs)
	if first.Frames != 153 || first.Blocks != 610 || !first.Before.IsZero() {
		t.Fatalf("%+v", first)
	}
	d.wantSame(d.recovered(fs))

	again := d.backup(fs)
	if again.Frames != 0 || again.Blocks != 0 || again.Bytes != 0 || !again.Before.Equal(first.AsOf) {
		t.Fatalf("nothing was new: %+v", again)
	}
	// Frames without a place, which get one later.
	d.write(d.logs[0], 3, 1000, false)
	d.write(d.logs[1], 3, 1000, false)
	if res := d.backup(fs); res.Frames != 4 || res.Blocks != 12 || res.Bytes > 15_000 {
		t.Fatalf("%+v", res)
	}
	d.wantSame(d.recovered(fs))
	d.order(d.logs[0])
	d.write(d.logs[0], 2, 1000, true)
	if res := d.backup(fs); res.Frames != 1 || res.Blocks != 4 {
		t.Fatalf("%+v", res)
	}
	d.order(d.logs[1])
	if res := d.backup(fs); res.Frames != 0 || res.Blocks != 0 {
		t.Fatalf("%+v", res)
	}
	d.wantSame(d.recovered(fs))

	b, err := Open(fs, "backup", d.keys.ID())
	must(t, err)
	if faults, err := b.Check(t.Context(), func(Progress) {}); err != nil || len(faults) > 0 {
		t.Errorf("%v %v", faults, err)
	}
	if string(b.Settings()) != "sealed settings" || len(b.m.Volumes) != 2 || b.AsOf() != d.source().AsOf.Add(-1e9) {
		t.Errorf("%q %v %v", b.Settings(), b.m.Volumes, b.AsOf())
	}
	if i, _ := d.logs[1].Committed(); max(b.m.Volumes[0].Index, b.m.Volumes[1].Index) != i {
		t.Errorf("the volumes are %v, the last index is %d", b.m.Volumes, i)
	}
}

// What can't be read is named, the rest is copied, and it is tried again the next time.
func TestLackingBlock(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	d.write(d.logs[0], 4, 1000, true)
	var leaf ipld.Block
	must(t, d.blocks.Keys(func(c ipld.CID) (err error) {
		if c.Codec() == ipld.Raw {
			leaf, err = d.blocks.Get(c)
		}
		return err
	}))
	d.blocks.Delete(leaf.CID)
	res := d.backup(fs)
	if len(res.Lacking) != 1 || res.Blocks != 7 {
		t.Fatalf("%+v", res)
	}
	d.wantSame(d.recovered(fs))
	if res := d.backup(fs); len(res.Lacking) != 1 || res.Blocks != 0 {
		t.Fatalf("again: %+v", res)
	}
	must(t, d.blocks.Put(leaf))
	if res := d.backup(fs); len(res.Lacking) != 0 || res.Blocks != 1 {
		t.Fatalf("once it was mended: %+v", res)
	}
	d.wantSame(d.recovered(fs))
}

// A backup is not added to by a store that does not have what it has.
func TestOtherStore(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	d.write(d.logs[1], 4, 1000, true)
	d.backup(fs)
	copied := d.recovered(fs)
	copied.index, copied.count = d.index, d.count
	refused := func(who *device, want error) {
		t.Helper()
		before := files(t, fs)
		if _, err := Write(t.Context(), fs, "backup", who.source(), nil); !errors.Is(err, want) {
			t.Fatalf("%v", err)
		}
		if after := files(t, fs); !slices.Equal(before, after) {
			t.Fatalf("the backup is %v, was %v", after, before)
		}
	}
	d.write(d.logs[1], 2, 1000, true)
	d.backup(fs)
	refused(copied, ErrOther) // it is behind
	copied.count += 10
	copied.write(copied.logs[1], 2, 1000, true)
	refused(copied, ErrOther) // it goes on otherwise
	empty := &device{TB: t, keys: d.keys, members: d.members, sealer: d.sealer}
	empty.open()
	refused(empty, ErrOther)

	other := newDevice(t) // another identity has a part of its own
	other.write(other.logs[0], 2, 1000, true)
	other.backup(fs)
	other.wantSame(other.recovered(fs))
	d.wantSame(d.recovered(fs))
	if ids, err := Parts(fs, "backup"); err != nil || len(ids) != 2 {
		t.Errorf("%v %v", ids, err)
	}
}

func TestNotABackup(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	must(t, fs.MkdirAll("backup/photos", 0o755))
	if _, err := Write(t.Context(), fs, "backup", d.source(), nil); !errors.Is(err, ErrNotBackup) {
		t.Errorf("%v", err)
	}
	if _, err := Open(fs, "backup", d.keys.ID()); !errors.Is(err, ErrNotBackup) {
		t.Errorf("%v", err)
	}
	must(t, fs.RemoveAll("backup/photos"))
	must(t, fs.MkdirAll("backup/lost+found", 0o755))
	if _, err := Open(fs, "backup", d.keys.ID()); !errors.Is(err, ErrNotBackup) {
		t.Errorf("%v", err)
	}
	d.backup(fs)
	if _, err := Open(fs, "backup", newDevice(t).keys.ID()); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("%v", err)
	}
	put(t, fs, "backup/FORMAT", []byte("rhizome backup 2\n"))
	if _, err := Write(t.Context(), fs, "backup", d.source(), nil); !errors.Is(err, ErrVersion) {
		t.Errorf("%v", err)
	}
}

// How much there is to do is known ahead, and is what is done.
func TestProgress(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	d.write(d.logs[0], 40, 5000, true)
	for _, more := range []int{0, 3} { // the first run, and one that adds
		d.write(d.logs[1], more, 5000, true)
		src := d.source()
		src.Sizes = func(fn func(ipld.CID, int) error) error {
			return d.blocks.Keys(func(c ipld.CID) error {
				b, err := d.blocks.Get(c)
				must(t, err)
				return fn(c, len(b.Data))
			})
		}
		res, err := Write(t.Context(), fs, "backup", src, func(Progress) {})
		must(t, err)
		if res.Total == 0 || res.Bytes < res.Total || res.Bytes > res.Total+res.Total/20 {
			t.Errorf("%d bytes written, %d were foreseen", res.Bytes, res.Total)
		}
	}
}

// A run that is interrupted leaves the backup as it was, and nothing beside it.
func TestInterrupted(t *testing.T) {
	d, fs := newDevice(t), vfs.NewMem()
	d.write(d.logs[0], 3, 1000, true)
	d.backup(fs)
	before := files(t, fs)
	d.write(d.logs[1], 500, 2000, true)
	ctx, cancel := context.WithCancel(t.Context())
	src := d.source()
	src.Blocks = &cancelling{d.blocks, 300, cancel}
	_, err := Write(ctx, fs, "backup", src, nil)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if after := files(t, fs); !slices.Equal(before, after) {
		t.Errorf("the backup is %v, was %v", after, before)
	}
	d.backup(fs)
	d.wantSame(d.recovered(fs))
}

// A cancelling source ends the run after so many blocks.
type cancelling struct {
	BlockSource
	left   int
	cancel func()
}

func (c *cancelling) Get(cid ipld.CID) (ipld.Block, error) {
	if c.left--; c.left == 0 {
		c.cancel()
	}
	return c.BlockSource.Get(cid)
}
