package daemon

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/fs"
)

// What is closed is framed, ordered by Raft, and stays so over a restart; nothing waits for it.
func TestEventsAreCommittedInTheBackground(t *testing.T) {
	home := t.TempDir()
	d := opened(t, home)
	v := volume(t, d, "notes")
	big := bytes.Repeat([]byte("0123456789abcdef"), 40<<10)
	for i := range 50 {
		write(t, d, v, fmt.Sprintf("small%d", i), []byte("hello"))
		write(t, d, v, fmt.Sprintf("medium%d", i), big[:10<<10+i])
	}
	write(t, d, v, "large", big)
	committed(t, d)
	before := orders(d)
	shut(t, d)

	d = opened(t, home)
	if after := orders(d); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("order after a restart: %v, was %v", after, before)
	}
	v = volume(t, d, "notes")
	e, err := d.fs.Lookup(v, "large")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(big)+1)
	if n, err := d.fs.Read(e.Node, got, 0); err != nil || !bytes.Equal(got[:n], big) {
		t.Errorf("read %d bytes of %d: %v", n, len(big), err)
	}
}

// orders are the volumes' committed orders.
func orders(d *daemon) map[string]string {
	m := map[string]string{}
	for _, i := range d.all() {
		for _, l := range i.allLogs() {
			idx, hash := l.Committed()
			m[l.Volume().String()] = fmt.Sprintf("%d %x", idx, hash)
		}
	}
	return m
}

// One small edit after a while of silence. The time is told, not judged.
func TestEditIsOfferedSoon(t *testing.T) {
	d := opened(t, t.TempDir())
	v := volume(t, d, "notes")
	var worst, sum time.Duration
	const edits = 5
	for i := range edits {
		committed(t, d)
		time.Sleep(idle + 10*time.Millisecond) // the silence that the rule is about
		start := time.Now()
		write(t, d, v, fmt.Sprintf("f%d", i), make([]byte, 10<<10))
		committed(t, d)
		took := time.Since(start)
		sum += took
		worst = max(worst, took)
	}
	t.Logf("from create to commit: %v on average, %v at most", sum/edits, worst)
}

// A restart reads marks, not events. -args -events 1000000 shows it at size.
func TestRestart(t *testing.T) {
	home := t.TempDir()
	d := opened(t, home)
	v := volume(t, d, "notes")
	start := time.Now()
	var dir fs.Entry
	for i := range *manyEvents {
		if i%perDir == 0 {
			var err error
			if dir, err = d.fs.Mkdir(v, fmt.Sprintf("d%d", i/perDir), 0o755, fs.Cred{}); err != nil {
				t.Fatal(err)
			}
		}
		write(t, d, dir.Node, fmt.Sprintf("f%d", i), []byte("hello"))
	}
	committed(t, d)
	made := time.Since(start)
	shut(t, d)
	start = time.Now()
	d = opened(t, home)
	if _, err := d.fs.Lookup(volume(t, d, "notes"), "d0"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files made in %v; open again after %v", *manyEvents, made.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
}

// A sparse file is sealed at the price of what was written.
func TestSealingAHoleCostsNothing(t *testing.T) {
	d := opened(t, t.TempDir())
	v := volume(t, d, "notes")
	e, err := d.fs.Create(v, "sparse", 0o644, true, fs.Cred{})
	if err != nil {
		t.Fatal(err)
	}
	const far = 1 << 40
	if _, err := d.fs.Write(e.Node, []byte("end"), far); err != nil {
		t.Fatal(err)
	}
	if err := d.fs.Flush(e.Node); err != nil {
		t.Fatal(err)
	}
	committed(t, d)
	got := make([]byte, 8)
	n, err := d.fs.Read(e.Node, got, far-2)
	if err != nil || string(got[:n]) != "\x00\x00end" {
		t.Errorf("read %q, %v", got[:n], err)
	}
}
