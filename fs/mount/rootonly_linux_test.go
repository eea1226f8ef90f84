package mount

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory in which root makes and removes files is not asked for its attributes: nobody checks them.
func TestRootOnlyAsksForNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root's mounts are root's alone")
	}
	for options, asked := range map[string]bool{"": false, "allow_other": true} {
		c := serve(t, withEnv("_TTL", "long"), withEnv("_OPTIONS", options))
		for i := range 10 {
			name := c.path(fmt.Sprint("f", i))
			fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o666)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
			if err := unix.Unlink(name); err != nil {
				t.Fatal(err)
			}
		}
		if n := c.number("getattrs"); (n >= 10) != asked || !asked && n > 1 {
			t.Errorf("with options %q the kernel asked for attributes %d times", options, n)
		}
	}
}
