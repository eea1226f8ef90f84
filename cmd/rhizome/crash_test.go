package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A crash's report has the stacks, and nothing of what the arguments or the panic's text hold.
func TestCrashReport(t *testing.T) {
	const raw = `panic: open /home/ann/secret plans: {0x1, 0x2}

goroutine 7 [running, locked to thread]:
github.com/rhizome-fs/rhizome/fs.(*FS).Write(0xc000123, {0x7365637265740a, 0x2}, 0x6b6579)
	github.com/rhizome-fs/rhizome/fs/open.go:170 +0x1b3
main.run[...](0xc0001, 0x2)
	/home/ann/src/cmd/rhizome/main.go:12 +0x1
created by github.com/rhizome-fs/rhizome/fs/mount.(*loop).startLocked in goroutine 1
	/home/ann/src/fs/mount/loop_linux.go:128 +0x8a
rax    0x736563726574
secret plans of many lines
`
	log := filepath.Join(t.TempDir(), "rhizome.log")
	if where, err := lastCrash(log); where != "" || err != nil {
		t.Fatal(where, err)
	}
	if err := os.WriteFile(crashFile(log, rawCrash), []byte(raw), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		where, err := lastCrash(log)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(where)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, want := range []string{"goroutine 7 [running", "fs.(*FS).Write(...)\n", "fs/open.go:170", "main.run[...](...)", "(*loop).startLocked in goroutine 1", "panic: (text left out)"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
		for _, never := range []string{"ann", "secret", "plans", "0x"} {
			if strings.Contains(text, never) {
				t.Errorf("%q is in\n%s", never, text)
			}
		}
	}
	if _, err := os.Stat(crashFile(log, rawCrash)); err == nil {
		t.Error("what the runtime wrote is there still")
	}
}
