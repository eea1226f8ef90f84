package tests

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	soakers = 8
	soakEnv = "RHIZOME_TESTS_SOAK" // root, seed and budget of a child that works
)

// TestSoak has eight processes work on one mount at once, each on a tree of its own that it holds against a model in its memory,
// with files and directories made, edited, copied, renamed, linked and removed, while they are open too. In the end the mount is
// stopped and started, and every tree must still be what its process last saw.
func TestSoak(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	b, seed := soakFor(r, 40), seeded(t, "soak", 1, *soakSeed, *soakSeconds)
	var all sync.WaitGroup
	said := make([]string, soakers)
	for i := range soakers {
		root := r.me(fmt.Sprint("volume", i%3), fmt.Sprint("tree", i)) // some share a volume
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		all.Go(func() { said[i] = r.soaker(root, seed+uint64(i), b) })
	}
	all.Wait()
	calls := 0
	for i, s := range said {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			t.Errorf("process %d: %s", i, s)
		}
		calls += n
	}
	if s := r.status(); len(s.Damage) > 0 || len(s.Health) > 0 {
		t.Errorf("%v %v", s.Damage, s.Health)
	}
	if t.Failed() {
		return
	}
	before, err := look(r.me())
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.start()
	after, err := look(r.me())
	if err != nil {
		t.Fatal(err)
	}
	if err := before.differs(after, &doubt{}); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	t.Logf("%d calls, %d paths in the end", calls, len(after))
}

// soaker runs a process that works below root, and returns what it said: the number of its calls, or what is wrong.
func (r *rig) soaker(root string, seed uint64, b budget) string {
	cmd := r.command(context.Background(), "/proc/self/exe", "-test.run=^TestSoaker$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d %d", soakEnv, root, seed, b.steps, b.until.Unix()))
	cmd.Dir = "/"
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Sprintf("%v\n%s", err, &said)
	}
	return said.String()
}

// TestSoaker is what such a process runs. It is no test by itself.
func TestSoaker(t *testing.T) {
	var seed uint64
	var until int64
	var b budget
	var root string
	if n, _ := fmt.Sscan(os.Getenv(soakEnv), &root, &seed, &b.steps, &until); n != 4 {
		t.SkipNow()
	}
	unix.Umask(0o022)
	out := bufio.NewWriter(os.Stdout)
	w := &worker{root: root, acked: model{}, rand: rand.New(rand.NewPCG(seed, 0))}
	if b.steps == 0 {
		b.until = time.Unix(until, 0)
	}
	if err := w.soak(b); err != nil {
		fmt.Fprintln(out, err)
	} else {
		fmt.Fprintln(out, w.calls)
	}
	out.Flush()
	os.Exit(0)
}

// soak makes calls until the budget is used up, and compares the whole tree now and then.
func (w *worker) soak(b budget) error {
	acts := []func(){
		w.create, w.create, w.create, w.rewrite, w.patch, w.patch, w.save, w.rename, w.rename, w.unlink, w.link, w.symlink, w.mkdir,
		w.rmdir, w.chmod, w.utimens, w.setxattr, w.removexattr, w.truncate, w.punch, w.copyFile, w.copyPart, w.exchange, w.keepOpen,
	}
	for n := 1; w.err == nil; n++ {
		if len(w.acked) > 60 {
			w.unlink()
		}
		acts[w.rand.IntN(len(acts))]()
		late := b.spent(n)
		if n%100 == 0 || late {
			is, err := look(w.root)
			if err == nil {
				err = w.acked.differs(is, &w.doubt)
			}
			if err != nil {
				return fmt.Errorf("after %d calls: %w\n%s", w.calls, err, w.told(err))
			}
			w.story = nil
		}
		if late {
			return nil
		}
	}
	return fmt.Errorf("after %d calls: %w\n%s", w.calls, w.err, w.told(w.err))
}

// punch makes a hole in a file, or zeros that let it grow.
func (w *worker) punch() {
	p := w.some(0)
	if p == "" {
		return
	}
	off, n := w.rand.IntN(len(w.acked[p].content)+1), 1+w.rand.IntN(100_000)
	mode := uint32(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE)
	content := slices.Clone(w.acked[p].content)
	if w.rand.IntN(3) == 0 {
		mode = unix.FALLOC_FL_ZERO_RANGE
		content = append(content, make([]byte, max(0, off+n-len(content)))...)
	}
	clear(content[off:min(off+n, len(content))])
	w.tell("fallocate %s %#x %d+%d", p, mode, off, n)
	w.step(w.acked.with(p, func(i *inode) { i.content, i.mtime = content, 0 }), func() error {
		f, err := os.OpenFile(w.abs(p), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fallocate(int(f.Fd()), mode, int64(off), int64(n)), f.Close())
	})
}

// copyFile copies a whole file as cp does.
func (w *worker) copyFile() {
	from, to := w.some(0), w.fresh()
	if from == "" {
		return
	}
	w.tell("copy %s %s", from, to)
	w.step(w.acked.put(to, &inode{mode: 0o644, content: w.acked[from].content}), func() error {
		return w.copyRange(from, to, os.O_CREATE|os.O_EXCL, 0, 0, len(w.acked[from].content))
	})
}

// copyPart copies a part of a file into another.
func (w *worker) copyPart() {
	from, to := w.some(0), w.some(0)
	if from == "" || w.acked[from] == w.acked[to] {
		return
	}
	src, dst := w.acked[from].content, slices.Clone(w.acked[to].content)
	off := w.rand.IntN(len(src) + 1)
	at, n := w.rand.IntN(len(dst)+1), len(src)-off
	if w.rand.IntN(2) == 0 && off <= len(dst) {
		at = off
	}
	dst = append(dst, make([]byte, max(0, at+n-len(dst)))...)
	copy(dst[at:], src[off:])
	w.tell("copy %s %d+%d to %s %d", from, off, n, to, at)
	next := w.acked.with(to, func(i *inode) { i.content = dst; i.mtime = 0 })
	w.step(next, func() error { return w.copyRange(from, to, 0, off, at, n) })
}

func (w *worker) copyRange(from, to string, flags, off, at, n int) error {
	src, err := os.Open(w.abs(from))
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(w.abs(to), flags|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	r, wr := int64(off), int64(at)
	for n > 0 && err == nil {
		var k int
		if k, err = unix.CopyFileRange(int(src.Fd()), &r, int(dst.Fd()), &wr, n, 0); k == 0 && err == nil {
			err = errors.New("nothing is copied")
		}
		n -= k
	}
	return errors.Join(err, dst.Close())
}

// exchange swaps two files' names.
func (w *worker) exchange() {
	a, b := w.some(0), w.some(0)
	if a == "" || w.acked[a] == w.acked[b] {
		return
	}
	w.tell("exchange %s %s", a, b)
	w.step(w.acked.put(a, w.acked[b]).put(b, w.acked[a]), func() error {
		return unix.Renameat2(unix.AT_FDCWD, w.abs(a), unix.AT_FDCWD, w.abs(b), unix.RENAME_EXCHANGE)
	})
}

// keepOpen reads and writes a file after its name is gone.
func (w *worker) keepOpen() {
	p := w.some(fs.FileMode(0))
	if p == "" {
		return
	}
	f, err := os.OpenFile(w.abs(p), os.O_RDWR, 0)
	if err != nil {
		w.err = err
		return
	}
	defer f.Close()
	was := w.acked[p]
	if w.links(was) > 1 {
		return // the other names would show what is written
	}
	w.tell("unlink %s, open", p)
	w.step(w.acked.without(p), func() error { return unix.Unlink(w.abs(p)) })
	want, b := slices.Clone(was.content), w.bytes()
	off := w.rand.IntN(len(want) + 1)
	want = append(want, make([]byte, max(0, off+len(b)-len(want)))...)
	copy(want[off:], b)
	_, err = f.WriteAt(b, int64(off))
	got := make([]byte, len(want)+1)
	n, _ := f.ReadAt(got, 0)
	if err == nil && string(got[:n]) != string(want) {
		err = fmt.Errorf("%s: %d bytes without a name, want %d", filepath.Base(p), n, len(want))
	}
	w.err = errors.Join(w.err, err)
}

// links is how many names an inode has.
func (w *worker) links(n *inode) (links int) {
	for _, i := range w.acked {
		if i == n {
			links++
		}
	}
	return links
}
