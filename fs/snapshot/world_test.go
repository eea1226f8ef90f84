package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sort"

	"pgregory.net/rapid"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// mem is a State in memory that notes which keys changed.
type mem struct {
	keys    []string // sorted
	vals    map[string][]byte
	changed map[string]bool
}

func newMem() *mem { return &mem{vals: map[string][]byte{}, changed: map[string]bool{}} }

func (m *mem) clone() *mem {
	c := newMem()
	c.keys = slices.Clone(m.keys)
	for k, v := range m.vals {
		c.vals[k] = v
	}
	return c
}

func (m *mem) Get(key []byte) ([]byte, bool) {
	v, ok := m.vals[string(key)]
	return v, ok
}

func (m *mem) Set(key, val []byte) {
	k := string(key)
	if _, ok := m.vals[k]; !ok {
		at, _ := slices.BinarySearch(m.keys, k)
		m.keys = slices.Insert(m.keys, at, k)
	}
	m.vals[k] = bytes.Clone(val)
	m.changed[k] = true
}

func (m *mem) Delete(key []byte) {
	k := string(key)
	if at, ok := slices.BinarySearch(m.keys, k); ok {
		m.keys = slices.Delete(m.keys, at, at+1)
		delete(m.vals, k)
		m.changed[k] = true
	}
}

func (m *mem) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	start := max(string(prefix), string(from))
	for _, k := range m.keys[sort.SearchStrings(m.keys, start):] {
		if !bytes.HasPrefix([]byte(k), prefix) || !fn([]byte(k), m.vals[k]) {
			return
		}
	}
}

// takeChanged returns the keys that changed since the last time.
func (m *mem) takeChanged() (keys [][]byte) {
	for k := range m.changed {
		keys = append(keys, []byte(k))
	}
	clear(m.changed)
	return keys
}

// A world is a volume's state, and the store that its snapshots go to.
type world struct {
	*mem
	st      *ipld.Memory
	sealer  *ipld.Sealer
	drawn   uint64
	pending map[tree.VersionID]ipld.Content
}

var testVolume = identity.VolumeID{1, 2, 3}

func newWorld() *world {
	w := &world{
		mem: newMem(), st: ipld.NewMemory(), sealer: ipld.NewSealer([32]byte{1}, [32]byte{2}),
		pending: map[tree.VersionID]ipld.Content{},
	}
	w.do(tree.Begin{Reducer: tree.Name, Time: 5})
	return w
}

func (w *world) do(ops ...tree.Op) {
	a := eventlog.Author{Device: identity.DeviceID{7}}
	tree.New().Apply(w.mem, a, eventlog.Event{Time: 9, Body: tree.Encode(ops...)})
}

func (w *world) draw() (id [16]byte) {
	w.drawn++
	id[0] = 0xf0
	binary.BigEndian.PutUint64(id[8:], w.drawn)
	return id
}

// create makes a file of any kind, and returns its id.
func (w *world) create(dir tree.FileID, name string, kind tree.Kind) tree.FileID {
	c := tree.Create{
		ID: w.draw(), Parent: dir, Name: []byte(name), Kind: kind, Mode: 0o640, UID: tree.Owner, GID: 100, Time: int64(w.drawn),
		Mtime: -3, Btime: int64(w.drawn), By: "laptop",
	}
	switch kind {
	case tree.Symlink:
		c.Target = []byte("to/\xff" + name)
	case tree.CharDev, tree.BlockDev:
		c.Rdev = 0x1234
	case tree.Graft:
		c.Volume, c.Generation = identity.VolumeID(w.draw()), 1
	}
	w.do(c)
	return c.ID
}

// write gives a file a content, of the heads given in place.
func (w *world) write(id tree.FileID, content []byte, replaces ...tree.VersionID) tree.VersionID {
	v := tree.Version{ID: w.draw(), Size: int64(len(content)), Time: int64(w.drawn), By: "laptop"}
	switch {
	case len(content) == 0:
	case len(content) <= 4096:
		v.Inline = content
	default:
		c, err := w.sealer.Write(context.Background(), w.st, bytes.NewReader(content), v.Size)
		if err != nil {
			panic(err)
		}
		v.Content = c
	}
	ino, _ := tree.GetInode(w, id)
	w.do(tree.SetContent{ID: id, Version: v, Replaces: replaces, Mtime: 17, Time: 18, Path: tree.Path{{Dir: ino.Parent, Name: []byte("f")}}})
	return v.ID
}

// text is content of some length, different for each seed.
func text(n, seed int) []byte {
	b := make([]byte, 0, n+16)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%d-%d\n", seed, i*i)
	}
	return b[:n]
}

var testInfo = Info{Volume: testVolume, Reducer: tree.Name, Index: 12, OrderHash: [32]byte{3}}

func (w *world) target() Target { return Target{w.st, w.sealer} }

func (w *world) options() Options {
	return Options{Content: func(v tree.Version) (ipld.Content, error) { return w.pending[v.ID], nil }}
}

func (w *world) build(t fataler) Built {
	t.Helper()
	b, err := Build(context.Background(), w.target(), w, testInfo, w.options())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// stateLines describes a state's visible tree: a line for each entry, one for each of its attributes and heads.
func (w *world) stateLines(t fataler) (lines []string) {
	root, _ := tree.GetInode(w, tree.RootID)
	lines = append(lines, w.inodeLines(t, "", 0, root)...)
	var walk func(dir tree.FileID, path string)
	walk = func(dir tree.FileID, path string) {
		tree.ReadDir(w, dir, 0, func(_ uint64, name []byte, d tree.Dirent) bool {
			for rank, id := range tree.Claims(w, dir, name) {
				ino, ok := tree.GetInode(w, id)
				if !ok {
					t.Fatalf("%q is nothing", name)
				}
				lines = append(lines, w.inodeLines(t, path+"/"+string(name), rank, ino)...)
				if ino.Kind == tree.Dir {
					walk(ino.ID, path+"/"+string(name))
				}
			}
			return true
		})
	}
	walk(tree.RootID, "")
	sort.Strings(lines)
	return lines
}

func (w *world) inodeLines(t fataler, path string, rank int, i tree.Inode) []string {
	head := fmt.Sprintf("%q %d", path, rank)
	lines := []string{fmt.Sprintf("%s: %v %v %o %d %d %d %d %d %q %v %s", head, i.ID, i.Kind, i.Mode, i.UID, i.GID, i.Mtime, i.Btime,
		i.Rdev, i.Target, i.Volume, i.By)}
	tree.Xattrs(w, i.ID, func(name, val []byte) bool {
		lines = append(lines, fmt.Sprintf("%s: attribute %q %x", head, name, val))
		return true
	})
	for k, h := range i.Heads {
		v, ok := tree.GetVersion(w, h.ID)
		if !ok {
			t.Fatalf("version %v is missing", h.ID)
		}
		body, _ := tree.Body(w, v)
		c := v.Content
		if v.Pending {
			c = w.pending[v.ID]
		}
		if !v.IsInline() && v.Size > 0 {
			body = readAll(t, ipld.OpenContent(w.st, c))
		}
		lines = append(lines, fmt.Sprintf("%s: head %d %v %d %d %s %x", head, k, h.ID, h.Size, v.Time, v.By, sha256.Sum256(body)))
	}
	return lines
}

func readAll(t fataler, c interface {
	io.ReaderAt
	Size() int64
}) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// snapshotLines is stateLines of a snapshot.
func snapshotLines(t fataler, s *Snapshot) (lines []string, err error) {
	add := func(path string, rank int, i Inode) error {
		head := fmt.Sprintf("%q %d", path, rank)
		lines = append(lines, fmt.Sprintf("%s: %v %v %o %d %d %d %d %d %q %v %s", head, i.ID, i.Kind, i.Mode, i.UID, i.GID, i.Mtime,
			i.Btime, i.Rdev, i.Target, i.Volume, i.By))
		xs, err := s.Xattrs(i)
		if err != nil {
			return err
		}
		for _, x := range xs {
			lines = append(lines, fmt.Sprintf("%s: attribute %q %x", head, x.Name, x.Val))
		}
		heads, err := s.Heads(i)
		if err != nil {
			return err
		}
		for k, h := range heads {
			c := s.Content(h)
			b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
			if err != nil {
				return err
			}
			lines = append(lines, fmt.Sprintf("%s: head %d %v %d %d %s %x", head, k, h.ID, h.Size, h.Time, h.By, sha256.Sum256(b)))
		}
		return nil
	}
	if err := add("", 0, s.Root()); err != nil {
		return nil, err
	}
	err = s.Walk(s.Root(), func(path [][]byte, e Entry) error {
		return add("/"+string(bytes.Join(path, []byte("/"))), e.Rank, e.Inode)
	})
	sort.Strings(lines)
	return lines, err
}

// check compares a snapshot with the state that it was made of.
func (w *world) check(t fataler, b Built) *Snapshot {
	t.Helper()
	s, err := Open(w.st, b.Root)
	if err != nil {
		t.Fatal(err)
	}
	if s.Info() != testInfo {
		t.Fatalf("info %+v", s.Info())
	}
	got, err := snapshotLines(t, s)
	if err != nil {
		t.Fatal(err)
	}
	want := w.stateLines(t)
	if !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("the snapshot differs from the state:\n%.600s\n%.600s", got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
			}
		}
	}
	return s
}

// step does one random thing to a world.
func (w *world) step(t *rapid.T) {
	dirs, files := []tree.FileID{tree.RootID}, []tree.FileID(nil)
	tree.FilesFrom(w, nil, func(i tree.Inode) bool {
		if i.Kind == tree.Dir && i.ID != tree.RootID {
			dirs = append(dirs, i.ID)
		}
		if i.ID != tree.RootID {
			files = append(files, i.ID)
		}
		return true
	})
	dir := func() tree.FileID { return rapid.SampledFrom(dirs).Draw(t, "dir") }
	name := func() string {
		return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name") + string(text(rapid.SampledFrom([]int{0, 200}).Draw(t, "long"), 7))
	}
	kind := rapid.SampledFrom([]tree.Kind{tree.File, tree.File, tree.Dir, tree.Dir, tree.Symlink, tree.Fifo, tree.Graft})
	if len(files) == 0 {
		w.create(dir(), plain(name()), kind.Draw(t, "kind"))
		return
	}
	file := rapid.SampledFrom(files).Draw(t, "file")
	ino, _ := tree.GetInode(w, file)
	other, _ := tree.GetInode(w, rapid.SampledFrom(files).Draw(t, "other"))
	switch rapid.IntRange(0, 10).Draw(t, "act") {
	case 0, 1, 2:
		w.create(dir(), plain(name()), kind.Draw(t, "kind"))
	case 3: // a crowd of names
		at := dir()
		for i := range rapid.IntRange(1, 160).Draw(t, "crowd") {
			w.create(at, fmt.Sprintf("%d%s", i, plain(string(text(200, i)))), tree.File)
		}
	case 4:
		if ino.Kind == tree.File {
			heads := ino.HeadIDs()
			if rapid.Bool().Draw(t, "beside") {
				heads = nil
			}
			w.write(file, text(rapid.SampledFrom([]int{0, 5, 600, 5000, 40000}).Draw(t, "size"), int(w.drawn)), heads...)
		}
	case 5:
		w.do(tree.SetAttr{ID: file, Set: tree.FieldMode, Mode: uint32(rapid.IntRange(0, 0o7777).Draw(t, "mode"))})
	case 6:
		w.do(tree.SetXattr{ID: file, Name: []byte(rapid.SampledFrom([]string{"user.a", "user.b"}).Draw(t, "attr")),
			Val: text(rapid.SampledFrom([]int{0, 20, 3000}).Draw(t, "len"), int(w.drawn))})
	case 7:
		w.do(tree.Unlink{ID: file, Parent: ino.Parent, Name: ino.Name, Heads: ino.HeadIDs(), Time: int64(w.drawn)})
	case 8:
		w.do(tree.Rename{ID: file, From: ino.Parent, OldName: ino.Name, To: dir(), NewName: []byte(plain(name())), Time: int64(w.drawn)})
	case 9:
		w.do(tree.Link{ID: file, Parent: dir(), Name: []byte(plain(name())), Time: int64(w.drawn)})
	case 10:
		w.do(tree.Exchange{A: file, DirA: ino.Parent, NameA: ino.Name, B: other.ID, DirB: other.Parent, NameB: other.Name, Time: int64(w.drawn)})
	}
}

// plain makes a name of a text.
func plain(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r == '\n' {
			return '.'
		}
		return r
	}, []byte(s)))
}
