package daemon

import (
	"fmt"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/fs"
)

// BenchmarkPast is how long a daemon of many files, each an event, takes to show the volume as it was when half of them were made, at a time
// that nobody has asked for since its start: until .at/TIME is there (open), until its directories are listed with attributes and a file is read
// (first), the same at other times after that (next); and how long a directory of 1,000 files takes then, with attributes (list).
func BenchmarkPast(b *testing.B) {
	home := manyAt(b)
	half := *manyFiles / perDir / 2
	var open, first, next, list time.Duration
	for b.Loop() {
		d := opened(b, home)
		s := &sized{d: d, vol: volume(b, d, "v")}
		e, err := d.fs.Lookup(s.vol, fmt.Sprintf("d%d", half))
		if err != nil {
			b.Fatal(err)
		}
		when := time.Unix(0, e.Attr.Mtime)
		o, f := s.then(b, when, half)
		open, first = open+o, first+f
		const times = 100
		for n := range times {
			_, f := s.then(b, when.Add(-time.Duration(n+1)*time.Microsecond), half)
			next += f / times
		}
		start := time.Now()
		dir := s.look(b, s.look(b, s.look(b, s.vol, ".at"), nameOf(when)), "d0")
		if n := s.count(b, dir); n != perDir {
			b.Fatalf("%d files were there", n)
		}
		list += time.Since(start)
		shut(b, d)
	}
	for name, t := range map[string]time.Duration{"open": open, "first": first, "next": next, "list": list} {
		b.ReportMetric(t.Seconds()*1000/float64(b.N), name+"-ms")
	}
}

func nameOf(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// then finds the volume as it was, lists it, reads a file in it, and forgets all that.
func (s *sized) then(b *testing.B, when time.Time, dirs int) (open, all time.Duration) {
	b.Helper()
	start := time.Now()
	nodes := []fs.NodeID{s.look(b, s.vol, ".at")}
	nodes = append(nodes, s.look(b, nodes[0], nameOf(when)))
	open = time.Since(start)
	for _, name := range []string{"d0", "f1"} {
		nodes = append(nodes, s.look(b, nodes[len(nodes)-1], name))
	}
	if n := s.count(b, nodes[1]); n < dirs || n > dirs+1 {
		b.Fatalf("%d of %d directories were there", n, dirs)
	}
	file, buf := nodes[3], make([]byte, 10)
	if err := s.d.fs.Open(file, false, false); err != nil {
		b.Fatal(err)
	}
	if n, err := s.d.fs.Read(file, buf, 0); err != nil || string(buf[:n]) != "hello" {
		b.Fatalf("read %q: %v", buf[:n], err)
	}
	s.d.fs.Release(file, false)
	for _, n := range nodes {
		s.d.fs.Forget(n, 1)
	}
	return open, time.Since(start)
}

func (s *sized) look(b *testing.B, dir fs.NodeID, name string) fs.NodeID {
	b.Helper()
	e, err := s.d.fs.Lookup(dir, name)
	if err != nil {
		b.Fatalf("look up %s: %v", name, err)
	}
	return e.Node
}

// count lists a directory with attributes.
func (s *sized) count(b *testing.B, dir fs.NodeID) (n int) {
	b.Helper()
	for cookie := uint64(0); ; {
		list, err := s.d.fs.ReadDir(dir, cookie)
		if err != nil {
			b.Fatal(err)
		}
		if len(list) == 0 {
			return n
		}
		for _, e := range list {
			if in, ok := s.d.fs.Enter(e); ok {
				s.d.fs.Forget(in.Node, 1)
				n++
			}
			cookie = e.Cookie
		}
	}
}
