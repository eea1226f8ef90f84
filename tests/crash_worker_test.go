package tests

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A worker changes a directory at random, one call after the other, and knows what it must hold after each.
type worker struct {
	root string
	flat bool // the directory is an identity's: directories in it are volumes, and stay empty
	rand *rand.Rand

	acked model // after the last call that was acknowledged
	next  model // after the one under way; nil if there is none
	doubt doubt // the edit under way
	calls int
	err   error // of the call that failed: there are none after it
	ended time.Time
	story []string // of each call, for who must find out why
}

// step makes one call. Once it is acknowledged, the tree must be as next.
func (w *worker) step(next model, call func() error) bool {
	if w.err != nil {
		return false
	}
	w.next = next
	if w.err = call(); w.err != nil {
		return false
	}
	w.acked, w.next = next, nil
	w.calls++
	return true
}

// tell notes a call.
func (w *worker) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

// told is all that befell a path, and the last that befell others.
func (w *worker) told(err error) string {
	var lines []string
	for i, line := range w.story {
		for f := range strings.FieldsSeq(line) {
			if len(f) > 5 && strings.Contains(err.Error(), f) || i > len(w.story)-5 {
				lines = append(lines, line)
				break
			}
		}
	}
	return strings.Join(lines, "\n")
}

// work makes calls until one fails or stop is closed.
func (w *worker) work(stop <-chan struct{}) {
	defer func() { w.ended = time.Now() }()
	acts := []func(){
		w.create, w.create, w.create, w.create, w.rewrite, w.rewrite, w.patch, w.patch, w.save, w.save,
		w.rename, w.rename, w.unlink, w.link, w.symlink, w.mkdir, w.rmdir, w.chmod, w.utimens, w.setxattr, w.removexattr,
		w.truncate, w.punch, w.copyPart,
	}
	for w.err == nil {
		select {
		case <-stop:
			return
		default:
		}
		if len(w.acked) > 40 {
			w.unlink()
		}
		acts[w.rand.IntN(len(acts))]()
	}
}

func (w *worker) abs(path string) string { return filepath.Join(w.root, path) }

// some returns a path of that type, or "".
func (w *worker) some(typ fs.FileMode) string {
	var all []string
	for p, n := range w.acked {
		if n.mode.Type() == typ {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return all[w.rand.IntN(len(all))]
}

// fresh returns a path that is not there, in a directory that is.
func (w *worker) fresh() string {
	dir := ""
	if !w.flat && w.rand.IntN(2) == 0 {
		dir = w.some(fs.ModeDir)
	}
	return filepath.Join(dir, fmt.Sprintf("%c%d", 'a'+rune(w.rand.IntN(26)), w.rand.Uint32()))
}

// bytes makes content: mostly a note, sometimes beyond what is kept in memory, a few times several MiB.
func (w *worker) bytes() []byte {
	size := []int{100, 4 << 10, 5 << 10, 60 << 10, 300 << 10, 4 << 20}[min(w.rand.IntN(12), 5)]
	if w.rand.IntN(3) > 0 {
		size = min(size, 4<<10)
	}
	b := make([]byte, w.rand.IntN(size))
	word := w.rand.Uint64()
	for i := range b {
		b[i] = byte(word>>(i%8*8)) | 1 // no zeros: those are holes
		if i%8 == 7 {
			word = word*6364136223846793005 + 1442695040888963407
		}
	}
	return b
}

// edit opens a file, writes to it here and there, syncs it sometimes, and closes it.
func (w *worker) edit(path string, flags int, writes int) {
	was := w.acked[path]
	cut := flags&os.O_TRUNC != 0
	var f *os.File
	next := w.acked
	if was == nil {
		was = &inode{mode: 0o644}
		next = w.acked.put(path, was)
	}
	opened := w.step(next, func() (err error) {
		w.doubt = doubt{of: was, was: was.content, cut: cut}
		f, err = os.OpenFile(w.abs(path), flags|os.O_RDWR, 0o644)
		return err
	})
	if !opened {
		return
	}
	w.tell("open %s flags %#x, %d bytes", path, flags, len(was.content))
	d := &w.doubt
	for range writes {
		b, now := w.bytes(), slices.Clone(d.now())
		off := len(now)
		if w.rand.IntN(2) == 0 {
			off = w.rand.IntN(len(now) + 1)
		}
		now = append(now, make([]byte, max(0, off+len(b)-len(now)))...)
		copy(now[off:], b)
		if len(now) > 6<<20 {
			break
		}
		d.since = append(d.since, now)
		w.tell("write %s at %d, %d bytes", path, off, len(b))
		if _, w.err = f.WriteAt(b, int64(off)); w.err != nil {
			break
		}
		if w.rand.IntN(4) == 0 {
			if w.err = f.Sync(); w.err != nil {
				break
			}
			d.synced()
			w.tell("fsync %s", path)
		}
	}
	done := w.acked.with(path, func(n *inode) { n.content, n.mtime = d.now(), 0 })
	if w.err != nil {
		_ = f.Close()
		return
	}
	w.tell("close %s, %d bytes", path, len(d.now()))
	if w.step(done, f.Close) {
		w.doubt = doubt{}
	}
}

func (w *worker) create() { w.edit(w.fresh(), os.O_CREATE|os.O_EXCL, 1) }

func (w *worker) rewrite() {
	if p := w.some(0); p != "" {
		w.edit(p, os.O_TRUNC, 1)
	}
}

func (w *worker) patch() {
	if p := w.some(0); p != "" {
		w.edit(p, 0, 1+w.rand.IntN(8))
	}
}

// save is what most editors do: a new file is renamed over the old one.
func (w *worker) save() {
	p, tmp := w.some(0), w.fresh()
	if p == "" {
		return
	}
	w.edit(tmp, os.O_CREATE|os.O_EXCL, 1)
	w.tell("rename %s %s", tmp, p)
	w.step(w.acked.moved(tmp, p), func() error { return unix.Rename(w.abs(tmp), w.abs(p)) })
}

// rename moves a file to a new or an old name, or a directory to a new one.
func (w *worker) rename() {
	from, to := w.some(0), w.fresh()
	switch w.rand.IntN(4) {
	case 0:
		from, to = w.some(fs.ModeDir), fmt.Sprintf("d%d", w.rand.Uint32())
	case 1:
		to = w.some(0)
	}
	if from != "" && to != "" {
		w.tell("rename %s %s", from, to)
		w.step(w.acked.moved(from, to), func() error { return unix.Rename(w.abs(from), w.abs(to)) })
	}
}

func (w *worker) unlink() {
	typ := fs.FileMode(0)
	if w.rand.IntN(5) == 0 {
		typ = fs.ModeSymlink
	}
	if p := w.some(typ); p != "" {
		w.tell("unlink %s", p)
		w.step(w.acked.without(p), func() error { return unix.Unlink(w.abs(p)) })
	}
}

func (w *worker) link() {
	if p, to := w.some(0), w.fresh(); p != "" {
		w.tell("link %s %s", p, to)
		w.step(w.acked.put(to, w.acked[p]), func() error { return unix.Link(w.abs(p), w.abs(to)) })
	}
}

func (w *worker) symlink() {
	to := w.fresh()
	n := &inode{mode: fs.ModeSymlink | 0o777, content: []byte("to/" + to)}
	w.step(w.acked.put(to, n), func() error { return unix.Symlink("to/"+to, w.abs(to)) })
}

func (w *worker) mkdir() {
	to := w.fresh()
	w.step(w.acked.put(to, &inode{mode: fs.ModeDir | 0o755}), func() error { return unix.Mkdir(w.abs(to), 0o755) })
}

// rmdir removes a directory that is empty, if there is one.
func (w *worker) rmdir() {
	full := map[string]bool{}
	for p := range w.acked {
		full[filepath.Dir(p)] = true
	}
	for _, p := range slices.Sorted(maps.Keys(w.acked)) {
		if w.acked[p].mode.IsDir() && !full[p] {
			w.step(w.acked.without(p), func() error { return unix.Rmdir(w.abs(p)) })
			return
		}
	}
}

func (w *worker) chmod() {
	if p := w.some(0); p != "" {
		mode := fs.FileMode(0o600 | w.rand.IntN(0o200))
		w.step(w.acked.with(p, func(n *inode) { n.mode = mode }), func() error { return unix.Chmod(w.abs(p), uint32(mode)) })
	}
}

func (w *worker) utimens() {
	if p := w.some(0); p != "" {
		at := time.Unix(w.rand.Int64N(2e9), w.rand.Int64N(1e9))
		w.step(w.acked.with(p, func(n *inode) { n.mtime = at.UnixNano() }), func() error { return os.Chtimes(w.abs(p), at, at) })
	}
}

func (w *worker) setxattr() {
	if p := w.some(0); p != "" {
		val := fmt.Sprint(w.rand.Uint64())
		w.step(w.acked.with(p, func(n *inode) { n.xattrs = "user.a=" + val }),
			func() error { return unix.Setxattr(w.abs(p), "user.a", []byte(val), 0) })
	}
}

func (w *worker) removexattr() {
	if p := w.some(0); p != "" && w.acked[p].xattrs != "" {
		w.step(w.acked.with(p, func(n *inode) { n.xattrs = "" }), func() error { return unix.Removexattr(w.abs(p), "user.a") })
	}
}

func (w *worker) truncate() {
	if p := w.some(0); p != "" {
		size := w.rand.IntN(len(w.acked[p].content) + 1)
		w.tell("truncate %s to %d", p, size)
		w.step(w.acked.with(p, func(n *inode) { n.content, n.mtime = n.content[:size], 0 }),
			func() error { return unix.Truncate(w.abs(p), int64(size)) })
	}
}

// check compares the tree after a restart with what was acknowledged, and goes on from there.
func (w *worker) check() error {
	is, err := look(w.root)
	if err != nil {
		return err
	}
	err = w.acked.differs(is, &w.doubt)
	if err != nil && w.next != nil {
		// The call under way may have happened, but no half of it.
		if w.next.differs(is, &w.doubt) == nil {
			err = nil
		}
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, w.told(err))
	}
	w.tell("a restart")
	w.acked, w.next, w.doubt, w.err = settled(is, w.acked), nil, doubt{}, nil
	return err
}
