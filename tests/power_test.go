package tests

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPowerCut cuts the power of the real daemon's disk while programs work on the mount: the store is on an ext4 of its
// own, which is shut down as it is (EXT4_IOC_SHUTDOWN without a flush), so that what was not synced is gone, and
// comes back as after a reboot. What fsync acknowledged must be there, and what was closed 5 s before; the names must
// be those of one earlier moment. A run of `make crash` goes on for as long as it is told.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	needPrograms(t, "mkfs.ext4", "mount", "umount")
	privately(t, func() {
		seed := seeded(t, "crash", 1, *crashSeed, *crashSeconds)
		end := time.Now().Add(time.Duration(*crashSeconds) * time.Second)
		for round := 0; round < 1 || time.Now().Before(end); round++ {
			load := time.Second
			if round%2 == 0 {
				load = 6500 * time.Millisecond // long enough for what nobody fsynced
			}
			powerCut(t, rand.New(rand.NewPCG(seed, uint64(round))), load)
			if t.Failed() {
				return
			}
		}
	})
}

func powerCut(t *testing.T, rng *rand.Rand, load time.Duration) {
	r := newRig(t)
	defer r.clean()
	disk := newPowerDisk(t, r.user)
	defer disk.remove()
	r.home = filepath.Join(disk.dir, "store")
	r.env = append(r.env, "RHIZOME_HOME="+r.home)
	r.start()
	stop := make(chan struct{})
	var working sync.WaitGroup
	var authors []*author
	for i := range 3 {
		a := &author{dir: r.me(fmt.Sprintf("v%d", i)), rand: rand.New(rand.NewPCG(rng.Uint64(), 0))}
		if err := os.Mkdir(a.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		authors = append(authors, a)
		working.Go(func() { a.work(stop) })
	}
	<-time.After(load)
	cut := time.Now()
	disk.cut()
	r.kill()
	close(stop)
	working.Wait()
	disk.restore()
	r.start()
	files, lost := 0, 0
	for _, a := range authors {
		n, err := a.check(cut)
		if err != nil {
			t.Errorf("%s: %v", a.dir, err)
		}
		files, lost = files+len(a.files), lost+len(a.files)-n
	}
	if files == lost {
		t.Errorf("all of %d files are lost", files)
	}
	t.Logf("after %v: %d files, of which the power took %d", load, files, lost)
	r.stop()
}

// An author makes one file after the other, and notes what it was told.
type author struct {
	dir   string
	rand  *rand.Rand
	files []*authored
}

type authored struct {
	content []byte
	closed  time.Time // zero: not yet
	synced  time.Time // zero: never
}

func (a *author) path(n int) string { return filepath.Join(a.dir, fmt.Sprintf("%06d", n)) }

func (a *author) work(stop <-chan struct{}) {
	every := 5 * time.Millisecond
	if *crashSeconds == 0 { // other tests run beside it
		every = 20 * time.Millisecond
	}
	pace := time.NewTicker(every)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-pace.C:
		}
		size := []int{100, 5_000, 60_000, 600_000}[a.rand.IntN(4)]
		f := &authored{content: bytes.Repeat(fmt.Appendf(nil, "%s %d. ", filepath.Base(a.dir), n), 1+size/12)}
		a.files = append(a.files, f)
		if a.write(a.path(n), f) != nil {
			return // the power is gone
		}
	}
}

func (a *author) write(path string, f *authored) error {
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = w.Write(f.content)
	if err == nil && a.rand.IntN(5) == 0 {
		if err = w.Sync(); err == nil {
			f.synced = time.Now()
		}
	}
	if err = errors.Join(err, w.Close()); err == nil {
		f.closed = time.Now()
	}
	return err
}

// check holds what is there against what was acknowledged before the power went. It returns how many files are whole.
func (a *author) check(cut time.Time) (whole int, err error) {
	const bound = 5 * time.Second
	end := false // files behind the first that is missing are missing too: their names came later
	for n, f := range a.files {
		got, err := os.ReadFile(a.path(n))
		switch is := err == nil && bytes.Equal(got, f.content); {
		case is && !end:
			whole++
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return whole, err
		case err == nil && end:
			return whole, fmt.Errorf("file %d is there, and one before it is not", n)
		case !f.synced.IsZero() && f.synced.Before(cut):
			return whole, fmt.Errorf("file %d was fsynced %v before the cut, and has %d of %d bytes: %v", n, cut.Sub(f.synced), len(got), len(f.content), err)
		case !f.closed.IsZero() && cut.Sub(f.closed) > bound:
			return whole, fmt.Errorf("file %d was closed %v before the cut, and has %d of %d bytes: %v", n, cut.Sub(f.closed), len(got), len(f.content), err)
		case err == nil && len(got) > 0 && f.synced.IsZero() && !bytes.HasPrefix(f.content, got):
			return whole, fmt.Errorf("file %d has %d bytes that nobody wrote", n, len(got))
		case err != nil:
			end = true
		}
	}
	return whole, nil
}

// A powerDisk is an ext4 in a file.
type powerDisk struct {
	t          *testing.T
	image, dir string
	boot       string // shown as the machine's boot id
	boots      int
}

func newPowerDisk(t *testing.T, user string) *powerDisk {
	t.Helper()
	d := &powerDisk{t: t, image: filepath.Join(user, "disk.img"), dir: filepath.Join(user, "disk"), boot: filepath.Join(user, "boot")}
	if err := errors.Join(os.Mkdir(d.dir, 0o755), os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, 640<<20)); err != nil {
		t.Fatal(err)
	}
	d.run("mkfs.ext4", "-q", "-F", "-m", "0", d.image) // no space that root alone may use
	d.restore()
	return d
}

func (d *powerDisk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// restore mounts the disk as a reboot does: its journal is replayed, and the machine has another boot id.
func (d *powerDisk) restore() {
	d.t.Helper()
	const bootID = "/proc/sys/kernel/random/boot_id"
	if d.boots > 0 {
		d.run("umount", d.dir)
		d.run("umount", bootID)
	}
	d.boots++
	id := fmt.Sprintf("00000000-0000-0000-0000-%012d\n", d.boots)
	if err := errors.Join(os.WriteFile(d.boot, []byte(id), 0o644), bind(d.boot, bootID)); err != nil {
		d.t.Fatal(err)
	}
	d.run("mount", "-o", "loop", d.image, d.dir)
}

// cut has the file system write nothing any more, not even its journal.
func (d *powerDisk) cut() {
	d.t.Helper()
	const shutdown, noFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noFlush); err != nil {
		d.t.Fatalf("shut the file system down: %v", err)
	}
}

func (d *powerDisk) remove() {
	_ = unix.Unmount("/proc/sys/kernel/random/boot_id", unix.MNT_DETACH)
	_ = unix.Unmount(d.dir, unix.MNT_DETACH)
}
