package unixfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	unixfile "github.com/ipfs/boxo/ipld/unixfs/file"
	"github.com/ipfs/go-cid"
	carv2 "github.com/ipld/go-car/v2"
	carstore "github.com/ipld/go-car/v2/blockstore"
)

// A memory is a tree in memory.
type memory struct {
	entries []Entry // by Node
	data    map[uint64][]byte
	below   map[uint64][]uint64
	change  func(data []byte) // what the second reading shows
	opened  int
}

func (m *memory) add(dir uint64, e Entry, data []byte) uint64 {
	e.Node, e.Size = uint64(len(m.entries)), int64(len(data))
	m.entries = append(m.entries, e)
	m.data[e.Node] = data
	if e.Node != dir {
		m.below[dir] = append(m.below[dir], e.Node)
	}
	return e.Node
}

func (m *memory) Entries(dir uint64, fn func(Entry) error) error {
	for _, n := range m.below[dir] {
		if err := fn(m.entries[n]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Find(dir uint64, name string, fn func(Entry) error) error {
	for _, n := range m.below[dir] {
		if m.entries[n].Name == name {
			return fn(m.entries[n])
		}
	}
	return os.ErrNotExist
}

func (m *memory) Open(file uint64, fn func(io.ReaderAt) error) error {
	data := bytes.Clone(m.data[file])
	if m.opened++; m.change != nil && m.opened > len(m.entries) {
		m.change(data)
	}
	return fn(bytes.NewReader(data))
}

var epoch = time.Unix(1_000_000_000, 123_456_789)

// sample is a tree with files about every bound, a directory that is a HAMT, and one content several times.
func sample() *memory {
	m := &memory{data: map[uint64][]byte{}, below: map[uint64][]uint64{}}
	root := m.add(0, Entry{Kind: Dir, Mode: 0o755, Mtime: epoch}, nil)
	for i, size := range []int{0, 1, inNode, inNode + 1, chunkSize, chunkSize + 1, 5 * chunkSize / 2} {
		m.add(root, Entry{Name: fmt.Sprint("file ", size), Kind: File, Mode: 0o640 + uint32(i), Mtime: epoch.Add(time.Duration(i) * time.Hour)}, noise(size))
	}
	m.add(root, Entry{Name: "zeros", Kind: File, Mode: 0o600, Mtime: epoch}, make([]byte, 5*chunkSize))
	m.add(root, Entry{Name: "link", Kind: Symlink, Mode: 0o777, Mtime: epoch, Target: "dir/many"}, nil)
	dir := m.add(root, Entry{Name: "dir", Kind: Dir, Mode: 0o750, Mtime: time.Unix(5, 0)}, nil)
	m.add(dir, Entry{Name: "empty", Kind: Dir, Mode: 0o700, Mtime: epoch}, nil)
	m.add(dir, Entry{Name: "the same", Kind: File, Mode: 0o600, Mtime: epoch}, make([]byte, 5*chunkSize))
	many := m.add(dir, Entry{Name: "many", Kind: Dir, Mode: 0o755, Mtime: epoch}, nil)
	for n := range 3000 {
		m.add(many, Entry{Name: fmt.Sprintf("%s %d", strings.Repeat("a long name ", 3), n), Kind: File, Mode: 0o644, Mtime: epoch}, fmt.Append(nil, n))
	}
	return m
}

// noise is bytes that nothing else has.
func noise(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		h := sha256.Sum256(fmt.Append(nil, n, i))
		b = append(b, h[:]...)
	}
	return b[:n]
}

func export(t testing.TB, m *memory) (string, []byte) {
	t.Helper()
	var out bytes.Buffer
	m.opened = 0
	root, err := Export(t.Context(), &out, scratch(t), m, m.entries[0], func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return root, out.Bytes()
}

func scratch(t testing.TB) *os.File {
	f, err := os.Create(filepath.Join(t.TempDir(), "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Stock libraries read in an export the tree that it was made from: names, bytes, modes, times.
func TestStockLibrariesRead(t *testing.T) {
	t.Parallel()
	m := sample()
	root, data := export(t, m)
	bs, err := carstore.NewReadOnly(bytes.NewReader(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := bs.Roots()
	if err != nil || len(roots) != 1 || roots[0].String() != root {
		t.Fatalf("the file's root is %v, of the tree %s: %v", roots, root, err)
	}
	dserv := merkledag.NewReadOnlyDagService(merkledag.NewDAGService(blockservice.New(bs, nil)))
	node, err := dserv.Get(t.Context(), roots[0])
	if err != nil {
		t.Fatal(err)
	}
	tree, err := unixfile.NewUnixfsFile(t.Context(), dserv, node)
	if err != nil {
		t.Fatal(err)
	}
	m.wantAs(t, 0, "", tree)
}

// wantAs compares what IPFS's own library reads with a file of the tree.
func (m *memory) wantAs(t *testing.T, node uint64, path string, is files.Node) {
	t.Helper()
	want := m.entries[node]
	if !is.ModTime().Equal(want.Mtime) || want.Kind != Symlink && files.ModePermsToUnixPerms(is.Mode()) != want.Mode {
		t.Errorf("%q: %v %v, was %o %v", path, is.Mode(), is.ModTime(), want.Mode, want.Mtime)
	}
	switch is := is.(type) {
	case *files.Symlink:
		if want.Kind != Symlink || is.Target != want.Target {
			t.Errorf("%q leads to %q", path, is.Target)
		}
	case files.File:
		data, err := io.ReadAll(is)
		if err != nil || want.Kind != File || !bytes.Equal(data, m.data[node]) {
			t.Errorf("%q: %d bytes, %v", path, len(data), err)
		}
	case files.Directory:
		left := map[string]uint64{}
		for _, child := range m.below[node] {
			left[m.entries[child].Name] = child
		}
		it := is.Entries()
		for it.Next() {
			child, ok := left[it.Name()]
			if !ok {
				t.Fatalf("%q has %q", path, it.Name())
			}
			delete(left, it.Name())
			m.wantAs(t, child, path+"/"+it.Name(), it.Node())
		}
		if it.Err() != nil || len(left) > 0 || want.Kind != Dir {
			t.Errorf("%q: %d names are missing: %v", path, len(left), it.Err())
		}
	}
}

// One tree gives one file, in whatever order its names come; each block stands in it once, depth first.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	m := sample()
	root, first := export(t, m)
	for _, below := range m.below {
		sort.Slice(below, func(i, j int) bool { return m.entries[below[i]].Name > m.entries[below[j]].Name })
	}
	again, second := export(t, m)
	if root != again || !bytes.Equal(first, second) {
		t.Error("another order of names gives another file")
	}
	r, err := carv2.NewBlockReader(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[cid.Cid]bool{}
	stack := []cid.Cid{r.Roots[0]}
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for len(stack) > 0 && seen[stack[len(stack)-1]] {
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 0 || stack[len(stack)-1] != b.Cid() {
			t.Fatalf("block %v is not the next of a depth-first walk", b.Cid())
		}
		stack, seen[b.Cid()] = stack[:len(stack)-1], true
		if b.Cid().Type() == cid.Raw {
			continue
		}
		node, err := merkledag.DecodeProtobuf(b.RawData())
		if err != nil {
			t.Fatal(err)
		}
		for i := len(node.Links()) - 1; i >= 0; i-- {
			stack = append(stack, node.Links()[i].Cid)
		}
	}
	for _, c := range stack {
		if !seen[c] {
			t.Fatalf("block %v is missing", c)
		}
	}
}

// The root of a small tree, as it was when this test was written: equal trees have equal roots for ever.
func TestGoldenRoot(t *testing.T) {
	m := &memory{data: map[uint64][]byte{}, below: map[uint64][]uint64{}}
	root := m.add(0, Entry{Kind: Dir, Mode: 0o755, Mtime: epoch}, nil)
	m.add(root, Entry{Name: "a", Kind: File, Mode: 0o644, Mtime: epoch}, []byte("hello\n"))
	m.add(root, Entry{Name: "b", Kind: File, Mode: 0o4755, Mtime: epoch}, noise(3*chunkSize))
	m.add(root, Entry{Name: "c", Kind: Symlink, Mtime: epoch, Target: "a"}, nil)
	const want = "bafybeieztwztb2hp6awi7rbocttgvjxboqf5bzhnyjli2fgx67muq3vbfe"
	if got, data := export(t, m); got != want {
		t.Errorf("the root is %s, of %d bytes; was %s", got, len(data), want)
	}
}

// A tree that is not the same the second time gives no file.
func TestChanging(t *testing.T) {
	t.Parallel()
	m := sample()
	m.change = func(data []byte) {
		if len(data) > 0 {
			data[len(data)-1]++
		}
	}
	m.opened = 0
	_, err := Export(t.Context(), io.Discard, scratch(t), m, m.entries[0], func(int64) {})
	if !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	left := 40
	_, err = Export(ctx, io.Discard, scratch(t), sample(), m.entries[0], func(int64) {
		if left--; left == 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
