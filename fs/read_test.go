package fs

import (
	"testing"

	"github.com/rhizome-fs/rhizome/ipld"
)

func TestReadAhead(t *testing.T) {
	r := newRig(t)
	data := pattern(9<<20, 5)
	r.put(r.vol, "a", data)
	n, err := r.lookup(r.vol, "a")
	r.must(err)
	r.must(r.fs.Open(n, false, false))
	if _, ok, err := r.fs.ReadReady(n, make([]byte, 1<<20), 0); ok || err != nil {
		t.Fatal("bytes of a spill file need no disk", err)
	}
	r.readInOrder(n, data)
	r.fs.cache = ipld.NewCache(8 * ipld.MaxChunk) // what was opened long ago is not in it
	r.seal()
	if _, ok, err := r.fs.ReadReady(n, make([]byte, 128<<10), 0); ok || err != nil {
		t.Fatal("sealed bytes that nobody opened need no disk", err)
	}
	r.readInOrder(n, data)
	r.fs.Release(n, false)
	r.fs.Forget(n, 1)
}

// readInOrder reads a file as the kernel does for a program that reads it to its end, and wants most of it to be near by then.
func (r *rig) readInOrder(n NodeID, data []byte) {
	r.Helper()
	piece := make([]byte, 128<<10)
	ready := 0
	for off := 0; off < len(data); off += len(piece) {
		k, ok, err := r.fs.ReadReady(n, piece, int64(off))
		if !ok {
			k, err = r.fs.Read(n, piece, int64(off))
		} else {
			ready++
		}
		r.must(err)
		r.same("read in order", piece[:k], data[off:off+k])
		r.fs.aheads.Wait()
	}
	if ready < 60 { // of 72
		r.Fatalf("only %d pieces were brought nearer ahead", ready)
	}
}
