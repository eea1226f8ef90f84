package tests

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	bigFile     = 20 << 30 // of a soak of ten minutes and more
	bigResident = 300 << 20
)

// A real file, of 20 GiB in a long soak and 64 MiB else, is written, copied, edited in its midst, cut and read back, and the daemon's
// memory stays bounded.
func TestBigFile(t *testing.T) {
	t.Parallel()
	size := int64(64 << 20)
	r := newRig(t).start()
	if *soakSeconds >= 600 {
		size = bigFile
		r.bound(time.Duration(*soakSeconds)*time.Second + time.Hour)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(r.user, &disk); err != nil {
		t.Fatal(err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < 3*size {
		missing(t, fmt.Sprintf("room for %d bytes", 3*size))
	}
	path, copied := r.me("big"), r.me("copy")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const mib = 1 << 20
	for at := int64(0); at < size; at += mib {
		if _, err := f.Write(bigPiece(at)); err != nil {
			t.Fatalf("write at %d: %v", at, err)
		}
		r.wantResident(at)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r.sh(r.me(), "cp big copy")
	if f, err = os.OpenFile(copied, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	edit := []byte("in the midst")
	if _, err := f.WriteAt(edit, size/2+5); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size - mib/2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r.readBig(path, size, nil, 0)
	r.readBig(copied, size-mib/2, edit, size/2+5)
	r.stop()
	r.start()
	r.readBig(copied, size-mib/2, edit, size/2+5)
	r.stop()
}

// bigPiece is what 1 MiB at a place holds.
func bigPiece(at int64) []byte {
	var seed [32]byte
	copy(seed[:], fmt.Sprint(at))
	b := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// readBig compares a file with its pieces, and with an edit.
func (r *rig) readBig(path string, size int64, edit []byte, editAt int64) {
	r.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(got)) {
		want := bigPiece(at)
		if off := editAt - at; edit != nil && off >= 0 && off < int64(len(want)) {
			copy(want[off:], edit)
		}
		want = want[:min(int64(len(want)), size-at)]
		n, err := io.ReadFull(f, got)
		if err != nil && err != io.ErrUnexpectedEOF {
			r.t.Fatalf("%s: read at %d: %v", path, at, err)
		}
		if !bytes.Equal(got[:n], want) {
			r.t.Fatalf("%s: other bytes at %d", path, at)
		}
		r.wantResident(at)
	}
}

// wantResident looks at the daemon's memory now and then.
func (r *rig) wantResident(at int64) {
	if at%(64<<20) != 0 {
		return
	}
	if n := r.resident(); n > bigResident {
		r.t.Fatalf("%d MiB resident at %d", n>>20, at)
	}
}
