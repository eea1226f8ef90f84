package backup

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/ipld"
)

// grown is a device whose backup has grown in two runs, with frames that got their places later.
func grown(t testing.TB, fs vfs.FS) *device {
	d := newDevice(t)
	for range 2 {
		d.write(d.logs[0], 4, 200, true)
		d.order(d.logs[1])
		d.write(d.logs[1], 4, 200, false)
		d.backup(fs)
	}
	return d
}

func (d *device) mend(fs vfs.FS) Result {
	d.Helper()
	res, err := Mend(context.Background(), fs, "backup", d.source(), func(Progress) {})
	must(d, err)
	return res
}

// Whatever file is damaged, mending makes the backup whole, and takes nothing from it before.
func TestMend(t *testing.T) {
	t.Parallel()
	first := vfs.NewMem()
	d := grown(t, first)
	whole := map[string][]byte{"backup/FORMAT": get(t, first, "backup/FORMAT")}
	for _, path := range paths(t, first) {
		whole[path] = get(t, first, path)
	}
	with := func(path string, data []byte) vfs.FS {
		fs := vfs.NewMem()
		must(t, fs.MkdirAll("backup/"+partName(d.keys.ID()), 0o700))
		for p, b := range whole {
			if p != path {
				put(t, fs, p, b)
			} else if data != nil {
				put(t, fs, p, data)
			}
		}
		return fs
	}
	for path, was := range whole {
		flipped := bytes.Clone(was)
		flipped[len(flipped)/2] ^= 1
		for how, data := range map[string][]byte{"missing": nil, "cut": was[:len(was)-1], "flipped": flipped} {
			fs := with(path, data)
			name := fs.PathBase(path)
			if name == formatFile && how == "flipped" {
				continue // it may say that it is of a newer version
			}
			src := d.source()
			ctx, cancel := context.WithCancel(t.Context())
			src.Blocks = &cancelling{d.blocks, 5, cancel}
			if _, err := Mend(ctx, fs, "backup", src, func(Progress) {}); err == nil {
				t.Fatalf("%s %s: it was not interrupted", name, how)
			}
			for p, b := range whole {
				if p != path && !bytes.Equal(get(t, fs, p), b) {
					t.Fatalf("%s %s: an interrupted run changed %s", name, how, p)
				}
			}
			res := d.mend(fs)
			if found := slices.ContainsFunc(res.Faults, func(f Fault) bool { return f.File == name }); !found && name != formatFile {
				t.Errorf("%s %s: found %v", name, how, res.Faults)
			}
			d.wantMended(fs)
		}
	}
	if res := d.mend(first); len(res.Faults) > 0 || res.Blocks > 0 || res.Frames > 0 {
		t.Errorf("a backup that is whole: %+v", res)
	}
	d.wantMended(first)
	d.write(d.logs[0], 2, 200, true)
	d.backup(first)
	d.wantSame(d.recovered(first))
}

// wantMended fails unless the backup is what its manifest says, and no more, and has all that the device has.
func (d *device) wantMended(fs vfs.FS) {
	d.Helper()
	b, err := Open(fs, "backup", d.keys.ID())
	must(d, err)
	faults, err := b.Check(context.Background(), func(Progress) {})
	if must(d, err); len(faults) > 0 {
		d.Fatalf("after mending: %v", faults)
	}
	names, err := fs.List("backup/" + partName(d.keys.ID()))
	must(d, err)
	if len(names) != len(b.m.Packs)+2 { // the manifest and the lock
		d.Errorf("the manifest has %v, the directory %q", b.m.Packs, names)
	}
	d.wantSame(d.recovered(fs))
}

// A block that the store has no more is taken from the damaged pack.
func TestMendKeepsWhatOnlyTheBackupHas(t *testing.T) {
	fs := vfs.NewMem()
	d := grown(t, fs)
	b, err := Open(fs, "backup", d.keys.ID())
	must(t, err)
	var all []ipld.CID
	whole := func(f Fault) error { return errors.New(f.String()) }
	must(t, b.Blocks(t.Context(), whole, func(b ipld.Block) error { all = append(all, b.CID); return nil }))
	without := d.source()
	without.Blocks = &lacking{d.blocks, all[1]}                                          // the first run's first leaf
	without.Missed = func(map[ipld.CID]struct{}) ([]ipld.CID, error) { return nil, nil } // it has expired
	path := "backup/" + partName(d.keys.ID()) + "/" + packName(2, blockSuffix)
	data := get(t, fs, path)
	data[len(data)-30] ^= 1 // in that run's last one
	put(t, fs, path, data)
	res, err := Mend(t.Context(), fs, "backup", without, func(Progress) {})
	if err != nil || len(res.Faults) != 1 {
		t.Fatalf("%+v %v", res, err)
	}
	b, err = Open(fs, "backup", d.keys.ID())
	must(t, err)
	have := map[ipld.CID]bool{}
	must(t, b.Blocks(t.Context(), whole, func(b ipld.Block) error { have[b.CID] = true; return nil }))
	for _, c := range all {
		if !have[c] {
			t.Errorf("block %v is lost", c)
		}
	}
}

type lacking struct {
	BlockSource
	one ipld.CID
}

func (l *lacking) Get(c ipld.CID) (ipld.Block, error) {
	if c == l.one {
		return ipld.Block{}, ipld.ErrNotFound
	}
	return l.BlockSource.Get(c)
}

// A part whose manifest is lost is not taken over by a store that does not have its frames.
func TestMendRefusesAnotherStore(t *testing.T) {
	fs := vfs.NewMem()
	d := grown(t, fs)
	must(t, fs.Remove("backup/"+partName(d.keys.ID())+"/"+manifestFile))
	before := files(t, fs)
	other := &device{TB: t, keys: d.keys, members: d.members, sealer: d.sealer}
	other.open()
	other.write(other.logs[0], 3, 100, true)
	if _, err := Mend(t.Context(), fs, "backup", other.source(), nil); !errors.Is(err, ErrOther) {
		t.Errorf("%v", err)
	}
	for _, f := range before {
		if !slices.Contains(files(t, fs), f) {
			t.Errorf("%.60s is not there any more", f)
		}
	}
}
