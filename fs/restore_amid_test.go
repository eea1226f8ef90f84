package fs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// TestRestoreAmidWrites: while programs make, write, rename and remove files, the directory is restored again and again. Every version that a
// close ended is kept, and the tree is sound.
func TestRestoreAmidWrites(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := r.mkdir(r.vol, "dir")
	for i := range 20 {
		r.put(dir, fmt.Sprint("f", i), fmt.Appendf(nil, "first %d", i))
	}
	at := r.moment()
	var wg sync.WaitGroup
	done := make(chan struct{})
	var wrote atomic.Int64
	closed := make([]map[string]bool, 3)
	for w := range closed {
		closed[w] = map[string]bool{}
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				text := fmt.Sprintf("writer %d wrote %d", w, i)
				if r.tryPut(dir, fmt.Sprint("f", (i*7+w)%25), text) {
					closed[w][text] = true
					wrote.Add(1)
				}
				switch i % 5 {
				case 1:
					_ = r.fs.Unlink(dir, fmt.Sprint("f", (i*3+w)%25))
				case 3:
					_ = r.fs.Rename(dir, fmt.Sprint("f", (i*3+w)%25), dir, fmt.Sprint("f", (i*5)%25), 0)
				}
			}
		})
	}
	for i := 0; wrote.Load() < 300; i++ {
		err := r.fs.Restore(context.Background(), []string{"me", "notes", "dir"}, at, RestoreOptions{Exact: i%2 == 0}, func(Restored) error { return nil })
		if err != nil && !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
	r.check()
	r.restore("me/notes/dir", at, RestoreOptions{Exact: true})
	for i := range 20 {
		r.expect(dir, fmt.Sprint("f", i), fmt.Appendf(nil, "first %d", i))
	}
	if names := r.names(dir); len(names) != 20 {
		t.Fatal(names)
	}
	kept := map[string]bool{}
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		er.Scan([]byte{'b'}, nil, func(_, v []byte) bool {
			kept[string(v)] = true
			return true
		})
		return nil
	}))
	for _, texts := range closed {
		for text := range texts {
			if !kept[text] {
				t.Errorf("lost: %s", text)
			}
		}
	}
}

// tryPut opens or makes a file, writes and closes it, and reports whether the close ended this very edit, of a file that had a name.
func (r *rig) tryPut(dir NodeID, name, text string) bool {
	e, err := r.fs.Create(dir, name, 0o644, false, me)
	if err != nil {
		return false
	}
	defer r.fs.Forget(e.Node, 1)
	defer r.fs.Release(e.Node, true)
	if _, err := r.fs.SetAttr(e.Node, Changes{Size: new(int64)}, true); err != nil {
		return false
	}
	if _, err := r.fs.Write(e.Node, []byte(text), 0); err != nil {
		return false
	}
	n, err := r.fs.nodeOf(e.Node)
	if err != nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	// Another may have emptied the file meanwhile, and then this close ends their edit. So it is Flush under one lock with the look.
	got := make([]byte, len(text))
	if n.orphan != nil || n.buf == nil || n.buf.size != int64(len(text)) {
		return false
	}
	if _, err := n.buf.read(got, 0); err != nil || string(got) != text {
		return false
	}
	n.handles.Load().flushed = true
	return n.closeLocked() == nil
}

// TestRestoreInterrupted: what an interrupted restore leaves is sound, and doing it again, after a restart or not, goes on.
func TestRestoreInterrupted(t *testing.T) {
	r := newRig(t)
	r.everything(r.vol)
	for d := range 4 {
		dir := r.mkdir(r.vol, fmt.Sprint("d", d))
		for i := range 200 {
			r.put(dir, fmt.Sprint("f", i), []byte("some"))
		}
	}
	want := r.tree(r.vol)
	at := r.moment()
	r.wipe(r.vol)
	r.put(r.vol, "d1", []byte("in the way"))
	for i := range 4 {
		ctx, cancel := context.WithCancel(context.Background())
		n := 0
		err := r.fs.Restore(ctx, []string{"me", "notes"}, at, RestoreOptions{Exact: true}, func(Restored) error {
			if n++; n == 100*i+50 {
				cancel()
			}
			return nil
		})
		cancel()
		if i < 3 {
			r.wants(err, context.Canceled)
		}
		r.check()
		if i == 1 {
			r.reopen()
		}
	}
	r.restore("me/notes", at, RestoreOptions{Exact: true})
	r.sameTree("at last", r.tree(r.vol), want)
	r.clock.forward(time.Hour)
	if deeds := r.restore("me/notes", at, RestoreOptions{Exact: true}); len(deeds) > 0 {
		t.Fatal("it was done:", deeds)
	}
}
