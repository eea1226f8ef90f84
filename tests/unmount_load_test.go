package tests

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var unmountMiB = flag.Int("unmount-mib", 8, "how many MiB are copied in before TestUnmountUnderLoad ends the daemon")

// slowUnmount is no promise, 10 s is: the machine that tests may be slow.
const slowUnmount = 60 * time.Second

// TestUnmountUnderLoad ends the daemon while programs write and much of what they closed is not sealed yet. It ends soon,
// and all that was acknowledged is there after the next start, also what was acknowledged while it ended.
func TestUnmountUnderLoad(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		name string
		how  func(*crash) error
	}{
		{"SIGTERM", func(c *crash) error {
			if s := c.end(syscall.SIGTERM); s.ExitCode() != 0 {
				return fmt.Errorf("the daemon ended with %v", s)
			}
			return nil
		}},
		{"force", func(c *crash) error {
			res := c.rhizome("unmount", "--force")
			if s := c.end(0); res.err != nil || s.ExitCode() != 0 {
				return fmt.Errorf("unmount --force: %v, the daemon ended with %v\n%s", res.err, s, res.stderr)
			}
			return nil
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			seed := seeded(t, "crash", 1, *crashSeed, *crashSeconds)
			newCrash(t, seed).unmountUnderLoad(seed, end.how)
		})
	}
}

func (c *crash) unmountUnderLoad(seed uint64, end func(*crash) error) {
	stop := make(chan struct{})
	var working sync.WaitGroup
	for _, w := range c.workers {
		working.Go(func() { w.work(stop) })
	}
	working.Go(func() { c.saver.work(stop) })
	lines := c.appendLines(c.me("w1", "lines"))
	big := &copier{dir: c.me("w2"), seed: seed, loaded: make(chan struct{})}
	for range 2 {
		working.Go(func() { big.work(stop) })
	}
	loading := time.Now()
	<-big.loaded
	began := time.Now()
	err := end(c)
	took := time.Since(began)
	close(stop)
	working.Wait()
	acked := lines()
	if err != nil {
		c.t.Error(err)
	}
	for _, w := range c.workers {
		if w.err != nil && (!gone(w.err) && !errors.Is(w.err, unix.ENOENT) || w.ended.Before(began)) {
			c.t.Errorf("%s, %v after the unmount began: %v", w.root, w.ended.Sub(began), w.err)
		}
	}
	c.start()
	c.t.Logf("after %v it ended in %v, %d files of %d MiB closed, %d lines written; left to seal: %s",
		began.Sub(loading).Round(time.Millisecond), took.Round(time.Millisecond), len(big.acked), copySize>>20, acked, c.unsealed())
	if took > slowUnmount {
		c.t.Errorf("the daemon took %v to end", took)
	}
	c.check("an unmount under load")
	big.check(c.t)
	got, err := os.ReadFile(c.me("w1", "lines"))
	if n := bytes.Count(got, []byte("\n")); err != nil || n < acked || n > acked+1 {
		c.t.Errorf("the program wrote %d lines, and %d are there (%v)", acked, n, err)
	}
}

// unsealed is how many versions the daemon left to the next start, as it said when it ended.
func (c *crash) unsealed() string {
	all := regexp.MustCompile(`unsealed"?[=:](\d+)`).FindAllStringSubmatch(c.logs(), -1)
	if len(all) == 0 {
		c.t.Fatal("the daemon did not say that it has unmounted")
	}
	return all[len(all)-1][1]
}

// appendLines has a program append a line at a time, and returns what waits for its end and counts the lines that were
// acknowledged.
func (c *crash) appendLines(path string) func() int {
	c.t.Helper()
	cmd := c.command(context.Background(), "sh", "-c", "while echo line >>\"$0\"; do echo; done", path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	n := make(chan int, 1)
	go func() {
		count := 0
		for in := bufio.NewScanner(out); in.Scan(); count++ {
		}
		n <- count
	}()
	return func() int {
		defer cmd.Wait()
		return <-n
	}
}

const copySize = 8 << 20

// A copier writes large files, and knows which ones were acknowledged.
type copier struct {
	dir    string
	seed   uint64
	loaded chan struct{} // closed once so much was written as the test wants

	mu    sync.Mutex
	begun int
	acked []int
}

func (c *copier) path(n int) string { return filepath.Join(c.dir, fmt.Sprintf("big%d", n)) }

func (c *copier) content(n int) []byte {
	var key [32]byte
	copy(key[:], fmt.Sprint(c.seed, " ", n))
	b := make([]byte, copySize)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// work writes one file after the other until a call fails or stop is closed.
func (c *copier) work(stop <-chan struct{}) {
	for {
		c.mu.Lock()
		n := c.begun
		c.begun++
		c.mu.Unlock()
		err := c.write(n)
		c.mu.Lock()
		if err == nil {
			c.acked = append(c.acked, n)
		}
		if wanted := *unmountMiB << 20 / copySize; err == nil && len(c.acked) == wanted {
			close(c.loaded)
		}
		c.mu.Unlock()
		select {
		case <-stop:
			return
		default:
		}
		if err != nil {
			return
		}
	}
}

// write is as cp does it.
func (c *copier) write(n int) error {
	f, err := os.Create(c.path(n))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, struct{ io.Reader }{bytes.NewReader(c.content(n))})
	return errors.Join(err, f.Close())
}

func (c *copier) check(t testing.TB) {
	t.Helper()
	for _, n := range c.acked {
		wantFile(t, c.path(n), c.content(n))
	}
	if len(c.acked) == 0 {
		t.Error("nothing was copied")
	}
}
