package tests

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	soakSeconds = flag.Int("soak", 0, "how many seconds TestFsx and TestSoak go on (0: a moment)")
	soakSeed    = flag.Uint64("soak-seed", 0, "what they draw their operations from (0: with -soak a new seed, else the same each time)")
)

// A budget is how much a random test does.
type budget struct {
	steps int       // the same each time
	until time.Time // with -soak: as many steps as there is time for; else zero
}

// soakFor is as long as -soak says, or else so many steps.
func soakFor(r *rig, steps int) budget {
	if *soakSeconds == 0 {
		return budget{steps: steps}
	}
	d := time.Duration(*soakSeconds) * time.Second
	r.bound(d + rigBound)
	return budget{until: time.Now().Add(d)}
}

// spent reports whether it is used up by so many steps.
func (b budget) spent(steps int) bool {
	if b.until.IsZero() {
		return steps >= b.steps
	}
	return time.Now().After(b.until)
}

// TestFsx does to a file on the mount, in random order, all that can be done to the bytes of one, through descriptors, a shared
// mapping and direct I/O, and compares it with bytes in memory: in the manner of the well-known fsx.
func TestFsx(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	b, seed := soakFor(r, 240), seeded(t, "soak", 1, *soakSeed, *soakSeconds)
	each := 500
	if *soakSeconds == 0 {
		each = 80 // several files, of several sizes
	}
	ops, n := 0, 0
	for ; n == 0 || !b.spent(ops); n++ {
		x := newFsx(r.me("fsx"), rand.New(rand.NewPCG(seed, uint64(n))))
		err := x.run(b, each)
		ops += x.ops
		if err != nil {
			t.Fatalf("history %d: %v\n%s", n, err, strings.Join(x.story[max(0, len(x.story)-100):], "\n"))
		}
	}
	r.stop()
	r.start()
	t.Logf("%d histories, %d operations", n, ops)
}

// An fsx is a file and what must be in it.
type fsx struct {
	*rand.Rand
	path  string
	other string // a second file, to copy from
	most  int    // how large they get
	fd    int
	want  []byte
	from  []byte // what is in the other
	story []string
	ops   int
}

func newFsx(dir string, rng *rand.Rand) *fsx {
	most := []int{20 << 10, 300 << 10, 1500 << 10, 300 << 10, 1500 << 10, 10 << 20}[rng.IntN(6)]
	return &fsx{Rand: rng, path: filepath.Join(dir, "f"), other: filepath.Join(dir, "g"), most: most, fd: -1}
}

var errWrong = errors.New("wrong")

// run does one history, of so many operations at most. What is wrong with a mapping, as when the daemon dies, is an error and no end of the tests.
func (x *fsx) run(b budget, most int) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	dir := filepath.Dir(x.path)
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		return err
	}
	if err := errors.Join(x.open(os.O_CREATE), x.refill()); err != nil {
		return err
	}
	defer func() { unix.Close(x.fd) }()
	for x.ops < most && !b.spent(x.ops) {
		if err := x.step(); err != nil {
			return fmt.Errorf("%s: %w", x.story[len(x.story)-1], err)
		}
		x.ops++
		if err := x.look(); err != nil {
			return fmt.Errorf("after %s: %w", x.story[len(x.story)-1], err)
		}
	}
	x.tell("close and read")
	if err := unix.Close(x.fd); err != nil {
		return err
	}
	x.fd = -1
	got, err := os.ReadFile(x.path)
	if err != nil {
		return err
	}
	return x.same(got, 0, len(x.want))
}

func (x *fsx) tell(format string, args ...any) {
	x.story = append(x.story, fmt.Sprintf(format, args...))
}

func (x *fsx) open(flags int) (err error) {
	x.fd, err = unix.Open(x.path, flags|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	return err
}

// piece is a place and a length: often across the ends of what has a size of its own, and sometimes behind the end of the file.
func (x *fsx) piece() (off, n int) {
	n = 1 + x.IntN([]int{10, 5000, 70_000, x.most}[x.IntN(4)])
	off = x.IntN(x.most)
	switch x.IntN(4) {
	case 0:
		off = x.IntN(len(x.want) + 1)
	case 1:
		off, n = off&^4095, (n+4095)&^4095
	}
	return off, max(1, min(n, x.most-off))
}

func (x *fsx) bytes(n int) []byte {
	b := make([]byte, n)
	if x.IntN(8) == 0 {
		return b
	}
	word := x.Uint64()
	for i := range b {
		b[i] = byte(word>>(i%8*8)) + byte(i>>3)
	}
	return b
}

// put is what a write leaves.
func (x *fsx) put(b []byte, off int) {
	x.grow(off + len(b))
	copy(x.want[off:], b)
}

func (x *fsx) grow(size int) { x.want = append(x.want, make([]byte, max(0, size-len(x.want)))...) }

// same compares what was read at off with what must be there, which may be less than n.
func (x *fsx) same(got []byte, off, n int) error {
	want := x.want[min(off, len(x.want)):min(off+n, len(x.want))]
	if bytes.Equal(got, want) {
		return nil
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Errorf("%d bytes at %d, want %d; they differ from %d (%x, want %x): %w", len(got), off, len(want), off+at,
		got[at:min(at+8, len(got))], want[at:min(at+8, len(want))], errWrong)
}

// look compares the size, and some of the bytes.
func (x *fsx) look() error {
	var st unix.Stat_t
	if err := unix.Fstat(x.fd, &st); err != nil {
		return err
	}
	if st.Size != int64(len(x.want)) {
		return fmt.Errorf("size %d, want %d: %w", st.Size, len(x.want), errWrong)
	}
	off, n := x.piece()
	b := make([]byte, n)
	k, err := unix.Pread(x.fd, b, int64(off))
	if err != nil {
		return err
	}
	return x.same(b[:k], off, n)
}
