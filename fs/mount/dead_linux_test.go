package mount

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A mount whose daemon was killed still answers stat from the kernel's cache, is known to be dead all the same, and
// is replaced by the next one.
func TestDeadMountIsReplaced(t *testing.T) {
	c := serve(t, withEnv("_TTL", "long"))
	c.write("f", "x")
	if IsDead(c.dir) {
		t.Fatal("a living mount is called dead")
	}
	c.kill()
	if _, err := os.Stat(c.dir); err != nil {
		t.Logf("stat of a dead mount: %v", err) // it depends on the caches; only statfs is sure
	}
	if !IsDead(c.dir) {
		t.Fatal("a dead mount is not called dead")
	}
	again := serveAt(t, c.dir)
	if IsDead(c.dir) {
		t.Fatal("the new mount is called dead")
	}
	if names, err := os.ReadDir(c.dir); err != nil || len(names) != 0 {
		t.Fatalf("the new mount shows %v (%v)", names, err)
	}
	if got := again.tell("unmount"); got != "ok" {
		t.Fatalf("unmount: %s", got)
	}
	if _, ok, _ := mountAt(c.dir); ok {
		t.Fatal("the dead mount is still below the new one")
	}
}

// The daemon may die before it has greeted the kernel, and with programs inside.
func TestDeadMountIsUnmounted(t *testing.T) {
	c := serve(t)
	c.write("f", "x")
	f, err := os.Open(c.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c.kill()
	if err := Unmount(c.dir); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := mountAt(c.dir); ok {
		t.Fatal("the mount is still there")
	}
	if IsDead(c.dir) {
		t.Fatal("no mount is called dead")
	}
}

// A symlink to the mount point is as good as the mount point.
func TestDeadMountThroughSymlink(t *testing.T) {
	c := serve(t)
	link := t.TempDir() + "/link"
	if err := os.Symlink(c.dir, link); err != nil {
		t.Fatal(err)
	}
	_, first := startChild(t, link)
	if !strings.Contains(first, "mounted there already") {
		t.Fatalf("mounting through a symlink: %s", first)
	}
	c.kill()
	if !IsDead(link) {
		t.Fatal("a dead mount is not called dead")
	}
	serveAt(t, link)
	if IsDead(c.dir) {
		t.Fatal("it was not replaced")
	}
}

func TestParseMountLine(t *testing.T) {
	const line = `36 35 0:57 / /mnt/a\040b\134c rw,noatime shared:1 master:2 - fuse.rhizome rhi\040zome rw,user_id=0`
	got, ok := parseMountLine(line)
	want := mounted{id: 36, parent: 35, dev: "0:57", point: `/mnt/a b\c`, options: "rw,noatime", fsType: fsType, source: "rhi zome"}
	if !ok || got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "1 2 3", "36 35 0:57 / /mnt rw", "x 35 0:57 / /mnt rw - fuse x rw"} {
		if m, ok := parseMountLine(bad); ok {
			t.Errorf("%q gave %+v", bad, m)
		}
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(dir+"/real", 0o755), os.Symlink("real", dir+"/rel"), os.Symlink(dir+"/rel", dir+"/abs"),
		os.Symlink("loop", dir+"/loop"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	real, err := resolve(dir + "/real")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/rel", "/abs", "/abs/", "/./abs"} {
		if got, err := resolve(dir + name); err != nil || got != real {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if got, err := resolve("/"); err != nil || got != "/" {
		t.Errorf("/: %s, %v", got, err)
	}
	_, err = resolve(dir + "/loop")
	wantErr(t, err, unix.ELOOP)
}
