package tree

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// plain is a State without order, for measuring Apply alone.
type plain map[string][]byte

func (m plain) Get(key []byte) ([]byte, bool)                  { v, ok := m[string(key)]; return v, ok }
func (m plain) Set(key, val []byte)                            { m[string(key)] = bytes.Clone(val) }
func (m plain) Delete(key []byte)                              { delete(m, string(key)) }
func (m plain) Scan(_, _ []byte, _ func(key, val []byte) bool) { panic("not measured") }

func BenchmarkApplyCreate(b *testing.B) {
	m := plain{}
	r := New()
	r.Apply(m, author(1), event(Begin{Reducer: Name, Time: 1}, mkdir(d1, root, "d")))
	before := plain{}
	for k, v := range m {
		before[k] = v
	}
	v := inline(1, 100)
	path := Path{{Dir: RootID, Name: []byte("some-directory")}, {Dir: id(d1), Name: []byte("another")}}
	var bodies [][]byte
	for k := range 1 << 12 {
		c := file(200+k, d1, fmt.Sprintf("file-%d.txt", k), 0)
		v.ID = vid(k)
		c.Version, c.Path = &v, path
		bodies = append(bodies, Encode(c))
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%len(bodies) == 0 {
			b.StopTimer()
			clear(m)
			for k, v := range before {
				m[k] = v
			}
			b.StartTimer()
		}
		r.Apply(m, author(1), eventlog.Event{Body: bodies[n%len(bodies)]})
	}
}

func BenchmarkEncodeCreate(b *testing.B) {
	c := file(200, d1, "file.txt", 9)
	c.Path = Path{{Dir: RootID, Name: []byte("some-directory")}, {Dir: id(d1), Name: []byte("another")}}
	b.ReportAllocs()
	for b.Loop() {
		Encode(c)
	}
}

func BenchmarkApplySetAttr(b *testing.B) {
	m := plain{}
	r := New()
	r.Apply(m, author(1), event(file(1, root, "f", 1)))
	e := event(SetAttr{ID: id(1), Set: FieldMtime, Mtime: 7})
	b.ReportAllocs()
	for b.Loop() {
		r.Apply(m, author(1), e)
	}
}

func BenchmarkGetInode(b *testing.B) {
	m := plain{}
	New().Apply(m, author(1), event(file(1, root, "f", 1)))
	b.ReportAllocs()
	for b.Loop() {
		GetInode(m, id(1))
	}
}

func BenchmarkLookup(b *testing.B) {
	m := plain{}
	New().Apply(m, author(1), event(file(1, root, "f", 1)))
	name := []byte("f")
	b.ReportAllocs()
	for b.Loop() {
		Lookup(m, RootID, name)
	}
}

func BenchmarkCoalesceTar(b *testing.B) {
	var es []eventlog.Event
	es = append(es, event(mkdir(d1, root, "d")))
	for k := range 2000 {
		c := file(1000+k, d1, fmt.Sprint("f", k), 0)
		es = append(es, event(c), event(SetContent{ID: c.ID, Version: inline(1000+k, 9)}),
			event(SetAttr{ID: c.ID, Set: FieldMtime, Mtime: 1}), event(SetAttr{ID: c.ID, Set: FieldMode, Mode: 0o600}))
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(New().Coalesce(es)); n != 2001 {
			b.Fatal(n)
		}
	}
}
