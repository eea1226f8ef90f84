package eventlog

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/internal/store"
)

// Ages never fall from one moment to a later one, whatever the clock showed, and fit what the database takes.
func TestAge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	moments := []Moment{{}, {1, math.MinInt64}, {1, -1}, {1, 0}, {1, math.MaxInt64}, {2, math.MinInt64}, {math.MaxUint32, math.MaxInt64}}
	for range 2000 {
		moments = append(moments, Moment{rng.Uint32() >> rng.IntN(32), int64(rng.Uint64() >> rng.IntN(64))})
	}
	slices.SortFunc(moments, Moment.Compare)
	for i := 1; i < len(moments); i++ {
		if a, b := moments[i-1], moments[i]; a.age() > b.age() || b.age() == math.MaxUint64 {
			t.Fatalf("%v has the age %x, and %v %x", a, a.age(), b, b.age())
		}
	}
	now := time.Now().UnixNano()
	if a, b := (Moment{1, now}).age(), (Moment{1, now + int64(100*time.Microsecond)}).age(); a == b {
		t.Error("moments of today have one age")
	}
	ks := newKeyspace(newVolume(t, 1).id)
	m := Moment{3, now}
	if age, ok := FactAge(appendFactKey(nil, ks, []byte("a\x00key"), m)); !ok || age != m.age() {
		t.Errorf("a fact's key has the age %x, %t", age, ok)
	}
	if _, ok := FactAge(append(ks.kind(kindState), make([]byte, 40)...)); ok {
		t.Error("a key of the state has an age")
	}
}

// comeAndGo has keys that are set and deleted.
type comeAndGo struct{ register }

func (comeAndGo) Apply(s State, _ Author, e Event) {
	if key := e.Body[1:]; e.Body[0] == 1 {
		s.Set(key, []byte("it is there"))
	} else {
		s.Delete(key)
	}
}

// BenchmarkPastOfChurn scans the past of keys that are long gone, 100,000 of them, and reads that of a key that had very many values since: what a
// listing of a directory in which many names came and went takes, and the first that a busy file showed after a moment. Of old is a database
// that knows no ages, and Former.
func BenchmarkPastOfChurn(b *testing.B) {
	const names, each = 100_000, 1000
	for name, age := range map[string]store.Age{"old": nil, "new": FactAge} {
		b.Run(name, func(b *testing.B) {
			v := newVolume(b, 1)
			st, err := store.Open(b.TempDir(), store.Options{Age: age})
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			o := v.options(st, 0)
			o.Reducer = comeAndGo{}
			l, err := Open(o)
			if err != nil {
				b.Fatal(err)
			}
			r := &replica{Log: l, st: st, o: o}
			var begin Moment
			for there := byte(1); there != 255; there-- { // they come, then they go
				for n := 0; n < names; n += each {
					var es []Event
					for k := range each {
						es = append(es, Event{Body: fmt.Appendf([]byte{there}, "name %d", n+k)})
					}
					r.append(b, es...)
					for k := range byte(100) {
						r.append(b, Event{Body: fmt.Appendf([]byte{k & 1}, "busy")})
					}
					if begin == (Moment{}) {
						begin = r.Now()
					}
				}
			}
			// What was deleted from the state is merged away by then.
			if err := errors.Join(st.DB().Flush(), st.DB().Compact(b.Context(), []byte{0}, []byte{0xff}, false)); err != nil {
				b.Fatal(err)
			}
			r.append(b, Event{Body: []byte("\x01name of today")})
			now := r.Now()
			b.Run("scan", func(b *testing.B) {
				for b.Loop() {
					n := 0
					if err := r.At(now, func(s Reader) { s.Scan([]byte("name"), nil, func(_, _ []byte) bool { n++; return true }) }); err != nil || n != 1 {
						b.Fatalf("%d names: %v", n, err)
					}
				}
			})
			b.Run("key", func(b *testing.B) {
				first := func(Fact) bool { return false }
				for b.Loop() {
					if age == nil {
						err = r.Former([]byte("busy"), func(f Fact) bool { return f.Until.Compare(begin) > 0 })
					} else {
						err = r.Later([]byte("busy"), begin, first)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
