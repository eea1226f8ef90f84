package daemon

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/store"
)

var recordWorkloads = flag.Bool("record", false, "BenchmarkWorkloads leaves what it records for TestNearTheBestInterval")

// BenchmarkWorkloads runs the workloads, measures what checkpoints and replaying cost meanwhile, and reports what the cost model makes of that: what it
// costs, and what the best fixed interval does, in seconds of work; see interval_test.go.
func BenchmarkWorkloads(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			for b.Loop() {
				r := newRecorder(b)
				w.does(r)
				r.rec.Command = "go test ./internal/daemon -run '^$' -bench Workloads/" + w.name + " -benchtime 1x -args -record"
				r.finish()
				if *recordWorkloads {
					r.rec.save(b, w.name)
				}
				best, _ := r.rec.best()
				b.ReportMetric(r.rec.modelled().cost, "model-s")
				b.ReportMetric(best, "best-s")
				b.ReportMetric(r.rec.Replay, "ns/event")
				b.ReportMetric(float64(r.rec.Trace[len(r.rec.Trace)-1][0])/1000, "load-s")
			}
		})
	}
}

// A recorder runs one workload and notes what comes of it.
type recorder struct {
	b   *testing.B
	d   *daemon
	i   *ident
	vol fs.NodeID

	at     time.Duration // on the workload's clock
	first  uint64        // events before it began
	last   uint64        // events that the last checkpoint has
	before int64         // bytes of the order that checkpoints have cut off, less those before it began
	rec    recorded
}

func newRecorder(b *testing.B) *recorder {
	b.Helper()
	d := newDaemon(Options{Home: b.TempDir()})
	d.uncompacted = true
	if err := d.open(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { shut(b, d) })
	r := &recorder{b: b, d: d, i: d.all()[0], vol: volume(b, d, "v")}
	r.begin()
	return r
}

// begin says that all so far was no part of the workload.
func (r *recorder) begin() {
	r.b.Helper()
	r.settle()
	r.must(r.i.compactor.make(r.b.Context(), "begin"))
	r.settle()
	r.first = r.i.compactor.events()
	r.last = r.first
	r.before = -int64(r.i.seq.Stats().Bytes)
	r.rec.Trace, r.at = nil, 0
	r.note()
}

// settle frames all that was done, and returns when the order has it.
func (r *recorder) settle() {
	r.b.Helper()
	r.must(r.d.fs.SealAll(r.b.Context()))
	_, err := r.i.cutAll()
	r.must(err)
	kick(r.i.propose)
	committed(r.b, r.d)
}

func (r *recorder) note() {
	s := cameSoFar{uint64(r.at.Milliseconds()), r.i.compactor.events() - r.first, uint64(r.before + int64(r.i.seq.Stats().Bytes))}
	r.rec.Trace = append(r.rec.Trace, s)
}

// step ends a part of the workload that takes d on its clock, of which the order knows at its beginning.
func (r *recorder) step(d time.Duration) {
	r.b.Helper()
	r.settle()
	if last := r.rec.Trace[len(r.rec.Trace)-1][0]; r.at.Milliseconds() >= int64(last)+5000 {
		r.note()
	}
	r.at += d
}

// burst runs a part of the workload that takes as long as it takes.
func (r *recorder) burst(do func()) {
	r.b.Helper()
	start, from := time.Now(), r.at
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				r.at = from + time.Since(start)
				r.note()
			}
		}
	}()
	do()
	r.settle()
	close(quit)
	<-gone
	r.at = from + time.Since(start)
	r.note()
}

// until has nothing happen until then.
func (r *recorder) until(at time.Duration) {
	r.b.Helper()
	if at <= r.at {
		return
	}
	r.note()
	r.at = at
	r.note()
}

// checkpoint measures one.
func (r *recorder) checkpoint() {
	r.b.Helper()
	r.before += int64(r.i.seq.Stats().Bytes)
	r.must(r.i.compactor.make(r.b.Context(), "measured"))
	r.settle()
	c := &r.i.compactor
	r.rec.Makes = append(r.rec.Makes, made{Events: c.base - r.first, Since: c.base - r.last, Records: c.count, Took: int64(c.worked), Anew: int64(c.anew)})
	r.last = c.base
	r.note()
}

// finish measures what replaying takes.
func (r *recorder) finish() {
	r.b.Helper()
	r.note()
	r.rec.Seconds = int(r.at.Seconds())
	vol, _, _, _, _ := r.d.fs.Where([]string{firstIdentity, "v"})
	from, ok := r.i.log(vol)
	if !ok {
		r.b.Fatal("the volume is not open")
	}
	st, err := store.Open(r.b.TempDir(), store.Options{})
	r.must(err)
	defer st.Close()
	to, err := eventlog.Open(eventlog.Options{
		Store: st, Volume: vol, Feed: eventlog.Feed{Volume: vol, Device: r.i.keys.Device(), Incarnation: 7},
		Sign: r.i.keys.Sign, Keys: r.i.keys.VolumeKeys(vol), Member: r.i.members.Allows, Reducer: tree.New(),
	})
	r.must(err)
	start := time.Now()
	for n, feed := range from.Feeds() {
		err := from.Frames(feed.ID(), 0, func(f *eventlog.Frame) bool {
			r.must(to.Commit(eventlog.Index(uint64(n)<<32+uint64(f.Last())), f.Raw))
			return true
		})
		r.must(err)
	}
	events := to.Stats().CommittedEvents
	if events != from.Stats().CommittedEvents {
		r.b.Fatalf("%d of %d events were replayed", events, from.Stats().CommittedEvents)
	}
	r.rec.Replay = float64(time.Since(start)) / float64(events)
}

func (r *recorder) must(err error) {
	r.b.Helper()
	if err != nil {
		r.b.Fatal(err)
	}
}

func (r *recorder) mkdir(dir fs.NodeID, name string) fs.NodeID {
	r.b.Helper()
	e, err := r.d.fs.Mkdir(dir, name, 0o755, fs.Cred{})
	r.must(err)
	return e.Node
}

// under makes a directory and what is above it, once.
func (r *recorder) under(dirs map[string]fs.NodeID, path string) fs.NodeID {
	r.b.Helper()
	if _, ok := dirs[path]; !ok {
		dirs[path] = r.mkdir(r.under(dirs, filepath.Dir(path)), filepath.Base(path))
	}
	return dirs[path]
}

// unpack makes a file as tar does.
func (r *recorder) unpack(dir fs.NodeID, name string, data []byte) {
	r.b.Helper()
	e, err := r.d.fs.Create(dir, name, 0o600, true, fs.Cred{})
	r.must(err)
	r.write(e.Node, 0, data)
	mode, mtime := uint32(0o644), int64(1_700_000_000_000_000_000)
	_, err = r.d.fs.SetAttr(e.Node, fs.Changes{Mtime: &mtime}, true)
	r.must(err)
	_, err = r.d.fs.SetAttr(e.Node, fs.Changes{Mode: &mode}, true)
	r.must(err)
	r.close(e.Node)
}

func (r *recorder) create(name string) fs.NodeID {
	r.b.Helper()
	e, err := r.d.fs.Create(r.vol, name, 0o644, false, fs.Cred{})
	r.must(err)
	return e.Node
}

// save writes a file anew, made if it is not there, and has it on disk.
func (r *recorder) save(name string, data []byte) {
	r.b.Helper()
	n := r.create(name)
	size := int64(0)
	_, err := r.d.fs.SetAttr(n, fs.Changes{Size: &size}, true)
	r.must(err)
	r.write(n, 0, data)
	r.must(r.d.fs.Fsync(n))
	r.close(n)
}

func (r *recorder) open(name string) fs.NodeID {
	r.b.Helper()
	e, err := r.d.fs.Lookup(r.vol, name)
	r.must(err)
	r.must(r.d.fs.Open(e.Node, true, false))
	return e.Node
}

func (r *recorder) write(n fs.NodeID, off int64, data []byte) {
	r.b.Helper()
	_, err := r.d.fs.Write(n, data, off)
	r.must(err)
}

func (r *recorder) close(n fs.NodeID) {
	r.b.Helper()
	r.must(r.d.fs.Flush(n))
	r.d.fs.Release(n, true)
	r.d.fs.Forget(n, 1)
}
