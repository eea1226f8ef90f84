package tests

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// On a disk that is full to the last byte, whoever filled it, files can be removed, renamed and cut, `status` says what is the
// matter, and when there is space again all goes on without a restart.
func TestReserve(t *testing.T) {
	t.Parallel()
	needPrograms(t, "mkfs.ext4", "mount", "umount")
	privately(t, func() {
		r := newRig(t)
		defer r.clean()
		disk := newPowerDisk(t, r.user)
		defer disk.remove()
		r.home = filepath.Join(disk.dir, "store")
		r.env = append(r.env, "RHIZOME_HOME="+r.home)
		r.start()
		big := noise(rand.NewChaCha8([32]byte{1}), 4<<20)
		write(t, r.me("big"), big)
		write(t, r.me("kept"), big)
		for n := range 200 {
			write(t, r.me(fmt.Sprint("small", n)), big[:10_000])
		}
		outside := filepath.Join(disk.dir, "outside")
		fill(t, outside, 200)
		for n := 0; !fill(t, r.me(fmt.Sprint("filler", n)), 8); n++ {
			if n == 100 {
				t.Fatal("the mount took all that was written")
			}
		}
		fill(t, outside, 1<<20)
		says(t, r, "full")
		for n := range 100 {
			if err := os.Remove(r.me(fmt.Sprint("small", n))); err != nil {
				t.Fatalf("remove on a full disk: %v", err)
			}
			if err := os.Rename(r.me(fmt.Sprint("small", n+100)), r.me(fmt.Sprint("moved", n))); err != nil {
				t.Fatalf("rename on a full disk: %v", err)
			}
		}
		if err := os.Truncate(r.me("big"), 2<<20); err != nil {
			t.Fatalf("truncate on a full disk: %v", err)
		}
		if err := os.WriteFile(r.me("more"), big, 0o644); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("write on a full disk: %v", err)
		}
		wantFile(t, r.me("big"), big[:2<<20])
		wantFile(t, r.me("kept"), big)
		if err := os.Remove(outside); err != nil {
			t.Fatal(err)
		}
		says(t, r, "")
		write(t, r.me("after"), big)
		r.stop()
		r.start()
		wantFile(t, r.me("after"), big)
		wantFile(t, r.me("big"), big[:2<<20])
		wantFile(t, r.me("moved1"), big[:10_000])
		r.stop()
	})
}

// fill writes so many MiB to a file, or until the disk is full, and reports whether it was.
func fill(t *testing.T, path string, most int) bool {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if errors.Is(err, unix.ENOSPC) {
		return true
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var seed [32]byte
	copy(seed[:], filepath.Base(path)) // what the mount has already takes no room
	bytes := rand.NewChaCha8(seed)
	full := false
	for _, size := range []int{1 << 20, 4 << 10} {
		var err error
		for n := 0; err == nil && n < most; n++ {
			_, err = f.Write(noise(bytes, size))
		}
		if err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		// What does not take a MiB may take some pages, and while sealing gives back what spill files took, again and again.
		if full = full || err != nil; !full {
			return false
		}
	}
	return true
}

// says waits until status says that; "": that the disk is neither full nor failing.
func says(t *testing.T, r *rig, word string) {
	t.Helper()
	for end := time.Now().Add(commandBound); ; {
		var all strings.Builder
		for _, h := range r.status().Health {
			fmt.Fprintf(&all, "%s: %s\n", h.Grade, h.What)
		}
		if word != "" && strings.Contains(all.String(), word) || word == "" && !strings.Contains(all.String(), "bad") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("status says %q, want %q", all.String(), word)
		}
	}
}
