package tests

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const openEnv = "RHIZOME_TESTS_OPEN" // directory and number of files of a child that opens them

// Files that are open and written to, thousands at once (100,000 in a soak), cost the daemon no descriptors and little
// memory. Several processes open them, since none may open so many.
func TestManyOpenFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	r.bound(2*rigBound + time.Duration(*soakSeconds)*time.Second)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	total := 3_000
	if *soakSeconds > 0 {
		total = 100_000
	}
	each := min(int(min(limit.Max, 20_000))-100, total/2)
	type child struct {
		in  io.WriteCloser
		out *bufio.Reader
	}
	var all []child
	for left := total; left > 0; left -= each {
		dir := r.me("open", strconv.Itoa(len(all)))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := r.command(context.Background(), "/proc/self/exe", "-test.run=^TestOpener$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", openEnv, min(left, each), dir))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
		all = append(all, child{in, bufio.NewReader(out)})
	}
	for i, c := range all {
		if said, err := c.out.ReadString('\n'); said != "open\n" {
			t.Fatalf("process %d: %q %v", i, said, err)
		}
	}
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.pid())); err != nil || len(fds) > 300 {
		t.Errorf("the daemon has %d descriptors, %v", len(fds), err)
	}
	if mib := r.resident() >> 20; mib > 300 {
		t.Errorf("%d open files take %d MiB", total, mib)
	} else {
		t.Logf("%d open files, %d MiB resident", total, mib)
	}
	for i, c := range all {
		fmt.Fprintln(c.in)
		if said, err := c.out.ReadString('\n'); said != "closed\n" {
			t.Errorf("process %d: %q %v", i, said, err)
		}
	}
}

// resident is the daemon's memory.
func (r *rig) resident() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.pid()))
	if err != nil {
		r.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestOpener is what such a process runs. It is no test by itself.
func TestOpener(t *testing.T) {
	var count int
	var dir string
	if n, _ := fmt.Sscan(os.Getenv(openEnv), &count, &dir); n != 2 {
		t.SkipNow()
	}
	if err := openAndWait(dir, count); err != nil {
		fmt.Println(err)
	} else {
		fmt.Println("closed")
	}
	os.Exit(0)
}

func openAndWait(dir string, count int) error {
	limit := unix.Rlimit{Cur: uint64(count) + 100, Max: uint64(count) + 100}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	fds := make([]int, count)
	for i := range fds {
		fd, err := unix.Open(filepath.Join(dir, strconv.Itoa(i)), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return fmt.Errorf("open %d: %w", i, err)
		}
		if fds[i] = fd; i%2 == 0 {
			if _, err := unix.Pwrite(fd, fmt.Appendf(nil, "file %d", i), 0); err != nil {
				return fmt.Errorf("write %d: %w", i, err)
			}
		}
	}
	fmt.Println("open")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	for i, fd := range fds {
		want, b := "", make([]byte, 100)
		if i%2 == 0 {
			want = fmt.Sprintf("file %d", i)
		}
		if n, err := unix.Pread(fd, b, 0); err != nil || string(b[:n]) != want {
			return fmt.Errorf("file %d holds %q, %v", i, b[:max(n, 0)], err)
		}
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("close %d: %w", i, err)
		}
	}
	return nil
}
