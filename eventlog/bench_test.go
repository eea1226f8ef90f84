package eventlog

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

func diskReplica(b *testing.B, change ...func(*Options)) *replica {
	b.Helper()
	v := newVolume(b, 2)
	st, err := store.Open(b.TempDir(), store.Options{Age: FactAge})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	o := v.options(st, 0)
	for _, c := range change {
		c(&o)
	}
	l, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	return &replica{Log: l, st: st, o: o}
}

// treeLike stands for what a create costs the log: three keys read, of which two are changed, and one new.
type treeLike struct{ register }

func (treeLike) Apply(s State, a Author, e Event) {
	dir := append([]byte{'i'}, e.Body[:8]...)
	d, _ := s.Get(dir)
	var n [64]byte
	copy(n[:], d)
	binary.BigEndian.PutUint64(n[:], binary.BigEndian.Uint64(n[:8])+1)
	dirent := append(append([]byte{'d'}, e.Body[:8]...), e.Body[8:16]...)
	if _, ok := s.Get(dirent); !ok {
		s.Set(dirent, e.Body[8:24])
	}
	inode := append([]byte{'i'}, e.Body[8:24]...)
	s.Set(inode, e.Body[:64])
	s.Set(dir, n[:])
}

func createEvent(dir, n uint64) Event {
	body := make([]byte, 120)
	binary.BigEndian.PutUint64(body, dir)
	binary.BigEndian.PutUint64(body[8:], n*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(body[16:], n)
	return Event{Time: int64(n), Body: body}
}

func BenchmarkAppend(b *testing.B) {
	r := diskReplica(b)
	r.Log.reducer = treeLike{}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		e := createEvent(n/100, n)
		r.View(func(s Reader) { s.Get(append(append([]byte{'d'}, e.Body[:8]...), e.Body[8:16]...)) })
		c, err := r.Update(func(tx *Tx) error {
			tx.Absent(append([]byte{'i'}, e.Body[8:24]...))
			tx.Append(e)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Wait(store.Applied); err != nil {
			b.Fatal(err)
		}
		if n%2000 == 0 {
			b.StopTimer()
			for {
				f, err := r.Cut(4096)
				if err != nil {
					b.Fatal(err)
				}
				if f == nil {
					break
				}
				if err := r.Commit(Index(n)+Index(f.First), f.Raw); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	}
}

func BenchmarkAppendHanded(b *testing.B) {
	r := diskReplica(b)
	r.Log.reducer = treeLike{}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		c, err := r.Update(func(tx *Tx) error { tx.Append(createEvent(n/100, n)); return nil })
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Wait(store.Handed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkViewGet(b *testing.B) {
	r := diskReplica(b)
	r.Log.reducer = treeLike{}
	for n := range uint64(10000) {
		c, _ := r.Update(func(tx *Tx) error { tx.Append(createEvent(n/100, n)); return nil })
		c.Wait(store.Applied)
	}
	key := make([]byte, 9)
	key[0] = 'i'
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		binary.BigEndian.PutUint64(key[1:], n%100)
		r.View(func(s Reader) { s.Get(key) })
	}
}

func BenchmarkCut(b *testing.B) {
	r := diskReplica(b)
	r.Log.reducer = treeLike{}
	n := uint64(0)
	for b.Loop() {
		b.StopTimer()
		for range 100 {
			n++
			c, _ := r.Update(func(tx *Tx) error { tx.Append(createEvent(n/100, n)); return nil })
			c.Wait(store.Applied)
		}
		b.StartTimer()
		f, err := r.Cut(100)
		if err != nil || f == nil {
			b.Fatal(err)
		}
		if err := r.Commit(Index(n), f.Raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRebase orders 10,000 committed events before 10,000 tentative ones that touch them: all of one
// directory, in frames of 100.
func BenchmarkRebase(b *testing.B) {
	for _, shared := range []bool{true, false} {
		name := "apart"
		if shared {
			name = "touching"
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				v := newVolume(b, 2)
				use := func(o *Options) { o.Reducer = treeLike{} }
				mine, other := openReplica(b, vfs.NewMem(), v, 0, use), openReplica(b, vfs.NewMem(), v, 1, use)
				var order []Ordered
				for n := range uint64(10_000) {
					dir := uint64(1)
					if !shared {
						dir = 2
					}
					mine.append(b, createEvent(1, n))
					other.append(b, createEvent(dir, 1<<40+n))
					if n%100 == 99 {
						mine.cut(b)
						order = append(order, Ordered{Index(n), [][]byte{other.cut(b).Raw}})
					}
				}
				b.StartTimer()
				if err := mine.CommitAll(order); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				mine.st.Close()
				other.st.Close()
				b.StartTimer()
			}
		})
	}
}

func (treeLike) Coalesce(es []Event) []Event { return es }

// BenchmarkRebaseWhileWriting is the touching BenchmarkRebase under a program that reads and writes in a loop. It reports
// how long that ever waits.
func BenchmarkRebaseWhileWriting(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		v := newVolume(b, 2)
		use := func(o *Options) { o.Reducer = treeLike{} }
		mine, other := openReplica(b, vfs.NewMem(), v, 0, use), openReplica(b, vfs.NewMem(), v, 1, use)
		var order []Ordered
		for n := range uint64(10_000) {
			mine.append(b, createEvent(1, n))
			other.append(b, createEvent(1, 1<<40+n))
			if n%100 == 99 {
				mine.cut(b)
				order = append(order, Ordered{Index(n), [][]byte{other.cut(b).Raw}})
			}
		}
		b.StartTimer()
		done := make(chan error)
		go func() { done <- mine.CommitAll(order) }()
		var worst time.Duration
		for n := uint64(1 << 50); ; n++ {
			start := time.Now()
			mine.append(b, createEvent(2, n))
			mine.View(func(s Reader) { s.Get([]byte{'i'}) })
			worst = max(worst, time.Since(start))
			select {
			case err := <-done:
				if err != nil {
					b.Fatal(err)
				}
			default:
				continue
			}
			break
		}
		b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
		b.StopTimer()
		mine.st.Close()
		other.st.Close()
		b.StartTimer()
	}
}

// BenchmarkCheckpoint makes checkpoints of a state of 200,000 records: the first, and one after a change.
func BenchmarkCheckpoint(b *testing.B) {
	r := diskReplica(b, func(o *Options) { o.Reducer = anyKey{} })
	rng := rand.New(rand.NewPCG(1, 1))
	const records = 200_000
	for range records / 1000 {
		_, err := r.Update(func(tx *Tx) error {
			for range 1000 {
				body := binary.BigEndian.AppendUint64([]byte{0}, rng.Uint64())
				tx.Append(Event{Body: append(body, make([]byte, 100)...)})
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	index := Index(0)
	settle := func() {
		for f := r.cut(b); f != nil; f = r.cut(b) {
			index++
			r.commit(b, index, f)
		}
	}
	settle()
	st := ipld.NewMemory()
	for _, again := range []bool{false, true} {
		b.Run(map[bool]string{false: "first", true: "next"}[again], func(b *testing.B) {
			memo := &table.Memo{}
			if again {
				r.checkpointTo(b, st, memo)
			}
			n := uint64(0)
			for b.Loop() {
				if again {
					b.StopTimer()
					r.append(b, Event{Body: binary.BigEndian.AppendUint64([]byte{0}, rng.Uint64())})
					settle()
					b.StartTimer()
				} else {
					memo = nil
				}
				n += r.checkpointTo(b, st, memo).Table.Records
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}
