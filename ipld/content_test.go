package ipld

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func testSealer() *Sealer { return NewSealer([32]byte{1}, [32]byte{2}) }

// noise returns n bytes that only seed decides.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	rand.NewChaCha8(key).Read(b)
	return b
}

// A sparse file: what was written, and zeros. It counts what is read.
type sparse struct {
	size int64
	runs []run
	read int64
}

type run struct {
	off  int64
	data []byte
}

func (s *sparse) write(off int64, data []byte) {
	s.runs = append(s.runs, run{off, data})
	s.size = max(s.size, off+int64(len(data)))
}

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), s.size-off))
	clear(p[:n])
	for _, r := range s.runs { // the later write wins
		from, to := max(r.off, off), min(r.off+int64(len(r.data)), off+int64(n))
		if from < to {
			copy(p[from-off:to-off], r.data[from-r.off:])
		}
	}
	s.read += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func mustWrite(t testing.TB, s *Sealer, st Store, data []byte) Content {
	t.Helper()
	c, err := s.Write(context.Background(), st, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readAll(t testing.TB, st Store, c Content) []byte {
	t.Helper()
	b := make([]byte, c.Size)
	if n, err := OpenContent(st, c).ReadAt(b, 0); err != nil || int64(n) != c.Size {
		t.Fatalf("read %d of %d bytes: %v", n, c.Size, err)
	}
	return b
}

func TestContentShapes(t *testing.T) {
	zeros := make([]byte, 20<<20)
	mixed := append(append(noise(1, 3<<20), zeros[:9<<20]...), noise(2, 5<<20)...)
	text := bytes.Repeat([]byte("All that is gold does not glitter. "), 1<<18)
	for name, tc := range map[string]struct {
		data  []byte
		depth uint8
	}{
		"empty":       {nil, 0},
		"one byte":    {[]byte{7}, 0},
		"one zero":    {zeros[:1], 0},
		"small":       {noise(3, MinChunk), 0},
		"some chunks": {noise(3, 400<<10), 1},
		"a section":   {noise(4, SectionSize), 1},
		"and a byte":  {noise(4, SectionSize+1), 2},
		"zeros":       {zeros, 0},
		"mixed":       {mixed, 2},
		"text":        {text, 2},
	} {
		if raced && len(tc.data) > 2*SectionSize {
			continue
		}
		t.Run(name, func(t *testing.T) {
			st := NewMemory()
			c := mustWrite(t, testSealer(), st, tc.data)
			if c.Depth != tc.depth || c.Size != int64(len(tc.data)) {
				t.Errorf("depth %d, size %d", c.Depth, c.Size)
			}
			if err := c.Check(); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(readAll(t, st, c), tc.data) {
				t.Error("other bytes came back")
			}
			walked := map[CID]bool{}
			if err := c.Walk(st, func(c CID) error { walked[c] = true; return nil }); err != nil {
				t.Fatal(err)
			}
			if err := st.Keys(func(c CID) error {
				if !walked[c] {
					return fmt.Errorf("block %v is stored and not walked", c)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReadAtEdges(t *testing.T) {
	st := NewMemory()
	data := noise(1, 700<<10)
	r := OpenContent(st, mustWrite(t, testSealer(), st, data))
	for _, tc := range []struct{ off, n, want int64 }{
		{0, 1, 1}, {MinChunk - 1, 2, 2}, {699 << 10, 2 << 10, 1 << 10}, {700 << 10, 1, 0}, {1 << 40, 1, 0}, {123_457, 400_000, 400_000},
	} {
		p := make([]byte, tc.n)
		n, err := r.ReadAt(p, tc.off)
		if int64(n) != tc.want || (tc.want < tc.n) != (err == io.EOF) {
			t.Errorf("ReadAt(%d, %d) = %d, %v", tc.n, tc.off, n, err)
		} else if n > 0 && !bytes.Equal(p[:n], data[tc.off:tc.off+int64(n)]) {
			t.Errorf("ReadAt(%d, %d): other bytes", tc.n, tc.off)
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset was read")
	}
}

// Whatever edits led to some bytes, their Content is the same.
func TestUpdateEqualsWrite(t *testing.T) {
	s := testSealer()
	rounds := 0
	rapid.Check(t, func(t *rapid.T) {
		if rounds++; raced && rounds > 10 {
			return
		}
		st := NewMemory()
		file, c := &sparse{}, Content{}
		edits := rapid.IntRange(1, 6).Draw(t, "edits")
		for range edits {
			size := rapid.OneOf(
				rapid.Int64Range(0, 40<<10), rapid.Int64Range(0, 600<<10), rapid.Int64Range(0, 600<<10), rapid.Int64Range(0, 2<<20),
				rapid.Int64Range(SectionSize-2, SectionSize+2), rapid.Int64Range(0, 3*SectionSize),
			).Draw(t, "size")
			if size < file.size { // cut what is behind the end, also for later growth
				b := make([]byte, size)
				file.ReadAt(b, 0)
				file.runs, file.size = []run{{0, b}}, size
			}
			file.size = size
			var dirty []Range
			for i := range rapid.IntRange(0, 3).Draw(t, "writes") {
				if size == 0 {
					break
				}
				off := rapid.Int64Range(0, size-1).Draw(t, "off")
				n := min(rapid.OneOf(rapid.Int64Range(1, 5000), rapid.Int64Range(1, 300<<10)).Draw(t, "n"), size-off)
				data := make([]byte, n)
				switch rapid.IntRange(0, 2).Draw(t, "what") {
				case 0:
					data = noise(uint64(off)+uint64(i), int(n))
				case 1:
					copy(data, bytes.Repeat([]byte("abc"), int(n)/3))
				}
				file.write(off, data)
				dirty = append(dirty, Range{off, n})
			}
			var err error
			if c, err = s.Update(context.Background(), st, c, size, dirty, file); err != nil {
				t.Fatal(err)
			}
			want, err := s.Write(context.Background(), st, file, size)
			if err != nil {
				t.Fatal(err)
			}
			if c != want {
				t.Fatalf("update gives %d %d %v, write gives %d %d %v", c.Size, c.Depth, c.Root.CID, want.Size, want.Depth, want.Root.CID)
			}
			if err := c.Check(); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, c.Size)
		if _, err := OpenContent(st, c).ReadAt(got, 0); err != nil && c.Size > 0 {
			t.Fatal(err)
		}
		want := make([]byte, c.Size)
		file.ReadAt(want, 0)
		if !bytes.Equal(got, want) {
			t.Fatal("other bytes came back")
		}
	})
}

func TestUpdateCostsWhatIsDirty(t *testing.T) {
	s, st := testSealer(), NewMemory()
	file := &sparse{}
	file.write(0, noise(1, 96<<20))
	c, err := s.Write(context.Background(), st, file, file.size)
	if err != nil {
		t.Fatal(err)
	}
	before := len(st.blocks)
	file.write(50<<20+123, noise(2, 4096))
	file.read = 0
	c2, err := s.Update(context.Background(), st, c, file.size, []Range{{50<<20 + 123, 4096}}, file)
	if err != nil {
		t.Fatal(err)
	}
	if c2 == c || file.read > 3<<20 || len(st.blocks)-before > 12 {
		t.Errorf("4 KiB cost %d bytes of reading and %d blocks", file.read, len(st.blocks)-before)
	}
}

// A holey file says where nothing was written, and counts what is read of it.
type holey struct{ *sparse }

func (h holey) IsHole(off, n int64) bool {
	for _, r := range h.runs {
		if r.off < off+n && off < r.off+int64(len(r.data)) {
			return false
		}
	}
	return true
}

// What became zeros is not read, however much it is.
func TestHugeHoleIsNotRead(t *testing.T) {
	s, st, ctx := testSealer(), NewMemory(), context.Background()
	file := holey{&sparse{size: 1 << 40}}
	file.write(1<<30, noise(1, 100_000))
	file.write(1<<39, noise(2, 20<<20))
	c, err := s.Update(ctx, st, Content{}, file.size, []Range{{1 << 30, 100_000}, {1 << 39, 20 << 20}}, file)
	if err != nil {
		t.Fatal(err)
	}
	file.runs, file.read = file.runs[:1], 0 // all behind is a hole now
	file.write(1<<39+5<<20, []byte("kept"))
	hole := Range{1<<30 + 100_000, 1 << 40}
	c, err = s.Update(ctx, st, c, file.size, []Range{hole}, file)
	if err != nil {
		t.Fatal(err)
	}
	if file.read > 20<<20 {
		t.Errorf("read %d bytes", file.read)
	}
	if want, err := s.Update(ctx, st, Content{}, file.size, []Range{{1 << 30, 100_000}, {1<<39 + 5<<20, 4}}, file.sparse); err != nil || c != want {
		t.Errorf("%v: it is not what a write gives", err)
	}
}

// Extents agree with the bytes: what is a hole is zeros, and what was never written is a hole but for the chunks around.
func TestExtents(t *testing.T) {
	s, ctx := testSealer(), context.Background()
	for _, size := range []int64{100, 100 << 10, 3 << 20, 20 << 20, 1 << 40, 1<<63 - 1} {
		st := NewMemory()
		file := &sparse{size: size}
		var dirty []Range
		for _, off := range []int64{0, size / 3, size - 90} {
			file.write(off, noise(uint64(off), 90))
			dirty = append(dirty, Range{off, 90})
		}
		c, err := s.Update(ctx, st, Content{}, size, dirty, file)
		if err != nil {
			t.Fatal(err)
		}
		r := OpenContent(st, c)
		data := int64(0)
		for off := int64(0); off < size; {
			end, isData, err := r.Extent(off)
			if err != nil || end <= off || end > size {
				t.Fatalf("%d bytes: the run at %d ends at %d: %v", size, off, end, err)
			}
			if isData {
				data += end - off
			}
			for _, d := range dirty {
				if !isData && d.Off < end && off < d.Off+d.Len {
					t.Fatalf("%d bytes: written at %d, and there is a hole from %d to %d", size, d.Off, off, end)
				}
			}
			off = end
		}
		if data > 6*MaxChunk {
			t.Errorf("%d bytes: %d are data", size, data)
		}
		if _, _, err := r.Extent(size); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v", err)
		}
	}
}

func TestHugeSparse(t *testing.T) {
	s, st := testSealer(), NewMemory()
	for _, size := range []int64{1 << 40, 1<<63 - 1} {
		file := &sparse{size: size}
		file.write(size/3, []byte("a needle"))
		c, err := s.Update(context.Background(), st, Content{}, size, []Range{{size / 3, 8}}, file)
		if err != nil {
			t.Fatal(err)
		}
		if file.read > 10<<20 {
			t.Errorf("%d bytes: read %d", size, file.read)
		}
		p := make([]byte, 10)
		if _, err := OpenContent(st, c).ReadAt(p, size/3-1); err != nil || string(p) != "\x00a needle\x00" {
			t.Errorf("read %q, %v", p, err)
		}
		c, err = s.Update(context.Background(), st, c, size/2, nil, file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenContent(st, c).ReadAt(p, size/3-1); err != nil || string(p) != "\x00a needle\x00" {
			t.Errorf("after truncate: read %q, %v", p, err)
		}
		if c, err = s.Update(context.Background(), st, c, size/4, nil, file); err != nil || c != (Content{Size: size / 4}) {
			t.Errorf("zeros are %+v, %v", c, err)
		}
	}
	if n := len(st.blocks); n > 40 {
		t.Errorf("%d blocks", n)
	}
}

func TestContentFromElsewhere(t *testing.T) {
	st := NewMemory()
	s := testSealer()
	big := mustWrite(t, s, st, noise(1, 3*SectionSize))
	leaf := mustWrite(t, s, st, noise(2, 1000))
	for name, c := range map[string]Content{
		"negative":        {Size: -1},
		"depth too great": {Size: big.Size, Depth: 3, Root: big.Root},
		"depth too small": {Size: big.Size, Depth: 1, Root: big.Root},
		"leaf too large":  {Size: MaxChunk + 1, Root: leaf.Root},
		"a node as leaf":  {Size: 100, Root: big.Root},
		"depth of a hole": {Size: 1 << 30, Depth: 2},
		"other size":      {Size: big.Size - 1, Depth: 2, Root: big.Root},
		"leaf, size":      {Size: 1001, Root: leaf.Root},
		"a leaf as node":  {Size: 1 << 20, Depth: 1, Root: leaf.Root},
	} {
		p := make([]byte, 10)
		if _, err := OpenContent(st, c).ReadAt(p, max(c.Size-10, 0)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
