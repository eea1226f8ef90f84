package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What programs write over and over takes a bounded place on the disk: the numbers are in the log. Collecting over a long
// time is tested in package fs, where the time is the test's.

// storeSize is what the store takes on the disk, once everything is where it stays.
func (r *rig) storeSize() (size int64) {
	r.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for began := time.Now(); r.status().Events.Unframed > 0; <-look.C {
		if time.Since(began) > commandBound {
			r.t.Fatalf("sealing does not end: %+v, %q", r.status().Events, filesBelow(r.t, filepath.Join(r.home, "spill")))
		}
	}
	r.stop()
	r.start() // what was sealed is dropped from where it was before
	if left := filesBelow(r.t, filepath.Join(r.home, "spill")); len(left) > 0 {
		r.t.Errorf("spill files are left: %q", left)
	}
	for _, path := range filesBelow(r.t, r.home) {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			r.t.Fatal(err)
		}
		size += st.Blocks * 512
	}
	return size
}

// grows runs the body, and fails if the store is larger by more than most afterwards.
func (r *rig) grows(what string, most int64, body func()) {
	r.t.Helper()
	before := r.storeSize()
	body()
	grown := r.storeSize() - before
	r.t.Logf("%s: the store grew by %d KiB; %d KiB are allowed", what, grown>>10, most>>10)
	if grown > most {
		r.t.Errorf("%s: the store grew by %d bytes, and %d are allowed", what, grown, most)
	}
}

// TestChurn writes much into little. It runs alone: a program started beside it would, on its way, close what the test has
// open, and so end edits.
func TestChurn(t *testing.T) {
	r := newRig(t).start()
	from := rand.NewChaCha8([32]byte{7})
	const size = 4 << 20
	write(t, r.me("big"), noise(from, size))

	r.grows("40 MiB in random pages of an open file of 4 MiB", 3*size, func() {
		f, err := os.OpenFile(r.me("big"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i := range 40 << 20 / (64 << 10) {
			if _, err := f.WriteAt(noise(from, 64<<10), int64(from.Uint64()%(size-64<<10))); err != nil {
				t.Fatal(err)
			}
			if i%40 == 0 {
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	r.grows("a page of 4 MiB changed and closed, 20 times", 20*(256<<10), func() {
		for range 20 {
			f, err := os.OpenFile(r.me("big"), os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt(noise(from, 4096), int64(from.Uint64()%(size-4096)))
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	r.grows("ten copies", 1<<20, func() {
		r.sh(r.me(), "for i in $(seq 10); do cp big copy$i; done; mkdir v && cp big v/")
	})
	r.grows("a hole of 32 GiB", 1<<20, func() {
		r.sh(r.me(), "truncate -s 32G hole && printf x | dd of=hole bs=1 seek=16G conv=notrunc status=none")
	})
}

// A database that is used all the time.
func TestChurnOfDatabase(t *testing.T) {
	t.Parallel()
	needPrograms(t, "sqlite3")
	r := newRig(t).start()
	for _, c := range []struct {
		mode         string
		transactions int
		most         int64
	}{
		{"wal", 600, 16 << 20},          // stays open: hardly a version
		{"delete", 80, 80 * (64 << 10)}, // each transaction closes a journal, which is a version of that file
	} {
		var script strings.Builder
		fmt.Fprintf(&script, "PRAGMA journal_mode=%s; PRAGMA synchronous=NORMAL; CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB);\n", c.mode)
		for i := range c.transactions {
			fmt.Fprintf(&script, "INSERT OR REPLACE INTO t VALUES(%d, randomblob(3000));\n", i%100)
		}
		script.WriteString("PRAGMA integrity_check;\n")
		write(t, r.user+"/script", []byte(script.String()))
		r.grows(fmt.Sprintf("%d transactions, journal_mode=%s", c.transactions, c.mode), c.most, func() {
			if got := r.sh(r.me(), "sqlite3 -bail "+c.mode+".db <$HOME/script"); got != c.mode+"\nok\n" {
				t.Errorf("sqlite3 printed %q", got)
			}
		})
	}
	r.stop()
}
