package fs

import (
	"crypto/rand"
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

var rebased = flag.Int("rebased", 10_000, "events on either side")

// BenchmarkRebase brings 10,000 events that have their place in the order before 10,000 of this device that have none, on a real disk,
// while a program stats and writes in a loop. It reports how long the program ever waited, and how much slower than
// before it ran. "apart": the devices worked in different directories, so nothing is done again; "together": all
// files are new ones in one directory, so all of it is; "creating": the program, too, creates files there.
func BenchmarkRebase(b *testing.B) {
	for _, c := range []struct {
		name             string
		together, create bool
	}{{"apart", false, false}, {"together", true, false}, {"creating", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newApart(b, c.together)
				p := &program{rig: w.rig, dir: w.dir, create: c.create}
				p.prepare(b)
				alone := p.run(b, func() { time.Sleep(200 * time.Millisecond) })
				runtime.GC()
				b.StartTimer()
				p.worst = 0
				start, n := time.Now(), p.rounds
				p.run(b, func() {
					if err := w.log.CommitAll(w.order); err != nil {
						b.Error(err)
					}
				})
				took := time.Since(start)
				b.StopTimer()
				b.ReportMetric(float64(took.Milliseconds()), "rebase-ms")
				b.ReportMetric(float64(p.worst.Microseconds())/1000, "worst-ms")
				b.ReportMetric(alone, "rounds/s-before")
				b.ReportMetric(float64(p.rounds-n)/took.Seconds()/alone, "ratio")
				w.check()
				w.close()
				b.StartTimer()
			}
		})
	}
}

// apart is a rig whose device and another one worked apart from each other.
type apart struct {
	*rig
	dir   NodeID
	log   *eventlog.Log
	order []eventlog.Ordered // what the other did, as the order has it
}

func newApart(b *testing.B, together bool) *apart {
	b.Helper()
	other, err := identity.NewIdentity(rand.Reader, "other", time.Unix(1, 0))
	if err != nil {
		b.Fatal(err)
	}
	r := &rig{tb: b, disk: vfs.Default, dir: b.TempDir(), keys: oneKeyring(), other: other.Device(), clock: &clock{at: start}}
	r.open()
	r.vol = r.mkdir(r.home, "notes")
	w := &apart{rig: r, dir: r.mkdir(r.vol, "mine")}
	theirs := r.mkdir(r.vol, "theirs")
	if together {
		theirs = w.dir
	}
	r.commit()
	dir, err := r.fs.dirOf(theirs)
	if err != nil {
		b.Fatal(err)
	}
	w.log = dir.vol.log
	w.order = w.otherDevice(b, other, dir)
	for n := range *rebased {
		f := r.create(w.dir, fmt.Sprintf("mine%d", n))
		r.write(f, 0, []byte("hello"))
		r.done(f)
		if n%100 == 99 {
			w.cut(b)
		}
	}
	if s := w.log.Stats(); s.TentativeEvents < uint64(*rebased) || s.UnframedEvents > 0 {
		b.Fatalf("%+v", s)
	}
	return w
}

// cut frames what the device did.
func (w *apart) cut(b *testing.B) {
	b.Helper()
	for {
		f, err := w.log.Cut(1000)
		if err != nil {
			b.Fatal(err)
		}
		if f == nil {
			return
		}
	}
}

// otherDevice makes new files in dir, and has them ordered.
func (w *apart) otherDevice(b *testing.B, keys *identity.Keyring, dir *Node) (order []eventlog.Ordered) {
	b.Helper()
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	v := dir.vol.id
	log, err := eventlog.Open(eventlog.Options{
		Store: st, Volume: v, Feed: eventlog.Feed{Volume: v, Device: keys.Device(), Incarnation: 1}, Sign: keys.Sign,
		Keys: w.keys.VolumeKeys(v), Member: func(identity.DeviceID) bool { return true }, Reducer: tree.New(), Rand: rand.Reader,
		Now: w.clock.now,
	})
	if err != nil {
		b.Fatal(err)
	}
	index, _ := w.log.Committed()
	first := eventlog.Index(1)
	for _, feed := range w.log.Feeds() {
		err := w.log.Frames(feed.ID(), 1, func(f *eventlog.Frame) bool {
			err = log.Commit(first, f.Raw)
			first++
			return err == nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for n := range *rebased {
		_, err := log.Update(func(tx *eventlog.Tx) error {
			now := w.clock.now().UnixNano()
			c := tree.Create{
				ID: w.fs.newFileID(), Parent: dir.file, Name: fmt.Appendf(nil, "theirs%d", n), Kind: tree.File, Mode: 0o644,
				UID: tree.Owner, GID: tree.Owner, Time: now, Mtime: now, Btime: now, By: "other",
				Version: &tree.Version{ID: w.fs.newVersionID(), Size: 5, Time: now, By: "other", Inline: []byte("hello")},
			}
			c.Path, _ = tree.PathOf(tx, dir.file)
			tx.Append(eventlog.Event{Time: now, Body: tree.Encode(c)})
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if n%100 == 99 {
			f, err := log.Cut(1000)
			if err != nil {
				b.Fatal(err)
			}
			index++
			order = append(order, eventlog.Ordered{Index: index, Frames: [][]byte{f.Raw}})
		}
	}
	return order
}

// A program stats and writes in a loop.
type program struct {
	*rig
	dir    NodeID
	create bool // a new file each time
	pause  time.Duration
	file   NodeID
	rounds int
	worst  time.Duration // that one of its calls took
}

func (p *program) prepare(b *testing.B) {
	b.Helper()
	e, err := p.fs.Create(p.dir, "the program's", 0o644, true, me)
	if err != nil {
		b.Fatal(err)
	}
	p.file = e.Node
}

// run lets the program run while do does, and returns how many rounds it made in a second.
func (p *program) run(b *testing.B, do func()) float64 {
	b.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	first, start := p.rounds, time.Now()
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				p.round(b)
				time.Sleep(p.pause)
			}
		}
	}()
	do()
	took := time.Since(start)
	close(done)
	<-ended
	return float64(p.rounds-first) / took.Seconds()
}

func (p *program) round(b *testing.B) {
	p.rounds++
	file := p.file
	p.timed(b, func() error { _, err := p.fs.Lookup(p.dir, "mine77"); return err })
	p.timed(b, func() error { _, err := p.fs.GetAttr(p.dir); return err })
	if p.create {
		p.timed(b, func() error {
			e, err := p.fs.Create(p.dir, fmt.Sprintf("program%d", p.rounds), 0o644, true, me)
			file = e.Node
			return err
		})
	}
	p.timed(b, func() error { _, err := p.fs.Write(file, []byte("some bytes"), 0); return err })
	p.timed(b, func() error { return p.fs.Flush(file) })
	if p.create {
		p.fs.Release(file, true)
		p.fs.Forget(file, 1)
	}
}

func (p *program) timed(b *testing.B, call func() error) {
	start := time.Now()
	err := call()
	p.worst = max(p.worst, time.Since(start))
	if err != nil {
		b.Error(err)
	}
}
