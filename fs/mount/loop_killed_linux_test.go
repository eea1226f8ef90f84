package mount

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A program can be killed while it waits for a handler that hears nothing. Who was only interrupted gets the handler's answer.
func TestKilledWhileHandlerIsDeaf(t *testing.T) {
	c := serve(t)
	for i := range 3 { // a file each: the kernel syncs a file for one program at a time
		c.write(fmt.Sprint("deaf-", i), "x")
	}
	interrupted := make(chan error, 1)
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		f, err := os.Open(c.path("deaf-2"))
		if err != nil {
			tid <- 0
			interrupted <- err
			return
		}
		defer f.Close()
		tid <- unix.Gettid()
		interrupted <- unix.Fsync(int(f.Fd()))
	}()
	thread := <-tid
	c.eventually("1", "waiting")
	if err := unix.Tgkill(os.Getpid(), thread, unix.SIGURG); err != nil {
		t.Fatal(err)
	}

	for i, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		program := exec.Command("sync", c.path(fmt.Sprint("deaf-", i)))
		program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		c.eventually(strconv.Itoa(2+i), "waiting")
		program.Process.Signal(sig)
		err := program.Wait()
		if s, ok := program.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != sig {
			t.Fatalf("the program ended with %v, want %v", err, sig)
		}
	}
	c.eventually("3", "waiting") // their handlers still do
	select {
	case err := <-interrupted:
		t.Fatalf("an interrupted fsync returned %v before it was done", err)
	default:
	}
	c.write("open-gate", "")
	if err := <-interrupted; err != nil {
		t.Fatalf("an interrupted fsync returned %v, want the handler's answer", err)
	}
	c.eventually("0", "waiting")
	c.wantFile("after", c.put("after", "fine"))
}
