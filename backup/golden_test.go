package backup

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// goldenFiles are a part's files, and where they are kept.
var goldenFiles = map[string]string{
	manifestFile: "manifest.golden", packName(1, logSuffix): "log.golden",
	packName(2, blockSuffix): "blocks.golden", packName(2, indexSuffix): "index.golden",
}

// What was drawn at random is different in every run, so the files are not made again and compared, but read, and encoded again.
func TestGolden(t *testing.T) {
	if *rewrite {
		d, fs := newDevice(t), vfs.NewMem()
		d.write(d.logs[0], 2, 100, true)
		d.write(d.logs[1], 1, 100, false)
		d.backup(fs)
		for _, path := range paths(t, fs) {
			must(t, os.WriteFile(filepath.Join("testdata", goldenFiles[fs.PathBase(path)]), get(t, fs, path), 0o644))
		}
	}
	fs, golden := vfs.NewMem(), map[string][]byte{}
	for name, file := range goldenFiles {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		must(t, err)
		golden[name] = data
	}
	m, err := parseManifest(golden[manifestFile])
	must(t, err)
	must(t, fs.MkdirAll("backup/"+partName(m.Identity), 0o700))
	put(t, fs, "backup/FORMAT", []byte("rhizome backup 1\n"))
	for name, data := range golden {
		put(t, fs, fs.PathJoin("backup", partName(m.Identity), name), data)
	}
	b, err := Open(fs, "backup", m.Identity)
	must(t, err)
	if faults, err := b.Check(t.Context(), func(Progress) {}); err != nil || len(faults) > 0 {
		t.Errorf("%v %v", faults, err)
	}

	var s signedManifest
	must(t, dagcbor.Decode(golden[manifestFile], &s))
	s.Version, s.Body = m.encode()
	if !bytes.Equal(dagcbor.Encode(s), golden[manifestFile]) {
		t.Error("the manifest is encoded otherwise")
	}
	if len(m.Volumes) != 2 || m.Volumes[0].Index != 1 || len(m.Volumes[1].Unplaced) != 1 || len(m.Members) != 1 || m.Next != 3 {
		t.Errorf("%+v", m)
	}
	var items []byte
	fault := func(f Fault) error { t.Error(f); return nil }
	must(t, b.Items(t.Context(), fault, func(i Item) error {
		items = appendItem(items, i)
		return nil
	}))
	if !bytes.Equal(items, golden[packName(1, logSuffix)]) {
		t.Error("the items are encoded otherwise")
	}
	var index, blocks bytes.Buffer
	car, err := ipld.NewCARWriter(&blocks, ipld.CID{})
	must(t, err)
	must(t, b.Blocks(t.Context(), fault, func(b ipld.Block) error {
		index.Write(appendIndexEntry(nil, b.CID, len(b.Data)))
		return car.Put(b)
	}))
	if !bytes.Equal(blocks.Bytes(), golden[packName(2, blockSuffix)]) || !bytes.Equal(index.Bytes(), golden[packName(2, indexSuffix)]) {
		t.Error("the blocks are encoded otherwise")
	}
}

// A manifest that has an origin is of version 2.
func TestGoldenOrigin(t *testing.T) {
	const file = "testdata/manifest2.golden"
	if *rewrite {
		d, fs := newDevice(t), vfs.NewMem()
		m := &manifest{
			Identity: d.keys.ID(), Time: 5, Members: [][]byte{d.keys.Genesis()}, Next: 7,
			Volumes: []volume{{ID: identity.VolumeID{1}, Index: 12, Last: eventlog.FrameHash{2}}},
			Origins: []Origin{{
				Volume: identity.VolumeID{1}, Index: 9, Roots: []ipld.CID{ipld.CID(append([]byte{1, 0x55, 0x12, 0x20}, make([]byte, 32)...))},
				Sealed: []byte("sealed"),
			}},
		}
		must(t, m.save(fs, "", d.keys.Device(), d.keys.Sign))
		must(t, os.WriteFile(file, get(t, fs, manifestFile), 0o644))
	}
	golden, err := os.ReadFile(file)
	must(t, err)
	m, err := parseManifest(golden)
	must(t, err)
	o, ok := m.origin(identity.VolumeID{1})
	if !ok || o.Index != 9 || len(o.Roots) != 1 || string(o.Sealed) != "sealed" || m.Next != 7 {
		t.Errorf("%+v", m)
	}
	var s signedManifest
	must(t, dagcbor.Decode(golden, &s))
	if version, body := m.encode(); version != 2 || s.Version != 2 || !bytes.Equal(body, s.Body) {
		t.Error("the manifest is encoded otherwise")
	}
}

// What a decoder takes is what is encoded again to the same bytes, or it is refused.
func FuzzManifest(f *testing.F) {
	data, err := os.ReadFile("testdata/manifest.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	if data, err = os.ReadFile("testdata/manifest2.golden"); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := parseManifest(raw); err == nil {
			var s signedManifest
			must(t, dagcbor.Decode(raw, &s))
			if version, body := m.encode(); version != s.Version || !bytes.Equal(body, s.Body) {
				t.Error("two forms of one manifest")
			}
		}
	})
}

func FuzzItems(f *testing.F) {
	data, err := os.ReadFile("testdata/log.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = readItems(bytes.NewReader(raw), func(i Item) error {
			if i.Frame == nil && i.Index == 0 {
				t.Error("an item that holds nothing")
			}
			return nil
		})
	})
}

func FuzzIndex(f *testing.F) {
	data, err := os.ReadFile("testdata/index.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, raw []byte) {
		last := int64(0)
		_ = parseIndex(raw, func(_ ipld.CID, off int64, size int) {
			if off <= last || size < 0 {
				t.Errorf("a block at %d behind %d, of %d bytes", off, last, size)
			}
			last = off
		})
	})
}

func TestPackNames(t *testing.T) {
	for name, want := range map[string]bool{
		"00000001.log": true, "123456789.car": true, "00000001.index": true, "1.log": false, "00000001.log.tmp": false,
		"manifest": false, "0000000x.car": false, ".car": false, "": false, strings.Repeat("0", 8): false,
	} {
		if isPack(name) != want {
			t.Errorf("%q", name)
		}
	}
}
