package sim

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A replica is a machine with a disk, and the program that runs on it.
type replica struct {
	w       *world
	n       int
	name    string
	keyring *identity.Keyring
	rnd     *rand.Rand     // what people do on it
	entropy *rand.ChaCha8  // ids, nonces, incarnations
	disk    *vfs.MemFS     // survives the program
	kept    kept           // survives it too
	life    int            // counts starts and stops
	st      *store.Store   // nil: it does not run
	log     *eventlog.Log  // as st
	blocks  *ipld.Segments // as st

	flushes  int64                       // of the database's memory, so far
	logged   int64                       // how long the store's log was at the last of them
	fresh    []eventlog.FrameHash        // known, and not promised
	known    map[eventlog.FrameHash]bool // all frames that are here
	private  map[eventlog.FrameHash]bool // its own that are not on its disk: they must not leave
	proposed map[eventlog.FrameHash]time.Duration
	volatile []*closed         // not promised
	roots    map[ipld.CID]bool // blocks that frames name and that may be missing, or ones below them
	handles  []handle          // files that a program has read and will write
	changed  time.Duration     // when anything was last new
	meddle   func()            // happens in the middle of the next rebase
}

// kept is what a replica has promised, and what stands beside the store.
type kept struct {
	frames      map[eventlog.FrameHash]bool
	incarnation uint64
}

func (k kept) clone() kept { return kept{maps.Clone(k.frames), k.incarnation} }

func (w *world) addReplica(name string, keyring *identity.Keyring, disk *vfs.MemFS, k kept) *replica {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(w.rnd.Uint32())
	}
	r := &replica{
		w: w, n: len(w.replicas), name: name, keyring: keyring, disk: disk, kept: k,
		rnd: rand.New(rand.NewPCG(w.rnd.Uint64(), w.rnd.Uint64())), entropy: rand.NewChaCha8(seed),
	}
	w.replicas = append(w.replicas, r)
	return r
}

func (r *replica) up() bool { return r.st != nil }

func (r *replica) feed() eventlog.Feed {
	return eventlog.Feed{Volume: r.w.volume, Device: r.keyring.Device(), Incarnation: r.kept.incarnation}
}

// A reducer is the tree's, and lets something happen in the middle of a rebase.
type reducer struct {
	*tree.Reducer
	r *replica
}

func (m reducer) Apply(s eventlog.State, a eventlog.Author, e eventlog.Event) {
	if do := m.r.meddle; do != nil {
		m.r.meddle = nil
		do()
	}
	m.Reducer.Apply(s, a, e)
}

// start begins a life.
func (r *replica) start() {
	if r.up() {
		return
	}
	w := r.w
	var err error
	r.st, err = store.Open("home", store.Options{FS: r.disk, FlushEvery: -1})
	w.must(r.name+" starts", err)
	r.blocks, err = ipld.OpenSegments(r.st, ipld.SegmentOptions{})
	w.must(r.name+" starts", err)
	r.log, err = eventlog.Open(eventlog.Options{
		Store: r.st, Volume: w.volume, Feed: r.feed(), Sign: r.keyring.Sign, Keys: w.keys,
		Member:  func(d identity.DeviceID) bool { return w.members[d] },
		Reducer: reducer{tree.New(), r}, Rand: r.entropy,
	})
	w.must(r.name+" starts", err)
	r.life++
	r.flushes = r.st.DB().Metrics().Flush.Count
	r.empty()
	r.proposed = map[eventlog.FrameHash]time.Duration{}
	r.private, r.known, r.roots = map[eventlog.FrameHash]bool{}, map[eventlog.FrameHash]bool{}, map[ipld.CID]bool{}
	r.eachFrame(func(f *eventlog.Frame) { r.know(f) })
	r.fresh = nil // what a start reads is on the disk
	i, hash := r.log.Committed()
	w.tell("%s starts: %+v at %d, order %x", r.name, r.log.Stats(), i, hash[:4])
	r.checkPromises()
	r.w.sequencer.check(r)
	r.live()
}

// eachFrame calls fn for all frames that are here, in no order: those too that wait and whose feed has no other.
func (r *replica) eachFrame(fn func(*eventlog.Frame)) {
	for h := range r.w.frames {
		if f := r.stored(h); f != nil {
			fn(f)
		}
	}
}

// know notes a frame that is here now.
func (r *replica) know(f *eventlog.Frame) {
	if r.known[f.Hash] {
		return
	}
	r.known[f.Hash] = true
	r.fresh = append(r.fresh, f.Hash)
	for _, c := range f.Needs {
		r.roots[c] = true
	}
	r.changed = r.w.now
}

// live does what a daemon does, and what people do, again and again.
func (r *replica) live() {
	const ms = time.Millisecond
	busy := r.w.plan.busy
	r.every(busy/2, 2*busy, r.edit)
	r.every(100*ms, 400*ms, r.cut)
	r.every(300*ms, 1500*ms, r.gossip)
	r.every(200*ms, 900*ms, r.propose)
	r.every(100*ms, 800*ms, r.follow)
	r.every(100*ms, 700*ms, r.want)
	r.every(50*ms, r.w.plan.sealing, r.seal)
	r.every(4000*ms, 5000*ms, r.flush)
	r.every(500*ms, 6000*ms, r.writeBack)
	r.every(800*ms, 3000*ms, r.merge)
	r.makesSnapshots()
	r.keepsCheckpoints()
}

// every does something again and again while this life lasts.
func (r *replica) every(lo, hi time.Duration, do func()) {
	life := r.life
	var again func()
	again = func() {
		if r.life != life {
			return
		}
		do()
		r.look()
		r.settle()
		r.w.after(r.w.between(lo, hi), again)
	}
	r.w.after(r.w.between(0, hi), again)
}

// settle keeps the database from flushing its memory by itself, which would be at a moment of its own.
func (r *replica) settle() {
	const most = 48 << 10 // the database begins with 256 KiB, and needs more for a record than the log
	if size := r.logSize(); size < r.logged || size-r.logged > most {
		r.empty()
	}
}

// empty flushes the database's memory.
func (r *replica) empty() {
	r.flushedOnlyWhenTold()
	r.w.must("write back", errors.Join(r.st.Sync(), r.st.DB().Flush()))
	r.flushes, r.logged = r.st.DB().Metrics().Flush.Count, r.logSize()
}

// flushedOnlyWhenTold ends the history if what a power cut leaves would depend on the moment of a background flush.
func (r *replica) flushedOnlyWhenTold() {
	if n := r.st.DB().Metrics().Flush.Count; n != r.flushes {
		r.w.fail("%s: the database has flushed its memory %d times, %d of them when told", r.name, n, r.flushes)
	}
}

// logSize is how long the store's newest log file is.
func (r *replica) logSize() int64 {
	names, err := r.disk.List(r.st.Path("wal"))
	r.w.must("list the log", err)
	slices.Sort(names)
	if len(names) == 0 || !strings.HasSuffix(names[len(names)-1], ".wal") {
		return 0
	}
	info, err := r.disk.Stat(r.st.Path("wal", names[len(names)-1]))
	r.w.must("look at the log", err)
	return info.Size()
}

// writeBack lets the kernel write what nobody asked for. Nothing is promised by it.
func (r *replica) writeBack() {
	switch r.w.rnd.IntN(3) {
	case 0:
		r.w.must("write back", r.st.Sync())
	case 1:
		r.w.must("write back", r.blocks.Sync())
	}
}

// flush is what the store does by itself every few seconds.
func (r *replica) flush() {
	r.w.must("sync blocks", r.blocks.Sync())
	r.sync()
}

// sync makes the log durable: what is known is promised from now on.
func (r *replica) sync() {
	r.w.must("sync", r.st.Sync())
	for _, h := range r.fresh {
		r.kept.frames[h] = true
	}
	for _, v := range r.volatile {
		v.due = true
	}
	r.fresh, r.volatile = nil, nil
	clear(r.private)
}

// cut frames what was done, makes it durable a little later, and offers it then.
func (r *replica) cut() {
	made := 0
	for {
		unframed, held := r.log.Pending()
		if unframed == 0 || unframed == held {
			break
		}
		f, err := r.log.Cut(1 + r.rnd.IntN(40))
		if errors.Is(err, eventlog.ErrForked) {
			r.newIncarnation()
			continue
		}
		r.w.must(r.name+" cuts", err)
		if f == nil {
			break
		}
		made++
		r.private[f.Hash] = true
		r.w.frames[f.Hash] = f
		r.know(f)
		r.w.tell("%s cuts %s: %d-%d depth %d on %d, %d blocks", r.name, name(f.Hash), f.First, f.Last(), f.Depth,
			len(f.BuildsOn), len(f.Needs))
	}
	if made == 0 {
		return
	}
	life := r.life
	r.w.after(r.w.between(0, 300*time.Millisecond), func() {
		if r.life == life {
			r.sync()
			r.offer()
		}
	})
}

func (r *replica) newIncarnation() {
	if !r.w.copied {
		r.w.fail("%s: its feed has forked, and no store was copied or restored", r.name)
	}
	f := r.feed()
	f.Incarnation = r.entropy.Uint64()
	r.w.tell("%s is forked: incarnation %x", r.name, f.Incarnation>>32)
	if r.w.plan.keeps {
		r.kept.incarnation = f.Incarnation
	}
	r.w.must(r.name+" begins an incarnation", r.log.NewIncarnation(f))
}

// stop ends a life. What the program had not handed to the disk is lost.
func (r *replica) stop() {
	err := errors.Join(r.blocks.Close(), r.st.Close())
	r.w.must(r.name+" stops", err)
	r.st, r.log, r.blocks = nil, nil, nil
	r.fresh, r.known, r.private, r.volatile, r.roots, r.handles = nil, nil, nil, nil, nil, nil
	r.life++
}

// name is a frame's, for the trace.
func name(h eventlog.FrameHash) string { return fmt.Sprintf("%x", h[:4]) }

func names(raws [][]byte) string {
	var list []string
	for _, raw := range raws {
		f, err := eventlog.ParseFrame(raw)
		if err != nil {
			list = append(list, "damaged")
			continue
		}
		list = append(list, name(f.Hash))
	}
	return strings.Join(list, " ")
}
