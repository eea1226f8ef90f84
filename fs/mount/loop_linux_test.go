package mount

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Sixteen processes create, write, read back, fsync and remove files at once.
func TestManyProcesses(t *testing.T) {
	c := serve(t)
	const script = `set -e; cd "$1"
for i in $(seq 8); do
	f=file-$2-$i
	echo "$2 $i" >$f; sync $f
	[ "$(cat $f)" = "$2 $i" ]
	[ $((i % 2)) = 0 ] || rm $f
done`
	var all sync.WaitGroup
	for p := range 16 {
		all.Go(func() {
			out, err := exec.Command("sh", "-c", script, "sh", c.dir, fmt.Sprint(p)).CombinedOutput()
			if err != nil {
				t.Errorf("process %d: %v\n%s", p, err, out)
			}
		})
	}
	all.Wait()
	if names, err := os.ReadDir(c.dir); err != nil || len(names) != 16*4 {
		t.Fatalf("%d files are left (%v), want %d", len(names), err, 16*4)
	}
}

// A program that waits in a read can be killed, and its handler is told.
func TestInterrupt(t *testing.T) {
	for _, name := range []string{"block-it", "stuck-it"} {
		t.Run(name, func(t *testing.T) {
			c := serve(t)
			c.write(name, "x")
			cat := startCat(t, c.path(name))
			c.eventually("1", "waiting")
			cat.Process.Signal(syscall.SIGINT)
			err := cat.Wait()
			if s, ok := cat.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGINT {
				t.Fatalf("cat ended with %v, want SIGINT", err)
			}
			c.eventually("0", "waiting")
			c.wantFile("after", c.put("after", "fine"))
		})
	}
}

// put writes a file and returns its content.
func (c *child) put(name, data string) string {
	c.write(name, data)
	return data
}

func startCat(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cat := exec.Command("cat", path)
	cat.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	return cat
}

// While any number of handlers wait, whether they said so or not, others are answered; when the waiting is over the
// workers that were made for it go, and their threads.
func TestBlockedHandlers(t *testing.T) {
	const blocked, stuck = 100, 10
	c := serve(t)
	var readers sync.WaitGroup
	read := func(name string) {
		c.write(name, "x")
		readers.Go(func() {
			if got, err := readOnce(c.path(name)); err != nil || got != "open" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		})
	}
	for i := range blocked {
		read(fmt.Sprintf("block-%d", i))
	}
	for i := range stuck {
		read(fmt.Sprintf("stuck-%d", i))
	}
	c.eventually(fmt.Sprint(blocked+stuck), "waiting")
	c.wantFile("other", c.put("other", "meanwhile"))
	if n := c.number("workers"); n <= blocked+stuck {
		t.Errorf("%d workers while %d wait", n, blocked+stuck)
	}
	c.write("open-gate", "")
	readers.Wait()
	for range 100 {
		c.wantFile("other", "meanwhile")
	}
	if n := c.number("workers"); n > maxIdle+1 {
		t.Errorf("%d workers are left", n)
	}
	c.eventually("true", "threads-below", fmt.Sprint(maxIdle+maxSpare+20))
}

// readOnce makes one read(2) of a file.
func readOnce(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, 100)
	n, err := f.Read(buf)
	return string(buf[:n]), err
}

// After 200,000 requests the process is as large as before: eight bytes kept of each would show.
func TestMemoryIsSteady(t *testing.T) {
	const requests = 40_000
	c := serve(t)
	f, err := os.Create(c.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	ask := func(n int) {
		for range n {
			if err := unix.Fstat(int(f.Fd()), &st); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(requests / 10)
	heap, pages := c.number("heap"), c.number("rss")
	ask(requests)
	if now := c.number("heap"); now > heap+heap/5+1<<18 {
		t.Errorf("the heap grew from %d to %d bytes", heap, now)
	}
	if now := c.number("rss"); now > pages+pages/4+512 {
		t.Errorf("memory grew from %d to %d pages", pages, now)
	}
}

// Messages of every size up to the largest come through whole.
func TestSizes(t *testing.T) {
	c := serve(t)
	f, err := os.OpenFile(c.path("f"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1, 127, 128, 4095, 4096, 4097, 65535, 65536, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 3} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7 >> 3)
		}
		if _, err := f.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		got := make([]byte, size)
		if _, err := io.ReadFull(io.NewSectionReader(f, 0, int64(size)), got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back changed", size)
		}
	}
}

// A handler that panics takes the process with it.
func TestPanic(t *testing.T) {
	c := serve(t, func(cmd *exec.Cmd) { cmd.Stderr = nil })
	if _, err := os.Stat(c.path("panic")); err == nil {
		t.Fatal("stat succeeded")
	}
	if err := c.cmd.Wait(); err == nil {
		t.Fatal("the child ended well")
	}
	if !IsDead(c.dir) {
		t.Fatal("the mount is not seen to be dead")
	}
}
