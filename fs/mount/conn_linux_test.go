package mount

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	c := serve(t)
	c.write("hello", "world")
	c.wantFile("hello", "world")
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB: several messages of the largest size
	c.write("big", string(big))
	c.wantFile("big", string(big))
	for i := range 1000 {
		c.write(fmt.Sprintf("many-%d", i), strings.Repeat("x", i))
	}
	names, err := os.ReadDir(c.dir)
	if err != nil || len(names) != 1002 {
		t.Fatalf("%d names (%v), want 1002", len(names), err)
	}
	if err := os.Remove(c.path("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.path("hello")); !os.IsNotExist(err) {
		t.Fatalf("stat of a removed file: %v", err)
	}
	if got := c.tell("unmount"); got != "ok" {
		t.Fatalf("unmount: %s", got)
	}
	if got := c.tell("served"); got != "ok" {
		t.Fatalf("after unmount: %s", got)
	}
}
