package fs

import (
	"fmt"
	"testing"
)

func TestOtherKinds(t *testing.T) {
	r := newRig(t)
	e, err := r.fs.Symlink(r.vol, "link", "to/where", me)
	r.must(err)
	if b, err := r.fs.Readlink(e.Node); err != nil || string(b) != "to/where" || e.Attr.Size != 8 || e.Attr.Mode != ModeSymlink|0o777 {
		t.Fatalf("%q %v %+v", b, err, e.Attr)
	}
	for i, mode := range []uint32{ModeFifo, ModeSocket, ModeChar, ModeBlock} {
		e, err := r.fs.Mknod(r.vol, fmt.Sprint(i), mode|0o600, 0x0103, Cred{UID: 5, GID: 6})
		r.must(err)
		if e.Attr.Mode != mode|0o600 || e.Attr.UID != 5 || e.Attr.GID != 6 || mode == ModeChar && e.Attr.Rdev != 0x0103 {
			t.Fatalf("%+v", e.Attr)
		}
		_, err = r.fs.Write(e.Node, []byte("x"), 0)
		r.wants(err, ErrInvalid)
		r.must(r.fs.Unlink(r.vol, fmt.Sprint(i)))
	}
	r.check()
}

func TestXattrs(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "a")
	r.must(r.fs.SetXattr(n, "user.a", []byte("1"), XattrCreate))
	r.wants(r.fs.SetXattr(n, "user.a", []byte("2"), XattrCreate), ErrExist)
	r.must(r.fs.SetXattr(n, "user.a", []byte("2"), XattrReplace))
	r.must(r.fs.SetXattr(n, "user.empty", nil, 0))
	if v, err := r.fs.GetXattr(n, "user.empty"); err != nil || len(v) != 0 {
		t.Fatal(v, err)
	}
	if list, err := r.fs.ListXattr(n); err != nil || string(list) != "user.a\x00user.empty\x00" {
		t.Fatalf("%q %v", list, err)
	}
	r.must(r.fs.RemoveXattr(n, "user.empty"))
	r.reopen()
	n, err := r.lookup(r.vol, "a")
	r.must(err)
	if v, err := r.fs.GetXattr(n, "user.a"); err != nil || string(v) != "2" {
		t.Fatal(v, err)
	}
	r.check()
}

func TestTimesAndModes(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "a")
	r.write(n, 0, []byte("x"))
	atime, mtime := int64(-5e9), int64(1234567890)
	_, err := r.fs.SetAttr(n, Changes{Atime: &atime, Mtime: &mtime}, true)
	r.must(err)
	r.done(n) // tar sets times before it closes
	a := r.stat(r.vol, "a")
	if a.Atime != atime || a.Mtime != mtime || a.Ctime <= mtime {
		t.Fatalf("%+v", a)
	}
	mode, uid, gid := uint32(0o4711), uint32(7), uint32(testGID)
	n, err = r.lookup(r.vol, "a")
	r.must(err)
	_, err = r.fs.SetAttr(n, Changes{Mode: &mode, UID: &uid, GID: &gid}, false)
	r.must(err)
	r.must(r.fs.KillSetID(n, nil))
	r.reopen()
	b := r.stat(r.vol, "a")
	if b.Mode != ModeRegular|0o711 || b.UID != 7 || b.GID != testGID || b.Mtime != mtime || b.Atime != atime ||
		b.Ctime <= a.Ctime || b.Ino != a.Ino {
		t.Fatalf("%+v\n%+v", a, b)
	}
	// A write sets mtime; a directory's changes when its entries do.
	was := r.attr(r.vol)
	r.put(r.vol, "a", []byte("y"))
	if c := r.stat(r.vol, "a"); c.Mtime <= start || c.Ctime <= b.Ctime {
		t.Fatalf("%+v", c)
	}
	if is := r.attr(r.vol); is.Mtime != was.Mtime {
		t.Fatalf("%+v %+v", was, is)
	}
	r.put(r.vol, "b", nil)
	if is := r.attr(r.vol); is.Mtime <= was.Mtime || is.Ctime <= was.Ctime {
		t.Fatalf("%+v %+v", was, is)
	}
	r.check()
}

func TestSetGIDDirectory(t *testing.T) {
	r := newRig(t)
	dir := r.mkdir(r.vol, "d")
	mode, gid := uint32(0o2775), uint32(77)
	_, err := r.fs.SetAttr(dir, Changes{Mode: &mode, GID: &gid}, false)
	r.must(err)
	r.put(dir, "f", nil)
	r.fs.Forget(r.mkdir(dir, "s"), 1)
	if a := r.stat(dir, "f"); a.GID != 77 {
		t.Fatalf("%+v", a)
	}
	if a := r.stat(dir, "s"); a.GID != 77 || a.Mode&0o2000 == 0 {
		t.Fatalf("%+v", a)
	}
}
