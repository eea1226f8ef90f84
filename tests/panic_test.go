package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A daemon that crashes ends by a signal, which a service answers by a new start; it leaves a report and no core. The
// new start replaces the dead mount, and what was acknowledged is there.
func TestPanic(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	write(t, r.me("secret-name"), []byte("secret-content"))
	s := r.end(syscall.SIGABRT) // as a panic ends it
	if w := s.Sys().(syscall.WaitStatus); !w.Signaled() || w.CoreDump() {
		t.Fatalf("the daemon ended with %v", s)
	}
	if _, err := os.Stat(r.me("secret-name")); err == nil || !gone(err) {
		t.Fatalf("the mount is not dead: %v", err)
	}
	r.start() // what Restart=on-failure does
	wantFile(t, r.me("secret-name"), []byte("secret-content"))
	list, _ := filepath.Glob(filepath.Join(r.state, "*.crash"))
	if len(list) != 1 {
		t.Fatalf("reports: %v", list)
	}
	report, err := os.ReadFile(list[0])
	if err != nil || !bytes.Contains(report, []byte("goroutine ")) || bytes.Contains(report, []byte("secret")) {
		t.Fatalf("%v\n%s", err, report)
	}
	if h := r.status().Health; len(h) != 1 || !strings.Contains(h[0].What, "crashed") {
		t.Fatalf("status says %v", h)
	}
	if res := r.rhizome("doctor"); !strings.Contains(res.stdout, "the daemon crashed") {
		t.Fatalf("doctor says\n%s", res.stdout)
	}
	if cores, _ := filepath.Glob(filepath.Join(r.user, "core*")); len(cores) > 0 {
		t.Fatalf("cores: %v", cores)
	}
	if err := unix.Unlink(list[0]); err != nil {
		t.Fatal(err)
	}
	if h := r.status().Health; len(h) != 0 {
		t.Fatalf("status says %v", h)
	}
	r.stop()
}
