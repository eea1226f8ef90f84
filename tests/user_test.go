package tests

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is an ordinary user that every machine has.
const nobody = 65534

// asOrdinaryUser makes r an ordinary user's. It must be in a namespace of its own.
func (r *rig) asOrdinaryUser() *rig {
	r.t.Helper()
	r.who = &syscall.Credential{Uid: nobody, Gid: nobody}
	if err := os.Chown(r.user, nobody, nobody); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// An ordinary user mounts by fusermount3, works, and unmounts; a killed daemon's mount is replaced. Nobody else gets in,
// root neither, and all that is made is private to them.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	needPrograms(t, "fusermount3")
	privately(t, func() {
		openFUSE(t)
		r := newRig(t).asOrdinaryUser().start()
		r.sh(r.user, `
			echo hello >"$M/f" && mkdir "$M/v" && cp -r /etc/pam.d "$M/v/" && ln "$M/f" "$M/g" && chmod 600 "$M/f"
			test "$(stat -c %u:%g "$M/f")" = 65534:65534 && test "$(stat -c %a "$M/v")" = 755
			sync "$M" "$M/.." && mv "$M/v" "$M/w" && test "$(cat "$M/g")" = hello`)
		r.sh(r.user, `
			cd "$M" && test "$(cat .at/now/f)" = hello && ! touch .at/now/f 2>why && grep -q 'Read-only file system' why
			! mkdir .at/now/w/new 2>why && grep -q 'Read-only file system' why && ! rmdir .at 2>why && grep -q 'Read-only file system' why && rm why`)
		if _, err := os.ReadDir(r.me()); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("root looks into a user's mount: %v, want EACCES", err)
		}
		r.wantOptions("rw", "nosuid", "nodev")
		r.kill()
		r.start()
		r.sh(r.user, `diff -r /etc/pam.d "$M/w/pam.d" && echo more >>"$M/f" && test "$(wc -l <"$M/g")" = 2`)
		if res := r.rhizome("unmount"); res.err != nil {
			t.Error(res.stderr)
		}
		if left := mountsBelow(r.user); len(left) > 0 {
			t.Errorf("still mounted: %v", left)
		}
		for _, dir := range []string{r.home, r.state} {
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v %v, want 0700", dir, info.Mode(), err)
			}
		}
	})
}

// What mount(8) calls its options holds for ours, root's or not.
func TestMountOptions(t *testing.T) {
	t.Parallel()
	needPrograms(t, "fusermount3")
	privately(t, func() {
		openFUSE(t)
		conf := filepath.Join(t.TempDir(), "fuse.conf")
		write(t, conf, []byte("user_allow_other\n"))
		if err := bind(conf, "/etc/fuse.conf"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unmountLazily("/etc/fuse.conf") })
		for _, ordinary := range []bool{true, false} {
			r := newRig(t)
			if ordinary {
				r.asOrdinaryUser()
			}
			r.start("-o", "noatime,exec", "-o", "allow_other")
			r.wantOptions("rw", "nosuid", "nodev", "noatime", "allow_other")
			r.sh(r.user, `printf '#!/bin/sh\necho ran\n' >"$M/run" && chmod 755 "$M/run" && test "$("$M/run")" = ran`)
			other := r.in(t)
			other.who = &syscall.Credential{Uid: nobody - 1, Gid: nobody - 1}
			if err := os.Chmod(r.user, 0o755); err != nil {
				t.Fatal(err)
			}
			if res := other.run("/", "sh", "-c", `cat "$M/run" && ! echo x 2>/dev/null >>"$M/run" && ! touch "$M/new" 2>/dev/null`); res.err != nil {
				t.Errorf("another user: %v %s%s", res.err, res.stdout, res.stderr)
			}
			r.stop()

			r.start("-o", "ro,noexec")
			r.wantOptions("ro", "nosuid", "nodev", "noexec")
			r.sh(r.user, `
				grep -q ran "$M/run" && ! "$M/run" 2>/dev/null && ! rm "$M/run" 2>/dev/null && ! touch "$M/run" 2>/dev/null
				! mkdir "$M/new" 2>/dev/null && ! sh -c 'echo x >>"$M/run"' 2>/dev/null`)
			if !r.status().ReadOnly {
				t.Error("status does not say that it is read-only")
			}
			r.stop()
		}
	})
}

// wantOptions fails unless the mount has these.
func (r *rig) wantOptions(want ...string) {
	r.t.Helper()
	mounts := mountsBelow(r.user)
	if len(mounts) != 1 {
		r.t.Fatalf("mounts: %v", mounts)
	}
	has := map[string]bool{}
	for word := range strings.SplitSeq(mounts[0].options, ",") {
		has[word] = true
	}
	for _, w := range want {
		if !has[w] {
			r.t.Errorf("the mount has options %s, and not %s", mounts[0].options, w)
		}
	}
}
