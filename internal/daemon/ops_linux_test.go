package daemon

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/mount"
)

// O_TRUNC empties a file that has come to be there when the kernel thought it was making it, and is an edit that a close ends
// however the file was opened.
func TestTruncatingOpens(t *testing.T) {
	d := opened(t, t.TempDir())
	ops := mount.NewOps(d.fs, mount.Options{}, d.clock.now, func(*fuse.InHeader) {}, func(uint64) {})
	dir := volume(t, d, "notes")
	write(t, d, dir, "a", []byte("from elsewhere"))

	create := fuse.CreateIn{InHeader: fuse.InHeader{NodeId: uint64(dir)}, Flags: unix.O_CREAT | unix.O_WRONLY | unix.O_TRUNC, Mode: 0o644}
	var made fuse.CreateOut
	if st := ops.Create(nil, &create, "a", &made); st != fuse.OK {
		t.Fatal(st)
	}
	if made.Attr.Size != 0 {
		t.Errorf("%d bytes after O_TRUNC", made.Attr.Size)
	}
	file := fuse.InHeader{NodeId: made.NodeId}
	if _, st := ops.Write(nil, &fuse.WriteIn{InHeader: file}, []byte("new")); st != fuse.OK {
		t.Fatal(st)
	}
	if st := ops.Flush(nil, &fuse.FlushIn{InHeader: file}); st != fuse.OK {
		t.Fatal(st)
	}
	ops.Release(nil, &fuse.ReleaseIn{InHeader: file, Fh: made.Fh})
	if a, err := d.fs.GetAttr(fs.NodeID(made.NodeId)); err != nil || a.Size != 3 {
		t.Errorf("%+v, %v", a, err)
	}

	var out fuse.OpenOut
	if st := ops.Open(nil, &fuse.OpenIn{InHeader: file, Flags: unix.O_RDONLY | unix.O_TRUNC}, &out); st != fuse.OK {
		t.Fatal(st)
	}
	if out.OpenFlags&fuse.FOPEN_NOFLUSH != 0 {
		t.Error("a close of it is not told")
	}
	ops.Release(nil, &fuse.ReleaseIn{InHeader: file, Fh: out.Fh})
	if a, err := d.fs.GetAttr(fs.NodeID(made.NodeId)); err != nil || a.Size != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A write by somebody without privilege takes the set-id bits, and the kernel is told once.
func TestSetIDBitsGoWithAWrite(t *testing.T) {
	d := opened(t, t.TempDir())
	told := 0
	ops := mount.NewOps(d.fs, mount.Options{}, d.clock.now, func(*fuse.InHeader) {}, func(uint64) { told++ })
	e, err := d.fs.Create(volume(t, d, "notes"), "a", 0o6755, true, fs.Cred{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		in := fuse.WriteIn{InHeader: fuse.InHeader{NodeId: uint64(e.Node)}, WriteFlags: fuse.WRITE_KILL_SUIDGID}
		if _, st := ops.Write(nil, &in, []byte("x")); st != fuse.OK {
			t.Fatal(st)
		}
	}
	if a, err := d.fs.GetAttr(e.Node); err != nil || a.Mode&0o7777 != 0o755 || told != 1 {
		t.Errorf("mode %o, told %d times, %v", a.Mode, told, err)
	}
}
