package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A device is a store with a state: how many entries it applied, the last index, and one key an entry.
type device struct {
	t     testing.TB
	st    *store.Store
	seq   *Sequencer
	count uint64
	last  eventlog.Index
	fail  error // what Apply returns
	ran   chan error
}

var errRefused = errors.New("refused")

func entryKey(e []byte) []byte { return append([]byte("x/"), e...) }

func open(t testing.TB, fs vfs.FS, home string) *device {
	t.Helper()
	return openAs(t, fs, home, "one")
}

func openAs(t testing.TB, fs vfs.FS, home, server string) *device {
	t.Helper()
	st, err := store.Open(home, store.Options{FS: fs, FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	d := &device{t: t, st: st, ran: make(chan error, 1)}
	if val, closer, err := st.DB().Get([]byte("x")); err == nil {
		d.count, d.last = binary.BigEndian.Uint64(val), eventlog.Index(binary.BigEndian.Uint64(val[8:]))
		closer.Close()
	} else if !errors.Is(err, pebble.ErrNotFound) {
		t.Fatal(err)
	}
	d.seq, err = Open(Options{
		Store: st, Identity: identity.IdentityID{7}, ServerID: server, Apply: d.apply, Applied: d.last,
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { d.ran <- d.seq.Run(context.Background()) }()
	return d
}

func (d *device) apply(i eventlog.Index, e []byte) error {
	if d.fail != nil {
		return d.fail
	}
	if i <= d.last {
		d.t.Errorf("entry %d came after %d", i, d.last)
	}
	d.count++
	d.last = i
	val := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, d.count), uint64(i))
	b := d.st.DB().NewBatch()
	if err := errors.Join(b.Set([]byte("x"), val, nil), b.Set(entryKey(e), val, nil)); err != nil {
		return err
	}
	return d.st.Commit(b, store.Applied)
}

func (d *device) close() {
	d.t.Helper()
	if err := d.seq.Close(); err != nil {
		d.t.Error(err)
	}
	if err := <-d.ran; err != nil {
		d.t.Error(err)
	}
	if err := d.st.Close(); err != nil {
		d.t.Error(err)
	}
}

// has returns how often an entry was applied: the state's counter when it was, or 0.
func (d *device) has(e []byte) uint64 {
	val, closer, err := d.st.DB().Get(entryKey(e))
	if err != nil {
		return 0
	}
	defer closer.Close()
	return binary.BigEndian.Uint64(val)
}

func (d *device) propose(e string) {
	d.t.Helper()
	if err := d.seq.Propose(context.Background(), []byte(e)); err != nil {
		d.t.Fatal(err)
	}
}

func TestOrderAndRestart(t *testing.T) {
	fs := vfs.NewMem()
	n := 0
	for range 5 {
		d := open(t, fs, "home")
		if int(d.count) != n {
			t.Fatalf("%d entries applied, want %d", d.count, n)
		}
		for range 300 {
			n++
			d.propose(fmt.Sprint("entry ", n))
			if got := d.has(fmt.Append(nil, "entry ", n)); got != uint64(n) {
				t.Fatalf("entry %d was applied as %d", n, got)
			}
		}
		if st := d.seq.Stats(); !st.Leading || st.Applied != d.last || st.Term == 0 {
			t.Fatalf("%+v", st)
		}
		d.close()
	}
}

// Many propose at once; the log is cut meanwhile; everything is applied once, in one order.
// A voter keeps the name under which the order began: under another one it would never lead.
func TestOrderKeepsItsVoter(t *testing.T) {
	fs := vfs.NewMem()
	d := openAs(t, fs, "home", "one")
	d.propose("first")
	b := d.st.DB().NewBatch() // as a version left it that had no record of the name
	if err := errors.Join(b.Delete(d.seq.idKey(), nil), d.st.Commit(b, store.OnDisk)); err != nil {
		t.Fatal(err)
	}
	d.close()
	for _, name := range []string{"one", "two", "three"} {
		d := openAs(t, fs, "home", name)
		d.propose("as " + name)
		d.close()
	}
}

func TestConcurrentProposals(t *testing.T) {
	fs := vfs.NewMem()
	d := open(t, fs, "home")
	var all sync.WaitGroup
	for w := range 32 {
		all.Go(func() {
			for i := range 400 {
				if err := d.seq.Propose(context.Background(), fmt.Append(nil, w, "-", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := d.seq.Compact(); err != nil {
		t.Fatal(err)
	}
	if d.count != 32*400 {
		t.Fatal(d.count)
	}
	d.close()
	d = open(t, fs, "home")
	d.propose("last")
	if d.count != 32*400+1 {
		t.Fatal(d.count)
	}
	if st := d.seq.Stats(); st.First < 5000 {
		t.Fatalf("the log was not cut: %+v", st)
	}
	d.close()
}

// A testCheckpoint writes what it is called.
type testCheckpoint struct {
	d        *device
	at       eventlog.Index
	err      error
	released *int
}

func (c testCheckpoint) Write() ([]byte, error) { return fmt.Append(nil, "state at ", c.at), c.err }
func (c testCheckpoint) Release()               { *c.released++ }

// The log is cut behind a checkpoint, which is still known after a restart, and not if there is none.
func TestCompact(t *testing.T) {
	fs := vfs.NewMem()
	d := open(t, fs, "home")
	released := 0
	var begin, write error
	d.seq.o.Checkpoint = func() (Checkpoint, error) { return testCheckpoint{d, d.last, write, &released}, begin }
	for i := range 400 {
		d.propose(fmt.Sprint(i))
	}
	begin = errRefused
	if err := d.seq.Compact(); !errors.Is(err, errRefused) {
		t.Errorf("no checkpoint can be made: %v", err)
	}
	begin, write = nil, errRefused
	if err := d.seq.Compact(); !errors.Is(err, errRefused) || released != 1 {
		t.Errorf("a checkpoint can't be written: %v, released %d times", err, released)
	}
	if st := d.seq.Stats(); st.First != 1 {
		t.Errorf("the log was cut without a checkpoint: %+v", st)
	}
	write = nil
	if err := d.seq.Compact(); err != nil || released != 2 {
		t.Errorf("%v, released %d times", err, released)
	}
	at := d.last
	if err := d.seq.Compact(); err != nil || released != 2 {
		t.Errorf("again, with nothing new: %v, released %d times", err, released)
	}
	if st := d.seq.Stats(); st.First != at-keepTail+1 || st.Entries != 0 || st.Bytes != 0 {
		t.Errorf("after a checkpoint at %d: %+v", at, st)
	}
	d.propose("more")
	if st := d.seq.Stats(); st.Entries != 1 || st.Bytes != 4 {
		t.Errorf("after one entry more: %+v", st)
	}
	d.close()
	d = open(t, fs, "home")
	d.propose("last")
	i, data, err := d.seq.Newest()
	if err != nil || i != at || string(data) != fmt.Sprint("state at ", at) {
		t.Errorf("after a restart the checkpoint is %d %q, %v; want %d", i, data, err, at)
	}
	d.close()
	if err := d.seq.Compact(); !errors.Is(err, ErrStopped) {
		t.Errorf("closed: %v", err)
	}
}

// Power is lost at any moment: what was committed and synced is there, nothing is applied twice or out of
// order (apply checks that), and the order goes on.
func TestCrashes(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 5))
		fs := vfs.NewCrashableMem()
		h := &crashHistory{rng: rng}
		for range 5 {
			d := open(t, fs, "home")
			d.propose("barrier") // after it, all that the log had is applied
			h.check(d)
			fs = h.write(d, fs)
			d.close()
		}
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

type crashHistory struct {
	rng *rand.Rand

	mu       sync.Mutex
	next     int
	proposed []string // by one goroutine, one after the other
	synced   int      // of these
}

// write proposes, and cuts the power meanwhile. It returns the disk that is left.
func (h *crashHistory) write(d *device, fs *vfs.MemFS) *vfs.MemFS {
	var left *vfs.MemFS
	stop, at := make(chan struct{}), h.rng.IntN(1500)
	reached := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if i == at {
				close(reached)
			}
			h.one(d, i%150 == 0)
		}
	})
	all.Go(func() { // somebody else's, so that there is always something under way
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				d.propose(fmt.Sprint("other ", i))
				if i%200 == 199 {
					if err := d.seq.Compact(); err != nil {
						d.t.Error(err)
					}
				}
			}
		}
	})
	<-reached
	h.mu.Lock() // synced and proposed are as old as the clone, or older
	left = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: at % 100, RNG: rand.New(rand.NewPCG(uint64(at), 6))})
	synced, proposed := h.synced, append([]string(nil), h.proposed...)
	h.mu.Unlock()
	close(stop)
	all.Wait()
	h.synced, h.proposed = synced, proposed
	return left
}

func (h *crashHistory) one(d *device, sync bool) {
	h.mu.Lock()
	e := fmt.Sprint(h.next)
	h.next++
	h.proposed = append(h.proposed, e)
	n := len(h.proposed)
	h.mu.Unlock()
	d.propose(e)
	if sync {
		if err := d.st.Sync(); err != nil {
			d.t.Error(err)
		}
		h.mu.Lock()
		h.synced = n
		h.mu.Unlock()
	}
}

// check compares d with the history, and forgets what went with the power.
func (h *crashHistory) check(d *device) {
	kept := len(h.proposed)
	for i, e := range h.proposed {
		there := d.has([]byte(e)) != 0
		switch {
		case !there && i < h.synced:
			d.t.Fatalf("entry %s was lost", e)
		case !there && i < kept:
			kept = i
		case there && i > kept:
			d.t.Fatalf("entry %s survived, %s did not", e, h.proposed[kept])
		}
	}
	if err := d.st.Sync(); err != nil {
		d.t.Fatal(err)
	}
	h.proposed, h.synced = h.proposed[:kept], kept
}

// An error of Apply ends Run, and nothing is passed over: after a restart the entry comes again.
func TestApplyError(t *testing.T) {
	fs := vfs.NewMem()
	d := open(t, fs, "home")
	d.propose("a")
	d.fail = errRefused
	err := d.seq.Propose(context.Background(), []byte("b"))
	if !errors.Is(err, ErrUnknown) || !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if err := <-d.ran; !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if err := d.seq.Propose(context.Background(), []byte("c")); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	_ = d.seq.Close()
	if err := d.st.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, fs, "home")
	d.propose("d")
	if d.has([]byte("b")) != 2 || d.has([]byte("d")) != 3 || d.has([]byte("c")) != 0 {
		t.Fatal(d.count)
	}
	d.close()
}

// A proposal that is under way when the lead is lost has an unknown outcome: it is in the log, and may be
// committed by whoever leads next.
func TestLeadershipLost(t *testing.T) { synctest.Test(t, leadershipLost) }

func leadershipLost(t *testing.T) {
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	d := &device{t: t, st: st}
	if d.seq, err = Open(Options{Store: st, ServerID: "one", Apply: d.apply}); err != nil {
		t.Fatal(err)
	}
	r, err := d.seq.start()
	if err != nil {
		t.Fatal(err)
	}
	<-r.LeaderCh()
	if err := propose(r, []byte("a")); err != nil {
		t.Fatal(err)
	}
	// A second voter that never answers: there is no majority, and the lease runs out.
	if err := r.AddVoter("two", "nowhere", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	if err := propose(r, []byte("b")); !errors.Is(err, ErrUnknown) || !errors.Is(err, raft.ErrLeadershipLost) {
		t.Fatal(err)
	}
	var got raft.Log
	last, _ := d.seq.logs.LastIndex()
	if err := d.seq.logs.GetLog(last, &got); err != nil || string(got.Data) != "b" || d.has([]byte("b")) != 0 {
		t.Fatal(got, err)
	}
	if err := errors.Join(d.seq.shutdown(r), st.Close()); err != nil {
		t.Fatal(err)
	}
}

// On a full disk the order waits, and goes on.
func TestFullDisk(t *testing.T) { synctest.Test(t, fullDisk) }

func fullDisk(t *testing.T) {
	var refuse atomic.Int64
	d := open(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWriteAt && refuse.Add(-1) >= 0 {
			return syscall.ENOSPC
		}
		return nil
	})), "home")
	d.propose("a")
	refuse.Store(3)
	begun := time.Now()
	d.propose("b")
	if waited := time.Since(begun); waited != 3*pause {
		t.Fatal(waited)
	}
	if d.has([]byte("b")) != 2 || !d.seq.Stats().Leading {
		t.Fatalf("%+v", d.seq.Stats())
	}
	d.close()
}

// An order that is shorter than the state is refused: its next entries would be taken for old ones.
func TestStateAhead(t *testing.T) {
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Store: st, ServerID: "one", Applied: 9}); !errors.Is(err, store.ErrDamaged) {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// Proposals wait for Run, until their context ends.
func TestProposeBeforeRun(t *testing.T) {
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Store: st, ServerID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Propose(ctx, []byte("a")) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), st.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Propose(context.Background(), nil); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
}

// A disk that fails for a while holds the order up, and no more.
func TestSickDisk(t *testing.T) { synctest.Test(t, sickDisk) }

func sickDisk(t *testing.T) {
	var sick atomic.Bool
	d := open(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if sick.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.EIO
		}
		return nil
	})), "home")
	d.propose("a")
	sick.Store(true)
	done := make(chan error, 1)
	go func() { done <- d.seq.Propose(context.Background(), []byte("b")) }()
	time.Sleep(time.Minute)
	if d.st.Health() == nil || d.has([]byte("b")) != 0 {
		t.Fatal("the disk is not sick: this test tests nothing")
	}
	sick.Store(false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if d.has([]byte("b")) != 2 || d.st.Health() != nil {
		t.Fatal(d.st.Health())
	}
	d.close()
}

// errBroken is none that passes.
var errBroken = errors.New("broken")

// A broken disk ends Run with the error, and does not panic.
func TestBrokenDisk(t *testing.T) {
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWriteAt && broken.Load() {
			return errBroken
		}
		return nil
	}))
	d := open(t, fs, "home")
	d.propose("a")
	broken.Store(true)
	if err := d.seq.Propose(context.Background(), []byte("b")); !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	if err := <-d.ran; !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	// Nor when it breaks before Raft has started, or for Raft's term.
	s, err := Open(Options{Store: d.st, Identity: identity.IdentityID{7}, ServerID: "one", Applied: d.last})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil {
		t.Fatal("Run says that all is well")
	}
	if err := d.st.Close(); err == nil {
		t.Fatal("Close says that all is well")
	}
}

// The term can't be stored when this voter stands for election.
func TestBrokenElection(t *testing.T) {
	var broken atomic.Bool
	st, err := store.Open("home", store.Options{FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWriteAt && broken.Load() {
			return errBroken
		}
		return nil
	})), FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Store: st, ServerID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	write := s.stable.write
	s.stable.write = func(fill func(*pebble.Batch) error) error {
		broken.Store(s.started.Load())
		return write(fill)
	}
	if err := s.Run(context.Background()); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	_ = st.Close()
}
